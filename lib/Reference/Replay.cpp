//===- Replay.cpp - recomputes recorded integers site by site ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every encode gets the real numbers that the recorded program saw, every
// integrate the counts that it had; so one difference does not cause others,
// and the site that printed it is the site that is wrong.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Kernel/Reference.h"
#include "spikequant/Reference/Runner.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/StringSet.h"

using namespace llvm;
using ::spikequant::NpyArray;
using ::spikequant::NpzArrays;

namespace mlir::spikequant {
namespace {

class Replay {
public:
  Replay(ReferenceProgram &program, const NpzArrays &taps, raw_ostream &os,
         bool spikePlanes)
      : symbols(*program.module), taps(taps), os(os),
        file(program.weights ? program.weights->base() : nullptr),
        integrate(spikePlanes ? sq_ref_integrate_planes : sq_ref_integrate) {}

  Error replay(EncodeOp op);
  Error replay(IntegrateOp op);
  Error replay(FireOp op);
  int64_t compared = 0, values = 0, differences = 0, missing = 0;

private:
  /// The recorded array, or null if there is none.
  Expected<const NpyArray *> find(const Twine &name, StringRef type,
                                  int64_t channels);
  Expected<const NpyArray *> findRowScale(EncodeOp op, int64_t rows);
  std::vector<int16_t> encode(EncodeOp op, const NpyArray &x,
                              const NpyArray *scale);
  const uint8_t *getData(FlatSymbolRefAttr weights, StringRef part);
  template <typename T>
  void compare(const Twine &name, ArrayRef<T> expected, ArrayRef<T> recorded,
               int64_t channels);

