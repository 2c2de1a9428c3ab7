//===- GridOps.cpp - verifiers of grid and table --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "Constraints.h"
#include "spikequant/Kernel/Grid.h"

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
