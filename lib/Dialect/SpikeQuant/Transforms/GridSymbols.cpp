//===- GridSymbols.cpp - symbols of rates and tables ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GridSymbols.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

/// The symbol `name` with this content, or `name.2` and so on where it means
/// something else already.
static FailureOr<FlatSymbolRefAttr> getSymbol(ModuleOp module, Location loc,
                                              const Twine &name,
                                              const WeightsContent &content) {
  std::string base = name.str(), free = base;
  for (int i = 2;; ++i) {
    WeightsOp known = lookupWeights(module, free);
    if (!known || WeightsContent::of(known) == content)
      break;
    free = base + "." + std::to_string(i);
  }
  FailureOr<WeightsOp> symbol = getOrCreateWeights(module, loc, free, content);
  if (failed(symbol))
    return failure();
  return FlatSymbolRefAttr::get(symbol->getSymNameAttr());
}

static FailureOr<FlatSymbolRefAttr> getChannels(ModuleOp module, Location loc,
                                                const Twine &name, bool present,
                                                ArrayRef<double> values) {
  if (!present)
    return FlatSymbolRefAttr();
  SmallVector<float> rounded(values.begin(), values.end());
  Builder b(module.getContext());
  WeightsContent content{};
  content.type = RankedTensorType::get(values.size(), b.getF32Type());
  content.format = RealAttr::get(module.getContext());
  content.value =
      DenseElementsAttr::get(content.type, ArrayRef<float>(rounded));
  return getSymbol(module, loc, name, content);
}

FailureOr<FlatSymbolRefAttr> GridSymbols::getRates(const DecodedLeaf &leaf,
                                                   double unit, Location loc) {
  DecodeOp decode = leaf.getDecode();
  StringRef name = decode.getWeights();
  auto gains = getChannels(module, loc, name + ".grid.gains", leaf.form.scaled,
                           leaf.form.scales);
  auto biases = getChannels(module, loc, name + ".grid.biases",
                            leaf.form.shifted, leaf.form.shifts);
  if (failed(gains) || failed(biases))
    return failure();
  Builder b(module.getContext());
  WeightsContent content{};
  content.type = RankedTensorType::get(
      {3, static_cast<int64_t>(leaf.form.scales.size())}, b.getI32Type());
  content.format = RatesAttr::get(module.getContext(), decode.getWeightsAttr(),
                                  decode.getStepAttr(), b.getF32FloatAttr(unit),
                                  *gains, *biases);
  return getSymbol(module, loc, name + ".grid", content);
}

FailureOr<Value> GridSymbols::makeGrid(OpBuilder &b, Location loc,
                                       const DecodedLeaf &leaf, double unit) {
  FailureOr<FlatSymbolRefAttr> rates = getRates(leaf, unit, loc);
  if (failed(rates))
    return failure();
  Value membrane = replayViews(b, loc, leaf.getDecode().getMembrane(),
                               leaf.form.views, /*ofRows=*/false);
  auto type = cast<RankedTensorType>(membrane.getType());
  return GridOp::create(b, loc, type.clone(b.getI32Type()), membrane, *rates)
      .getResult();
}

FailureOr<FlatSymbolRefAttr>
GridSymbols::getRowRates(WeightsOp weights, double unit, Location loc) {
  Builder b(module.getContext());
  WeightsContent content{};
  content.type = RankedTensorType::get(
      {3, weights.getArrayType().getDimSize(0)}, b.getI32Type());
  content.format = RatesAttr::get(
      module.getContext(), FlatSymbolRefAttr::get(weights.getSymNameAttr()),
      b.getF32FloatAttr(1.0f), b.getF32FloatAttr(unit), {}, {});
  return getSymbol(module, loc, weights.getSymName() + ".grid", content);
}

FailureOr<FlatSymbolRefAttr> GridSymbols::getScaledRates(const ScaleForm &form,
                                                         double step,
                                                         double unit,
                                                         Location loc) {
  auto gains =
      getChannels(module, loc, "stream.gains", form.scaled, form.scales);
  auto biases =
      getChannels(module, loc, "stream.biases", form.shifted, form.shifts);
  if (failed(gains) || failed(biases))
    return failure();
  Builder b(module.getContext());
  WeightsContent content{};
  content.type = RankedTensorType::get(
      {3, static_cast<int64_t>(form.scales.size())}, b.getI32Type());
  content.format =
      RatesAttr::get(module.getContext(), {}, b.getF32FloatAttr(step),
                     b.getF32FloatAttr(unit), *gains, *biases);
  return getSymbol(module, loc, "stream.grid", content);
}

FailureOr<FlatSymbolRefAttr> GridSymbols::getNumbers(const Twine &name,
                                                     RankedTensorType type,
                                                     ArrayRef<int32_t> numbers,
                                                     Location loc) {
  WeightsContent content{};
  content.type = type;
  content.format = RealAttr::get(module.getContext());
  content.value = DenseElementsAttr::get(type, numbers);
  return getSymbol(module, loc, name, content);
}

FailureOr<FlatSymbolRefAttr> GridSymbols::getCountRates(EncodeOp op,
                                                        double unit) {
  Builder b(module.getContext());
  WeightsContent content{};
  content.type = RankedTensorType::get({3, op.getType().getShape().back()},
                                       b.getI32Type());
  content.format = CountRatesAttr::get(
      module.getContext(), b.getF32FloatAttr(unit), op.getStepAttr(),
      op.getGainsAttr(), op.getCentresAttr());
  return getSymbol(module, op.getLoc(), op.getSite() + ".rates", content);
}

FailureOr<FlatSymbolRefAttr> GridSymbols::getTable(ArrayRef<int32_t> entries,
                                                   Location loc) {
  FlatSymbolRefAttr &symbol = tables[entries.vec()];
  if (symbol)
    return symbol;
  auto type = RankedTensorType::get(entries.size(),
                                    IntegerType::get(module.getContext(), 32));
  auto created =
      getNumbers("function." + Twine(tables.size() - 1), type, entries, loc);
  if (failed(created))
    return failure();
  return symbol = *created;
}

std::optional<double> mlir::spikequant::estimateSpread(const DecodedLeaf &leaf,
                                                       ConstantReals &constants,
                                                       ModuleOp module) {
  DecodeOp decode = leaf.getDecode();
  WeightsOp weights = lookupWeights(module, decode.getWeights());
  std::optional<double> square =
      weights ? constants.getMeanRowSquare(weights) : std::nullopt;
  if (!square)
    return std::nullopt;
  double gains = 0;
  for (double scale : leaf.form.scales)
    gains += scale * scale / double(leaf.form.scales.size());
  double spread =
      3 * decode.getStep().convertToDouble() * std::sqrt(*square * gains);
  return spread > 0 && std::isfinite(spread) ? std::optional(spread)
                                             : std::nullopt;
}

double mlir::spikequant::roundDownToPower(double value) {
  return std::exp2(std::floor(std::log2(value)));
}
