//===- SpikeQuantOps.cpp - verifiers and effects
//------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

using namespace mlir;
using namespace mlir::spikequant;

#define GET_OP_CLASSES
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantOps.cpp.inc"

LogicalResult WeightsOp::verify() { return success(); }

LogicalResult LoadWeightsOp::verifySymbolUses(SymbolTableCollection &) {
  return success();
}

LogicalResult LookupOp::verify() { return success(); }
LogicalResult LookupOp::verifySymbolUses(SymbolTableCollection &) {
  return success();
}

LogicalResult EncodeOp::verify() { return success(); }
LogicalResult EncodeOp::verifySymbolUses(SymbolTableCollection &) {
  return success();
}

LogicalResult IntegrateOp::verify() { return success(); }
LogicalResult IntegrateOp::verifySymbolUses(SymbolTableCollection &) {
  return success();
}

LogicalResult FireOp::verify() { return success(); }
OpFoldResult FireOp::fold(FoldAdaptor) { return {}; }

LogicalResult DecodeOp::verify() { return success(); }
LogicalResult DecodeOp::verifySymbolUses(SymbolTableCollection &) {
  return success();
}

/// Destination-style ops on buffers read their inputs and write their outputs;
/// on tensors they have no effect.
static void
addDestinationEffects(DestinationStyleOpInterface op,
                      SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  for (OpOperand &operand : op->getOpOperands()) {
    if (!isa<MemRefType>(operand.get().getType()))
      continue;
    if (op.isDpsInit(&operand))
      effects.emplace_back(MemoryEffects::Write::get(), &operand,
                           SideEffects::DefaultResource::get());
    else
      effects.emplace_back(MemoryEffects::Read::get(), &operand,
                           SideEffects::DefaultResource::get());
  }
}

LogicalResult EncodeSplitOp::verify() { return success(); }
void EncodeSplitOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
}

LogicalResult IntegrateDecodeOp::verify() { return success(); }
void IntegrateDecodeOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
}

LogicalResult LookupRowsOp::verify() { return success(); }
void LookupRowsOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
}
