//===- CollectLayers.cpp - what the layers of a graph read ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectLayers.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Fire.h"

#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cmath>

using namespace llvm;
namespace sq = ::spikequant;

namespace mlir::spikequant {
namespace {

/// What is known of a layer's weights.
struct WeightFacts {
  std::vector<int64_t> fanOut;
  int32_t bits = 1;
  int64_t packedBytes = 0;
};

WeightFacts readWeights(const sq::PackedFile &file,
                        const sq::PackedEntry &entry) {
  WeightFacts facts;
  sq::PackedCodes codes = file.codes(entry);
  int64_t k = entry.layout.k, least = 0, largest = 0;
  facts.fanOut.assign(k, 0);
  std::vector<int32_t> row(k);
  for (int64_t o = 0; o < entry.layout.n; ++o) {
    codes.unpackRow(o, row.data());
    for (int64_t j = 0; j < k; ++j) {
      facts.fanOut[j] += row[j] != 0;
      least = std::min<int64_t>(least, row[j]);
      largest = std::max<int64_t>(largest, row[j]);
    }
  }
  facts.bits = sq::signedBits(least, largest);
  facts.packedBytes = entry.codes.bytes + entry.scales.bytes;
  return facts;
}

class Collector {
public:
  Collector(func::FuncOp function, const CountSources &sources)
      : function(function), sources(sources) {}

