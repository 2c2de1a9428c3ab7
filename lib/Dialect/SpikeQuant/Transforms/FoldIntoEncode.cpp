//===- FoldIntoEncode.cpp - row and channel factors of an encode ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FoldScales.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Kernel/Encode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

FailureOr<FlatSymbolRefAttr>
mlir::spikequant::getRealArray(ModuleOp module, Location loc, StringRef name,
                               ArrayRef<float> values) {
  Builder b(module.getContext());
  auto type = RankedTensorType::get(static_cast<int64_t>(values.size()),
                                    b.getF32Type());
  WeightsContent content{};
  content.type = type;
  content.format = RealAttr::get(b.getContext());
  content.value = cast<ElementsAttr>(DenseElementsAttr::get(type, values));
  FailureOr<WeightsOp> symbol = getOrCreateWeights(module, loc, name, content);
  if (failed(symbol))
    return failure();
  return FlatSymbolRefAttr::get(symbol->getSymNameAttr());
}

/// The product of all row factors of one shape, [rows..].
static Value multiplyRows(OpBuilder &b, Location loc,
                          ArrayRef<RowFactor> factors) {
  ArrayRef<int64_t> rows = ArrayRef(factors.front().shape).drop_back();
  Type f32 = b.getF32Type();
  const RowFactor &first = factors.front();
  bool asItIs =
      factors.size() == 1 && !first.reciprocal &&
      cast<ShapedType>(first.value.getType()).getShape() == rows &&
      first.map ==
          b.getMultiDimIdentityMap(rows.size() + 1).getMajorSubMap(rows.size());
  if (asItIs)
    return first.value;
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (const RowFactor &factor : factors) {
    inputs.push_back(factor.value);
    // Without the channel, which no factor reads.
    maps.push_back(AffineMap::get(rows.size(), 0, factor.map.getResults(),
                                  b.getContext()));
  }
  maps.push_back(b.getMultiDimIdentityMap(rows.size()));
  Value empty = tensor::EmptyOp::create(b, loc, rows, f32);
  SmallVector<utils::IteratorType> loops(rows.size(),
                                         utils::IteratorType::parallel);
  auto product = linalg::GenericOp::create(
      b, loc, empty.getType(), inputs, empty, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange values) {
        Value result;
        for (auto [factor, value] : llvm::zip(factors, values)) {
          if (!result && factor.reciprocal)
            result = arith::ConstantOp::create(b, loc, b.getF32FloatAttr(1.0f));
          if (factor.reciprocal)
            result = arith::DivFOp::create(b, loc, result, value);
          else
            result =
                result ? arith::MulFOp::create(b, loc, result, value) : value;
        }
        linalg::YieldOp::create(b, loc, result);
      });
  return product.getResult(0);
}

bool mlir::spikequant::areRowTensors(const ScaleForm &form) {
  return llvm::all_of(form.rows, [&](const RowFactor &factor) {
    return isa<RankedTensorType>(factor.value.getType()) &&
           factor.shape == form.rows.front().shape &&
           factor.views == form.rows.front().views;
  });
}

std::optional<EncodeChannels>
mlir::spikequant::getChannels(EncodeOp op, ConstantReals &constants) {
  EncodeChannels channels{constants.getValues(op.getGainsAttr()),
                          constants.getValues(op.getCentresAttr())};
  bool known = (!op.getGains() || !channels.gains.empty()) &&
               (!op.getCentres() || !channels.centres.empty());
  return known ? std::optional(channels) : std::nullopt;
}

Value mlir::spikequant::getRowScale(OpBuilder &b, Location loc,
                                    const ScaleForm &form) {
  return replayViews(b, loc, multiplyRows(b, loc, form.rows),
                     form.rows.front().views, /*ofRows=*/true);
}

namespace {
/// Gains and centres as a threshold takes them.
struct ChannelArrays {
  std::vector<float> gains, centres;
  /// The first channel whose threshold is not well formed, or -1.
  int64_t refused = -1;
};
} // namespace