  SymbolTable symbols;
  const NpzArrays &taps;
  raw_ostream &os;
  const uint8_t *file;
  decltype(&sq_ref_integrate) integrate;
  StringSet<> done;
};

Expected<const NpyArray *> Replay::find(const Twine &name, StringRef type,
                                        int64_t channels) {
  auto found = taps.find(name.str());
  if (found == taps.end())
    return nullptr;
  const NpyArray &array = found->second;
  if (array.type != type || array.shape.size() != 2 ||
      array.shape[1] != channels)
    return createStringError("recorded array '" + name + "' is " +
                             array.describe() + ", not " +
                             ::spikequant::describeNpyType(type) + "[rows, " +
                             Twine(channels) + "]");
  return &array;
}

const uint8_t *Replay::getData(FlatSymbolRefAttr weights, StringRef part) {
  if (!weights)
    return nullptr;
  auto op = symbols.lookup<WeightsOp>(weights.getAttr());
  auto layout = op->getAttrOfType<DictionaryAttr>(kLayoutAttr);
  return file + layout.getAs<IntegerAttr>(part).getInt();
}

template <typename T>
void Replay::compare(const Twine &name, ArrayRef<T> expected,
                     ArrayRef<T> recorded, int64_t channels) {
  ++compared;
  values += recorded.size();
  int64_t different = 0, first = -1;
  for (int64_t i = 0, size = recorded.size(); i < size; ++i)
    if (expected[i] != recorded[i] && different++ == 0)
      first = i;
  if (different == 0)
    return;
  ++differences;
  os << name << ": " << different << " of " << recorded.size()
     << " integers differ; first at row " << first / channels << ", channel "
     << first % channels << ": reference " << expected[first] << ", recorded "
     << recorded[first] << "\n";
}

/// The factors of the rows, null if the operation has none.
Expected<const NpyArray *> Replay::findRowScale(EncodeOp op, int64_t rows) {
  if (!op.getRowScale())
    return nullptr;
  auto found = taps.find((op.getSite() + ".row_scale").str());
  if (found != taps.end() && found->second.type == "f4" &&
      found->second.elements() == rows)
    return &found->second;
  return createStringError("recorded array '" + op.getSite() +
                           ".row_scale' is missing or does not fit '" +
                           op.getSite() + ".x'");
}

Error Replay::replay(EncodeOp op) {
  StringRef site = op.getSite();
  int64_t channels = cast<ShapedType>(op.getType()).getShape().back();
  if (!done.insert(("encode " + site).str()).second)
    return Error::success();
  auto x = find(site + ".x", op.isInteger() ? "i4" : "f4", channels);
  if (!x)
    return x.takeError();
  auto counts = find(site + ".counts", "i2", channels);
  if (!counts)
    return counts.takeError();
  if (!*x || !*counts) {
    ++missing;
    return Error::success();
  }
  int64_t rows = (*x)->shape[0];
  auto scale = findRowScale(op, rows);
  if (!scale)
    return scale.takeError();
  if ((*counts)->shape != (*x)->shape)
    return createStringError("recorded arrays '" + site + ".x' and '" + site +
                             ".counts' have different shapes");
  compare<int16_t>(site + ".counts", encode(op, **x, *scale),
                   (*counts)->values<int16_t>(), channels);
  return Error::success();
}

std::vector<int16_t> Replay::encode(EncodeOp op, const NpyArray &x,
                                    const NpyArray *scale) {
  std::vector<int16_t> counts(x.elements());
  if (op.isInteger()) {
    sq_ref_encode_grid(
        x.values<int32_t>().data(),
        scale ? scale->values<float>().data() : nullptr, x.shape[0], x.shape[1],
        op.getUnit()->getExactLog2(),
        reinterpret_cast<const int32_t *>(getData(op.getRatesAttr(), "data")),
        reinterpret_cast<const int8_t *>(getData(op.getBitsAttr(), "data")),
        op.getReach(), counts.data());
    return counts;
  }
  auto real = [&](FlatSymbolRefAttr symbol) {
    return reinterpret_cast<const float *>(getData(symbol, "data"));
  };
  sq_ref_encode(
      x.values<float>().data(), scale ? scale->values<float>().data() : nullptr,
      x.shape[0], x.shape[1], op.getStep().convertToFloat(),
      real(op.getGainsAttr()), real(op.getCentresAttr()),
      reinterpret_cast<const int8_t *>(getData(op.getBitsAttr(), "data")),
      op.getReach(), counts.data(), nullptr);
  return counts;
}

/// The integrate that made a membrane, reshaped at most.
static IntegrateOp getIntegrate(Value membrane) {
  while (isa_and_nonnull<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(
      membrane.getDefiningOp()))
    membrane = membrane.getDefiningOp()->getOperand(0);
  return membrane.getDefiningOp<IntegrateOp>();
}

Error Replay::replay(IntegrateOp op) {
  StringRef site = getSiteOfCounts(op.getCounts());
  StringRef name = op.getWeights();
  auto weights = symbols.lookup<WeightsOp>(op.getWeightsAttr().getAttr());
  auto format = dyn_cast<CodesAttr>(weights.getFormat());
  if (site.empty() || !format || !done.insert(("acc " + name).str()).second)
    return Error::success();
  // The numbers that choose matrices of a stack are not recorded.
  if (op.getIndex()) {
    ++missing;
    return Error::success();
  }
  int64_t n = weights.getArrayType().getShape()[0];
  int64_t k = weights.getArrayType().getShape()[1];
  auto counts = find(site + ".counts", "i2", k);
  if (!counts)
    return counts.takeError();
  auto acc = find(name + ".acc", "i8", n);
  if (!acc)
    return acc.takeError();
  if (!*counts || !*acc) {
    ++missing;
    return Error::success();
  }
  int64_t rows = (*acc)->shape[0];
  if ((*counts)->shape[0] != rows)
    return createStringError("recorded arrays '" + name + ".acc' and '" + site +
                             ".counts' have different numbers of rows");
  auto layout = weights->getAttrOfType<DictionaryAttr>(kLayoutAttr);
  auto offset = [&](StringRef part) {
    return layout.getAs<IntegerAttr>(part).getInt();
  };
  std::vector<int64_t> expected(rows * n);
  integrate((*counts)->values<int16_t>().data(), rows, k, file, offset("codes"),
            std::max(format.getBits(), 2u), offset("offset_bits"),
            format.getGroup() ? format.getGroup() : k, n, expected.data());
  compare<int64_t>(name + ".acc", expected, (*acc)->values<int64_t>(), n);
  return Error::success();
}

/// Counts that membranes of one integrate fire through packed thresholds.
Error Replay::replay(FireOp op) {
  auto integrate = getIntegrate(op.getMembrane());
  if (!integrate || !op.getThresholds() || !op.getSite() ||
      !done.insert(("fire " + *op.getSite()).str()).second)
    return Error::success();
  int64_t n = cast<ShapedType>(op.getType()).getShape().back();
  auto acc = find(integrate.getWeights() + ".acc", "i8", n);
  if (!acc)
    return acc.takeError();
  auto counts = find(*op.getSite() + ".counts", "i2", n);
  if (!counts)
    return counts.takeError();
  if (!*acc || !*counts) {
    ++missing;
    return Error::success();
  }
  if ((*acc)->shape != (*counts)->shape)
    return createStringError("recorded arrays '" + integrate.getWeights() +
                             ".acc' and '" + *op.getSite() +
                             ".counts' have different shapes");
  int64_t rows = (*acc)->shape[0];
  std::vector<int16_t> expected(rows * n);
  sq_ref_fire_table((*acc)->values<int64_t>().data(), rows, n,
                    reinterpret_cast<const int64_t *>(
                        getData(op.getThresholdsAttr(), "data")),
                    static_cast<int32_t>(op.getLo()),
                    static_cast<int32_t>(op.getHi()), expected.data());
  if (op.getBits())
    sq_ref_window(
        expected.data(), rows, n,
        reinterpret_cast<const int8_t *>(getData(op.getBitsAttr(), "data")),
        static_cast<int32_t>(op.getTolerance()));
  compare<int16_t>(*op.getSite() + ".counts", expected,
                   (*counts)->values<int16_t>(), n);
  return Error::success();
}

} // namespace

Expected<int64_t> replayTaps(ReferenceProgram &program, const NpzArrays &taps,
                             raw_ostream &os, bool spikePlanes) {
  Replay replay(program, taps, os, spikePlanes);
  Error failure = Error::success();
  program.module->walk([&](Operation *op) {
    if (auto encode = dyn_cast<EncodeOp>(op))
      failure = replay.replay(encode);
    else if (auto fire = dyn_cast<FireOp>(op))
      failure = replay.replay(fire);
    else if (auto integrate = dyn_cast<IntegrateOp>(op))
      failure = replay.replay(integrate);
    return failure ? WalkResult::interrupt() : WalkResult::advance();
  });
  if (failure)
    return std::move(failure);
  if (replay.compared == 0)
    return createStringError("none of the program's sites was recorded: the "
                             "file needs arrays '<site>.x', '<site>.counts' "
                             "and '<weights>.acc'");
  os << "replayed " << replay.compared << " arrays, " << replay.values
     << " integers: " << replay.differences << " arrays differ, "
     << replay.missing << " not recorded\n";
  return replay.differences;
}

} // namespace mlir::spikequant