  FailureOr<std::vector<sq::LayerActivity>> collect() {
    std::vector<sq::LayerActivity> layers;
    WalkResult result = function.walk([&](IntegrateOp op) {
      FailureOr<sq::LayerActivity> layer = read(op);
      if (failed(layer))
        return WalkResult::interrupt();
      layers.push_back(std::move(*layer));
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      return failure();
    return layers;
  }

private:
  FailureOr<sq::LayerActivity> read(IntegrateOp op) {
    auto type = cast<RankedTensorType>(op.getCounts().getType());
    auto membrane = cast<RankedTensorType>(op.getMembrane().getType());
    if (!type.hasStaticShape())
      return op.emitOpError("has a shape that is not known");
    if (op.getIndex())
      return op.emitOpError()
             << "CNT-C6: which matrices of the stack '" << op.getWeights()
             << "' are chosen is not recorded";
    sq::LayerActivity layer;
    layer.name = op.getWeights().str();
    layer.inputs = type.getShape().back();
    layer.outputs = membrane.getShape().back();
    layer.membraneBits = membrane.getElementTypeBitWidth();
    rowsPerRun = type.getNumElements() / layer.inputs;
    if (failed(readFacts(op, layer)) || failed(readCounts(op, layer)))
      return failure();
    readFire(op, layer);
    return layer;
  }

  LogicalResult readFacts(IntegrateOp op, sq::LayerActivity &layer) {
    const sq::PackedEntry *entry = sources.weights->find(op.getWeights());
    if (!entry || entry->kind != sq::PackedEntry::Kind::Codes ||
        entry->layout.n != layer.outputs || entry->layout.k != layer.inputs)
      return op.emitOpError()
             << "CNT-C1: the codes '" << op.getWeights() << "' of "
             << layer.outputs << " rows and " << layer.inputs
             << " columns must be in the packed file; give the program's own";
    auto [cached, isNew] = weights.try_emplace(op.getWeights());
    if (isNew)
      cached->second = readWeights(*sources.weights, *entry);
    layer.fanOut = cached->second.fanOut;
    layer.weightBits = cached->second.bits;
    layer.packedBytes = cached->second.packedBytes;
    return success();
  }

  LogicalResult readCounts(IntegrateOp op, sq::LayerActivity &layer) {
    if (auto encode = op.getCounts().getDefiningOp<EncodeOp>())
      return readEncode(encode, layer);
    if (auto fire = op.getCounts().getDefiningOp<FireOp>())
      return readFired(fire, layer);
    return op.emitOpError() << "CNT-C2: its counts must come directly from "
                               "spikequant.encode or spikequant.fire";
  }

  /// The recorded array, or null; an error if it does not fit.
  FailureOr<const sq::NpyArray *> find(Operation *op, const Twine &name,
                                       StringRef type, int64_t channels) {
    if (!sources.recorded)
      return nullptr;
    auto found = sources.recorded->find(name.str());
    if (found == sources.recorded->end())
      return nullptr;
    const sq::NpyArray &array = found->second;
    if (array.type == type && array.shape.size() == 2 &&
        array.shape[1] == channels && array.shape[0] > 0)
      return &array;
    return op->emitOpError()
           << "CNT-C3: recorded array '" << name << "' is " << array.describe()
           << ", not " << sq::describeNpyType(type) << "[rows, " << channels
           << "]";
  }

  void setRows(sq::LayerActivity &layer, int64_t rows) {
    layer.rows = rows;
    layer.runs = llvm::divideCeil(rows, rowsPerRun);
  }

  LogicalResult readEncode(EncodeOp encode, sq::LayerActivity &layer) {
    layer.input = encode.getSite().str();
    if (failed(readWindows(encode, layer)))
      return failure();
    auto counts = find(encode, layer.input + ".counts", "i2", layer.inputs);
    if (failed(counts))
      return failure();
    if (!*counts)
      return estimate(encode, layer);
    layer.observe((*counts)->values<int16_t>());
    setRows(layer, layer.observedRows);
    return success();
  }

  /// Counts of a fire are not recorded, but its membranes are.
  LogicalResult readFired(FireOp fire, sq::LayerActivity &layer) {
    auto before = fire.getMembrane().getDefiningOp<IntegrateOp>();
    if (!before)
      return fire.emitOpError()
             << "CNT-C2: its membrane must come from spikequant.integrate";
    if (fire.getThresholds())
      return fire.emitOpError()
             << "CNT-C2: counts through packed thresholds are not collected; "
                "compile with --no-fold";
    layer.input = before.getWeights().str();
    auto lo = static_cast<int32_t>(fire.getLo());
    auto hi = static_cast<int32_t>(fire.getHi());
    layer.windows.assign(layer.inputs, std::max(hi, -lo));
    layer.bits.assign(layer.inputs, llvm::Log2_64_Ceil(hi - lo + 1));
    auto acc = find(fire, layer.input + ".acc", "i8", layer.inputs);
    if (failed(acc))
      return failure();
    if (!*acc)
      return fire.emitOpError()
             << "CNT-C4: the membranes '" << layer.input
             << ".acc' are not recorded, and calibration knows no fired counts";
    std::vector<int16_t> counts;
    ArrayRef<int64_t> m = fire.getMultipliers(), b = fire.getBiases();
    for (auto [i, membrane] : llvm::enumerate((*acc)->values<int64_t>())) {
      int64_t o = i % layer.inputs;
      sq::FireThreshold threshold{
          static_cast<int32_t>(m[m.size() == 1 ? 0 : o]),
          b[b.size() == 1 ? 0 : o], static_cast<int32_t>(fire.getShift())};
      counts.push_back(sq::fireCount(membrane, threshold, lo, hi));
    }
    layer.observe(counts);
    setRows(layer, layer.observedRows);
    return success();
  }

  LogicalResult readWindows(EncodeOp encode, sq::LayerActivity &layer) {
    if (!encode.getBits()) {
      layer.windows.assign(layer.inputs, UINT32_MAX);
      layer.bits.assign(layer.inputs, 16);
      return success();
    }
    FailureOr<SmallVector<int8_t>> bits = readBits(encode);
    if (failed(bits))
      return failure();
    for (int8_t b : *bits) {
      layer.bits.push_back(b < 2 ? 0 : b); // Silent: nothing to store.
      layer.windows.push_back(sq::windowOf(b));
    }
    return success();
  }

  FailureOr<SmallVector<int8_t>> readBits(EncodeOp encode) {
    int64_t channels = encode.getType().getShape().back();
    auto symbol = SymbolTable::lookupNearestSymbolFrom<WeightsOp>(
        encode, encode.getBitsAttr());
    if (auto literal = dyn_cast_or_null<DenseElementsAttr>(
            symbol.getValue().value_or(nullptr)))
      return SmallVector<int8_t>(literal.getValues<int8_t>());
    const sq::PackedEntry *entry = sources.weights->find(*encode.getBits());
    if (!entry || entry->kind != sq::PackedEntry::Kind::Raw ||
        entry->raw.bytes != static_cast<uint64_t>(channels))
      return encode.emitOpError() << "CNT-C1: the bits '" << *encode.getBits()
                                  << "' must be in the packed file";
    ArrayRef<uint8_t> bytes = sources.weights->bytes(entry->raw);
    return SmallVector<int8_t>(bytes.begin(), bytes.end());
  }

  /// The count of the middle of each bin of the histograms.
  LogicalResult estimate(EncodeOp encode, sq::LayerActivity &layer) {
    const sq::SiteStatistics *site =
        sources.calibration ? sources.calibration->findSite(layer.input)
                            : nullptr;
    if (!site || site->getChannels() != layer.inputs || site->getRows() == 0)
      return encode.emitOpError()
             << "CNT-C4: the counts of '" << layer.input
             << "' are not known: neither the recording nor the calibration "
                "has the site with "
             << layer.inputs << " channels";
    // What folding moves into an encode was part of the values that calibration
    // saw.
    bool scaled =
        encode.getRowScale() || encode.getGains() || encode.getCentres();
    if (scaled && !encode->hasAttr("spikequant.folded"))
      return encode.emitOpError()
             << "CNT-C5: counts of '" << layer.input
             << "' depend on row_scale, gains or centres, which the "
                "calibration does not know; record them";
    layer.estimated = true;
    layer.observedRows = site->getRows();
    layer.magnitudes.resize(layer.inputs);
    for (int64_t j = 0; j < layer.inputs; ++j)
      for (unsigned bin = 0; bin < sq::magnitude::binCount; ++bin)
        if (int64_t times = site->getCount(j, bin))
          layer.magnitudes[j][magnitudeOf(encode, layer, j, bin)] += times;
    setRows(layer, rowsPerRun);
    return success();
  }

  static uint32_t magnitudeOf(EncodeOp encode, const sq::LayerActivity &layer,
                              int64_t channel, unsigned bin) {
    if (bin == sq::magnitude::nanBin)
      return 0;
    double middle = sq::maxCount;
    if (bin < sq::magnitude::hugeBin) {
      double x = (sq::magnitude::lowerEdge(bin) +
                  static_cast<double>(sq::magnitude::upperEdge(bin))) /
                 2;
      middle = std::floor(x / encode.getStep().convertToDouble() + 0.5);
    }
    auto count = static_cast<int16_t>(
        std::min(middle, static_cast<double>(sq::maxCount)));
    if (!encode.getBits())
      return count;
    return sq::applyWindow(count, layer.bits[channel], encode.getReach()).count;
  }

  void readFire(IntegrateOp op, sq::LayerActivity &layer) {
    layer.hi = sources.assumedWindow;
    layer.lo = -layer.hi;
    layer.assumedFire = true;
    for (Operation *user : op.getMembrane().getUsers())
      if (auto fire = dyn_cast<FireOp>(user)) {
        layer.lo = static_cast<int32_t>(fire.getLo());
        layer.hi = static_cast<int32_t>(fire.getHi());
        layer.assumedFire = false;
      }
  }

  func::FuncOp function;
  const CountSources &sources;
  int64_t rowsPerRun = 1; ///< Of the layer that is being read.
  StringMap<WeightFacts> weights;
};

} // namespace

FailureOr<std::vector<sq::LayerActivity>>
collectLayers(func::FuncOp function, const CountSources &sources) {
  return Collector(function, sources).collect();
}

} // namespace mlir::spikequant
