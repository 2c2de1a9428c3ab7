//===- GridOps.cpp - verifiers of grid, table and exponent ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "Constraints.h"
#include "spikequant/Kernel/Exponent.h"
#include "spikequant/Kernel/Grid.h"

#include <climits>

using namespace mlir;
using namespace mlir::spikequant;

LogicalResult GridOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findWeights(*this, tables, getRatesAttr(), "GRD-C1");
  if (failed(weights))
    return failure();
  RankedTensorType type = getType();
  if (isa<RatesAttr>(weights->getFormat()) && type.getRank() > 0 &&
      weights->getArrayType().getDimSize(1) == type.getShape().back())
    return success();
  return emitOpError() << "GRD-C1: " << getRatesAttr()
                       << " must be #spikequant.rates of as many channels as "
                       << type;
}

LogicalResult mlir::spikequant::verifyEncodeForm(Operation *op, Type element,
                                                 std::optional<APFloat> unit,
                                                 FlatSymbolRefAttr rates,
                                                 bool hasChannels) {
  bool integer = element.isInteger(32);
  if (integer != unit.has_value() || integer != static_cast<bool>(rates) ||
      (integer && hasChannels))
    return op->emitOpError() << "ENC-C10: fixed-point numbers, and nothing "
                                "else, have a unit and rates, which hold their "
                                "gains and centres";
  if (!unit || unit->getExactLog2() != INT_MIN)
    return success();
  return op->emitOpError() << "ENC-C10: unit must be a power of two, not "
                           << unit->convertToDouble();
}

LogicalResult mlir::spikequant::verifyCountRates(Operation *op,
                                                 SymbolTableCollection &tables,
                                                 FlatSymbolRefAttr rates,
                                                 int64_t channels) {
  if (!rates)
    return success();
  FailureOr<WeightsOp> weights = findWeights(op, tables, rates, "ENC-C11");
  if (failed(weights))
    return failure();
  if (isa<CountRatesAttr>(weights->getFormat()) &&
      weights->getArrayType().getDimSize(1) == channels)
    return success();
  return op->emitOpError() << "ENC-C11: " << rates
                           << " must be #spikequant.count_rates of " << channels
                           << " channels";
}

LogicalResult mlir::spikequant::verifyLookupRates(Operation *op,
                                                  SymbolTableCollection &tables,
                                                  WeightsOp weights,
                                                  FlatSymbolRefAttr rates,
                                                  StringRef tag) {
  if (!rates)
    return success();
  FailureOr<WeightsOp> array = findWeights(op, tables, rates, tag);
  if (failed(array))
    return failure();
  int64_t rows = weights.getArrayType().getDimSize(0);
  if (isa<RatesAttr>(array->getFormat()) &&
      array->getArrayType().getDimSize(1) == rows)
    return success();
  return op->emitOpError() << tag << ": " << rates
                           << " must be #spikequant.rates of " << rows
                           << " channels, the rows of @"
                           << weights.getSymName();
}

LogicalResult ScaleRowsOp::verify() {
  RankedTensorType type = getType();
  if (type.getRank() == 0 ||
      getRowScale().getType().getShape() != type.getShape().drop_back())
    return emitOpError() << "SCR-C1: there must be one factor per row of "
                         << type << ", not " << getRowScale().getType();
  if (getUnit().getExactLog2() != INT_MIN)
    return success();
  return emitOpError() << "SCR-C2: unit must be a power of two, not "
                       << getUnit().convertToDouble();
}

LogicalResult ExponentOp::verify() {
  RankedTensorType type = getType();
  if (type.getRank() == 0 ||
      type.getShape() != getScores().getType().getShape() ||
      getMaximum().getType().getShape() != type.getShape().drop_back())
    return emitOpError()
           << "EXP-C1: scores and counts must have one shape, the "
              "maximum that of their rows";
  int64_t rows = 1;
  for (int64_t size : type.getShape().drop_back())
    rows *= size;
  auto heads = static_cast<int64_t>(getMultipliers().size());
  if (heads == 0 ||
      (heads > 1 &&
       (ShapedType::isDynamicShape(type.getShape()) || rows % heads != 0)))
    return emitOpError()
           << "EXP-C2: needs one multiplier, or as many as divide "
              "the number of rows, not "
           << heads;
  ::spikequant::ExponentForm form{getLargestCount(), getPreshiftBits(),
                                  getShiftBits(), getOffsets().has_value()};
  for (int64_t multiplier : getMultipliers())
    if (!::spikequant::getExponentConstants(form, multiplier))
      return emitOpError() << "EXP-C3: largest = " << form.largest
                           << ", preshift = " << form.preshift
                           << ", shift = " << form.shift << " and multiplier "
                           << multiplier << " leave the ranges of docs/spec.md";
  if (getSite().empty())
    return emitOpError() << "EXP-C4: site must not be empty";
  return success();
}

LogicalResult ExponentOp::verifySymbolUses(SymbolTableCollection &tables) {
  if (!getOffsets())
    return success();
  FailureOr<WeightsOp> weights =
      findWeights(*this, tables, getOffsetsAttr(), "EXP-C5");
  if (failed(weights))
    return failure();
  RankedTensorType type = weights->getArrayType();
  if (isa<RealAttr>(weights->getFormat()) &&
      type.getElementType().isInteger(32) &&
      type.getShape() == getType().getShape().take_back(1))
    return success();
  return emitOpError() << "EXP-C5: " << getOffsetsAttr()
                       << " must be a #spikequant.real i32 array with one "
                          "value for each key";
}

LogicalResult TableOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findWeights(*this, tables, getTableAttr(), "TAB-C1");
  if (failed(weights))
    return failure();
  RankedTensorType type = weights->getArrayType();
  if (!isa<RealAttr>(weights->getFormat()) || type.getRank() != 1 ||
      !type.getElementType().isInteger(32))
    return emitOpError() << "TAB-C1: " << getTableAttr()
                         << " must be a #spikequant.real array [E] of i32";
  auto lo = static_cast<int32_t>(getLo());
  if (lo > -::spikequant::maxGrid &&
      lo + type.getDimSize(0) - 1 <= ::spikequant::maxGrid)
    return success();
  return emitOpError() << "TAB-C2: entries " << lo << " to "
                       << lo + type.getDimSize(0) - 1
                       << " must be between -(2^31-1) and 2^31-1";
}
