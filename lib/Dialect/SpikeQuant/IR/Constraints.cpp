//===- Constraints.cpp - checks that several operations share -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Constraints.h"

#include "spikequant/Kernel/Encode.h"

using namespace mlir;
using namespace mlir::spikequant;

FailureOr<WeightsOp>
mlir::spikequant::findWeights(Operation *op, SymbolTableCollection &tables,
                              FlatSymbolRefAttr symbol, StringRef tag) {
  auto weights = tables.lookupNearestSymbolFrom<WeightsOp>(op, symbol);
  if (weights)
    return weights;
  return op->emitOpError() << tag << ": " << symbol
                           << " does not name a 'spikequant.weights'";
}

FailureOr<WeightsOp> mlir::spikequant::findCodes(Operation *op,
                                                 SymbolTableCollection &tables,
                                                 FlatSymbolRefAttr symbol,
                                                 StringRef tag) {
  FailureOr<WeightsOp> weights = findWeights(op, tables, symbol, tag);
  if (failed(weights) || isa<CodesAttr>(weights->getFormat()))
    return weights;
  InFlightDiagnostic diag = op->emitOpError()
                            << tag << ": " << symbol
                            << " must have the format #spikequant.codes";
  diag.attachNote(weights->getLoc())
      << "its format is " << weights->getFormat();
  return failure();
}

LogicalResult mlir::spikequant::verifyStep(Operation *op, const APFloat &step,
                                           StringRef tag) {
  if (::spikequant::encodeThreshold(step.convertToFloat()))
    return success();
  return op->emitOpError() << tag
                           << ": step must be finite and above 0, its "
                              "reciprocal finite and normal, not "
                           << step.convertToFloat();
}

LogicalResult mlir::spikequant::verifyEncodeAttributes(Operation *op,
                                                       const APFloat &step,
                                                       int32_t tolerance,
                                                       StringRef site) {
  if (failed(verifyStep(op, step, "ENC-C3")))
    return failure();
  bool reachesAll =
      isa<EncodeSplitOp>(op) && tolerance == ::spikequant::maxCount;
  if (tolerance != 0 && tolerance != 1 && !reachesAll)
    return op->emitOpError()
           << "ENC-C4: tolerance must be 0 or 1, not " << tolerance;
  if (site.empty())
    return op->emitOpError() << "ENC-C8: site must have a name";
  return success();
}

/// A real array of `channels` elements of `elementType`.
static FailureOr<WeightsOp> findChannelArray(Operation *op,
                                             SymbolTableCollection &tables,
                                             FlatSymbolRefAttr symbol,
                                             int64_t channels, Type elementType,
                                             StringRef tag) {
  FailureOr<WeightsOp> weights = findWeights(op, tables, symbol, tag);
  if (failed(weights))
    return failure();
  auto expected = RankedTensorType::get({channels}, elementType);
  if (isa<RealAttr>(weights->getFormat()) &&
      weights->getArrayType() == expected)
    return weights;
  InFlightDiagnostic diag = op->emitOpError()
                            << tag << ": " << symbol
                            << " must be a #spikequant.real array of type "
                            << expected;
  diag.attachNote(weights->getLoc()) << "it is declared here";
  return failure();
}

/// Bits known at compile time are 0..8.
static LogicalResult verifyBits(Operation *op, WeightsOp bits) {
  auto values = dyn_cast_or_null<DenseIntElementsAttr>(bits.getValueAttr());
  if (!values)
    return success();
  for (auto [channel, value] : llvm::enumerate(values.getValues<int8_t>()))
    if (value < 0 || value > ::spikequant::maxChannelBits)
      return op->emitOpError()
             << "ENC-C5: channel " << channel << " of @" << bits.getSymName()
             << " has " << int(value) << " bits, not 0 to "
             << ::spikequant::maxChannelBits;
  return success();
}

static std::optional<SmallVector<float>>
getLiteral(WeightsOp weights, int64_t channels, float absent) {
  if (!weights)
    return SmallVector<float>(channels, absent);
  auto values = dyn_cast_or_null<DenseFPElementsAttr>(weights.getValueAttr());
  if (!values)
    return std::nullopt;
  return llvm::to_vector(values.getValues<float>());
}

/// Constants known at compile time give every channel a usable threshold.
static LogicalResult verifyThresholds(Operation *op, float step,
                                      int64_t channels, WeightsOp gains,
                                      WeightsOp centres) {
  auto a = getLiteral(gains, channels, 1.0f);
  auto z = getLiteral(centres, channels, 0.0f);
  if (!a || !z)
    return success();
  for (int64_t j = 0; j < channels; ++j)
    if (!::spikequant::encodeThreshold(step, (*a)[j], (*z)[j]))
      return op->emitOpError()
             << "ENC-C7: gain " << (*a)[j] << " and centre " << (*z)[j]
             << " of channel " << j << " over step " << step
             << " are not finite and normal";
  return success();
}

LogicalResult mlir::spikequant::verifyEncodeSymbols(
    Operation *op, SymbolTableCollection &tables, int64_t channels, float step,
    FlatSymbolRefAttr bits, FlatSymbolRefAttr gains,
    FlatSymbolRefAttr centres) {
  Builder builder(op->getContext());
  if (bits) {
    auto weights = findChannelArray(op, tables, bits, channels,
                                    builder.getI8Type(), "ENC-C5");
    if (failed(weights) || failed(verifyBits(op, *weights)))
      return failure();
  }
  const FlatSymbolRefAttr symbols[] = {gains, centres};
  WeightsOp arrays[2];
  for (auto [symbol, array] : llvm::zip_equal(symbols, arrays)) {
    if (!symbol)
      continue;
    auto weights = findChannelArray(op, tables, symbol, channels,
                                    builder.getF32Type(), "ENC-C6");
    if (failed(weights))
      return failure();
    array = *weights;
  }
  if (!gains && !centres)
    return success();
  return verifyThresholds(op, step, channels, arrays[0], arrays[1]);
}

LogicalResult mlir::spikequant::verifyStackIndex(Operation *op,
                                                 WeightsOp weights, Value index,
                                                 ArrayRef<int64_t> rows,
                                                 StringRef tag) {
  bool isStack = weights.getArrayType().getRank() == 3;
  if (isStack != static_cast<bool>(index)) {
    InFlightDiagnostic diag = op->emitOpError() << tag;
    if (isStack)
      diag << ": a stack of weights needs an index";
    else
      diag << ": only a stack of weights [L, N, K] has an index";
    diag.attachNote(weights.getLoc()) << "the weights are declared here";
    return diag;
  }
  auto vector = index ? dyn_cast<ShapedType>(index.getType()) : ShapedType();
  if (!vector || (!rows.empty() && vector.getShape().front() == rows.front()))
    return success();
  return op->emitOpError() << tag << ": index must have one number for each of "
                           << (rows.empty() ? 0 : rows.front())
                           << " leading slices, not be " << vector;
}