/// n = round((C b + A - z) / s) = round((b - (z - A) / C) C / s): `old` are the
/// z that the encode has, or none.
static ChannelArrays getChannelArrays(EncodeOp op, const ScaleForm &form,
                                      ArrayRef<float> old) {
  ChannelArrays arrays;
  float step = op.getStep().convertToFloat();
  for (auto [j, scale] : llvm::enumerate(form.scales)) {
    auto gain = static_cast<float>(scale);
    double shift = old.empty() ? -form.shifts[j] : old[j] - form.shifts[j];
    auto centre = static_cast<float>(shift / scale);
    arrays.gains.push_back(gain);
    arrays.centres.push_back(form.shifted || !old.empty() ? centre : 0.0f);
    if (arrays.refused < 0 &&
        !::spikequant::encodeThreshold(step, gain, arrays.centres.back()))
      arrays.refused = j;
  }
  return arrays;
}

/// Not a failure of the pass: the program stays as it is.
static bool refuse(EncodeOp op, FoldContext &context, const Twine &why) {
  remark::missed(op.getLoc(), context.remark("encode-left"))
      << remark::add("site '{0}': {1}", op.getSite(), why.str());
  return false;
}

static void remarkFolded(EncodeOp op, const ScaleForm &form,
                         FoldContext &context) {
  std::string parts;
  for (StringRef part : {form.rows.empty() ? "" : "row factor",
                         form.scaled ? "channel gains" : "",
                         form.shifted ? "channel centres" : ""})
    if (!part.empty())
      parts += (parts.empty() ? "" : ", ") + part.str();
  // Roundings before, and those of gains, rates, the rows' product and the two
  // products of encode.
  int roundings = form.roundings + 2 + 5 + int(form.rows.size());
  remark::passed(op.getLoc(), context.remark("encode-folded"))
      << remark::add("site '{0}': {1} moved into the threshold; a count may "
                     "differ by one where v is nearer to an integer than {2} "
                     "ulp of its largest term",
                     op.getSite(), parts, roundings);
}

FailureOr<bool> mlir::spikequant::foldIntoEncode(EncodeOp op,
                                                 const ScaleForm &form,
                                                 ConstantReals &constants,
                                                 FoldContext context) {
  if (op.getRowScale() || op.getGains())
    return refuse(op, context, "it has a row scale or gains already");
  ArrayRef<float> old = constants.getValues(op.getCentresAttr());
  if (op.getCentres() && old.empty())
    return refuse(op, context, "the values of its centres are not known");
  if (!areRowTensors(form))
    return refuse(op, context, "its row factors have different shapes");
  ChannelArrays arrays = getChannelArrays(op, form, old);
  if (arrays.refused >= 0)
    return refuse(op, context,
                  "the gain of channel " + Twine(arrays.refused) +
                      " gives no finite normal rate");
  IRRewriter &b = context.rewriter;
  Location loc = op.getLoc();
  b.setInsertionPoint(op);
  FlatSymbolRefAttr gains, centres;
  auto store = [&](StringRef suffix, ArrayRef<float> values) {
    return getRealArray(context.module, loc, (op.getSite() + suffix).str(),
                        values);
  };
  if (form.scaled) {
    LoadWeightsOp array = form.gain;
    FailureOr<FlatSymbolRefAttr> symbol = FlatSymbolRefAttr();
    if (array)
      symbol = array.getWeightsAttr();
    else
      symbol = store(".gains", arrays.gains);
    if (failed(symbol))
      return failure();
    gains = *symbol;
  }
  if (form.shifted || !old.empty()) {
    auto symbol =
        store(old.empty() ? ".centres" : ".folded_centres", arrays.centres);
    if (failed(symbol))
      return failure();
    centres = *symbol;
  }
  Value rowScale;
  if (!form.rows.empty())
    rowScale = getRowScale(b, loc, form);
  Value base = replayViews(b, loc, form.base, form.views, /*ofRows=*/false);
  auto folded = EncodeOp::create(
      b, loc, op.getType(), base, rowScale, op.getStepAttr(), op.getSiteAttr(),
      op.getBitsAttr(), gains, centres, op.getToleranceAttr(),
      op.getOverflowAttr(), op.getCodeAttr());
  folded->setAttr(kFoldedAttr, b.getUnitAttr());
  remarkFolded(op, form, context);
  b.replaceOp(op, folded);
  return true;
}
