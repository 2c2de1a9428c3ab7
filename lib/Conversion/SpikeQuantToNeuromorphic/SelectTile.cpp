//===- SelectTile.cpp - a tile of a layer as a network --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/SpikeQuantToNeuromorphic.h"

#include "ReadInput.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

/// 2^S / M stands for the real threshold; the largest M is 2^31 - 1.
static constexpr int32_t thresholdShift = 24;

static bool parseRange(StringRef text, std::optional<IndexRange> &range) {
  auto [first, end] = text.split(':');
  IndexRange parsed;
  if (first.trim().getAsInteger(10, parsed.first) ||
      end.trim().getAsInteger(10, parsed.end) || parsed.first < 0 ||
      parsed.size() < 1)
    return false;
  range = parsed;
  return true;
}

llvm::Expected<TileSelection> mlir::spikequant::parseSelection(StringRef text) {
  TileSelection selection;
  auto [site, tile] = text.split('[');
  selection.site = site.str();
  if (site.size() == text.size() && !site.empty())
    return selection;
  bool isClosed = tile.consume_back("]");
  auto [rows, columns] = tile.split(',');
  if (site.empty() || !isClosed || !parseRange(rows, selection.rows) ||
      !parseRange(columns, selection.columns))
    return llvm::createStringError(
        "'" + text +
        "' must be SITE or SITE[rows,columns], for example "
        "blk.0.ffn_down[0:64,128:192]");
  return selection;
}

namespace {
class TileReader {
public:
  TileReader(func::FuncOp function, TileSelection &selection)
      : function(function), selection(selection),
        result{{}, std::nullopt, function.getLoc(), {}} {}

  FailureOr<LocatedNetwork> read() {
    FailureOr<IntegrateOp> integrate = find();
    if (failed(integrate))
      return failure();
    auto encode = integrate->getCounts().getDefiningOp<EncodeOp>();
    if (!encode)
      return integrate->emitOpError() << "SEL-C2: its counts must come "
                                         "directly from spikequant.encode";
    if (integrate->getIndex())
      return integrate->emitOpError()
             << "SEL-C2: its matrix is chosen from a stack at run time; a tile "
                "needs one matrix";
    result.inputLocation = encode.getLoc();
    if (std::optional<SpikeCode> code = encode.getCode())
      result.code = static_cast<sq::SpikeCode>(*code);
    result.layerLocations.push_back(integrate->getLoc());
    result.network.name = selection.site;
    auto weights = tables.lookupNearestSymbolFrom<WeightsOp>(
        *integrate, integrate->getWeightsAttr());
    ArrayRef<int64_t> shape = weights.getArrayType().getShape();
    if (failed(place(*integrate, selection.rows, shape[0], "rows")) ||
        failed(place(*integrate, selection.columns, shape[1], "columns")) ||
        failed(readInput(encode, tables, result.network.input)) ||
        failed(readLayer(*integrate, weights)))
      return failure();
    slice(result.network.input.windows);
    slice(result.network.input.thresholds);
    return std::move(result);
  }

private:
  /// Codes are named after their weight.
  FailureOr<IntegrateOp> find() {
    SmallVector<IntegrateOp> found;
    function.walk([&](IntegrateOp op) {
      if (op.getWeights() == selection.site ||
          op.getWeights() == selection.site + ".codes")
        found.push_back(op);
    });
    if (found.size() == 1)
      return found.front();
    return function.emitError()
           << "SEL-C1: '" << function.getSymName() << "' has " << found.size()
           << " integrate operations with the weights '" << selection.site
           << "', not one";
  }

  LogicalResult place(IntegrateOp op, std::optional<IndexRange> &range,
                      int64_t size, StringRef what) {
    if (!range)
      range = IndexRange{0, size};
    if (range->end <= size)
      return success();
    return op.emitOpError() << "SEL-C3: " << what << " " << range->first << ":"
                            << range->end << " are not all in 0:" << size;
  }

  LogicalResult readLayer(IntegrateOp op, WeightsOp weights) {
    const sq::PackedEntry *entry =
        selection.weights ? selection.weights->find(weights.getSymName())
                          : nullptr;
    ArrayRef<int64_t> shape = weights.getArrayType().getShape();
    if (!entry || entry->kind != sq::PackedEntry::Kind::Codes ||
        entry->layout.n != shape[0] || entry->layout.k != shape[1])
      return op.emitOpError() << "SEL-C4: the codes '" << weights.getSymName()
                              << "' of " << shape[0] << " rows and " << shape[1]
                              << " columns must be in the packed file; give "
                                 "the program's own with --weights";
    sq::Layer layer;
    layer.name = selection.site;
    layer.outputs = selection.rows->size();
    layer.inputs = selection.columns->size();
    layer.lo = -selection.window;
    layer.hi = selection.window;
    sq::PackedCodes codes = selection.weights->codes(*entry);
    ArrayRef<float> scales = selection.weights->scales(*entry);
    for (int64_t o = selection.rows->first; o < selection.rows->end; ++o) {
      for (int64_t j = selection.columns->first; j < selection.columns->end;
           ++j)
        layer.weights.push_back(codes.weightAt(o, j));
      if (failed(addThreshold(op, layer, scales[o])))
        return failure();
    }
    result.network.layers.push_back(std::move(layer));
    return success();
  }

  /// theta = outputStep / (step s_w) = 2^S / M.
  LogicalResult addThreshold(IntegrateOp op, sq::Layer &layer, float scale) {
    double perMembrane = double(result.network.input.step) * scale;
    double multiplier = std::round(
        std::ldexp(perMembrane / selection.outputStep, thresholdShift));
    if (!(multiplier >= 1 && multiplier <= INT32_MAX))
      return op.emitOpError()
             << "SEL-C5: an output step of " << selection.outputStep
             << " is a threshold of "
             << llvm::formatv("{0}", selection.outputStep / perMembrane).str()
             << " membrane units, which has no form 2^" << thresholdShift
             << " / M; give another --output-step";
    layer.thresholds.push_back({static_cast<int32_t>(multiplier),
                                int64_t(1) << (thresholdShift - 1),
                                thresholdShift});
    return success();
  }

  template <typename T> void slice(std::vector<T> &channels) {
    channels = std::vector<T>(channels.begin() + selection.columns->first,
                              channels.begin() + selection.columns->end);
  }

  func::FuncOp function;
  TileSelection &selection;
  SymbolTableCollection tables;
  LocatedNetwork result;
};
} // namespace

FailureOr<LocatedNetwork>
mlir::spikequant::selectTile(func::FuncOp function, TileSelection &selection) {
  return TileReader(function, selection).read();
}
