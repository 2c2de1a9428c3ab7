//===- ProcessorOps.cpp - verifiers of the processor form -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The numbers of the constraints are those of docs/spec.md.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "Constraints.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::spikequant;

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

/// `operands` has between `least` and `most` entries.
static LogicalResult verifyCount(Operation *op, OperandRange operands,
                                 size_t least, size_t most, StringRef tag,
                                 StringRef what) {
  if (operands.size() >= least && operands.size() <= most)
    return success();
  InFlightDiagnostic diag = op->emitOpError();
  diag << tag << ": needs " << least;
  if (most != least)
    diag << " or " << most;
  return diag << " " << what << ", not " << operands.size();
}

/// `value` is [shape] of `elementType`, as a tensor or a buffer.
static LogicalResult verifyArray(Operation *op, Value value,
                                 ArrayRef<int64_t> shape, Type elementType,
                                 StringRef tag, StringRef what) {
  auto type = cast<ShapedType>(value.getType());
  if (type.hasRank() && type.getShape() == shape &&
      type.getElementType() == elementType)
    return success();
  return op->emitOpError() << tag << ": " << what << " must be "
                           << RankedTensorType::get(shape, elementType)
                           << " or a buffer like it, not " << type;
}

/// `value` is a matrix of static shape and `elementType`.
static FailureOr<ArrayRef<int64_t>> verifyMatrix(Operation *op, Value value,
                                                 Type elementType,
                                                 StringRef tag,
                                                 StringRef what) {
  auto type = cast<ShapedType>(value.getType());
  if (type.hasRank() && type.getRank() == 2 && type.hasStaticShape() &&
      type.getElementType() == elementType)
    return type.getShape();
  return op->emitOpError() << tag << ": " << what
                           << " must be a matrix of static shape and "
                           << elementType << ", not " << type;
}

//===----------------------------------------------------------------------===//
// encode_split
//===----------------------------------------------------------------------===//

static LogicalResult verifySplitOutputs(EncodeSplitOp op, int64_t rows,
                                        int64_t channels) {
  Builder b(op.getContext());
  auto group = static_cast<int64_t>(op.getGroup());
  OperandRange outputs = op.getOutputs();
  int64_t padded = llvm::alignTo(channels, 8);
  int64_t groups = llvm::divideCeil(channels, group);
  if (failed(verifyArray(op, outputs[0], {rows, padded}, b.getI8Type(),
                         "ESP-C4", "dense")) ||
      failed(verifyArray(op, outputs[1], {rows, groups}, b.getI32Type(),
                         "ESP-C5", "sums")) ||
      failed(verifyArray(op, outputs[2], {rows, 2 + 2 * channels},
                         b.getI32Type(), "ESP-C6", "overflow")))
    return failure();
  if (outputs.size() < 4)
    return success();
  return verifyArray(op, outputs[3], {rows, channels}, b.getI16Type(), "ESP-C7",
                     "counts");
}

LogicalResult EncodeSplitOp::verify() {
  Builder b(getContext());
  if (failed(verifyCount(*this, getInputs(), 1, 2, "ESP-C1", "inputs")) ||
      failed(verifyCount(*this, getOutputs(), 3, 4, "ESP-C1", "outputs")))
    return failure();
  Type element = getRates() ? Type(b.getI32Type()) : b.getF32Type();
  auto shape = verifyMatrix(*this, getInputs()[0], element, "ESP-C2", "input");
  if (failed(shape) ||
      failed(verifyEncodeForm(*this, element, getUnit(), getRatesAttr(),
                              getGains() || getCentres())))
    return failure();
  int64_t rows = (*shape)[0];
  int64_t channels = (*shape)[1];
  if (getInputs().size() == 2 &&
      failed(verifyArray(*this, getInputs()[1], {rows}, b.getF32Type(),
                         "ESP-C2", "row_scale")))
    return failure();
  auto group = static_cast<int64_t>(getGroup());
  if (group < 1 || (group % 8 != 0 && group < channels))
    return emitOpError() << "ESP-C3: group must be a multiple of 8 or all "
                         << channels << " channels, not " << group;
  if (failed(verifySplitOutputs(*this, rows, channels)))
    return failure();
  return verifyEncodeAttributes(*this, getStep(), getTolerance(), getSite());
}

LogicalResult EncodeSplitOp::verifySymbolUses(SymbolTableCollection &tables) {
  auto input = cast<ShapedType>(getInputs()[0].getType());
  if (failed(
          verifyCountRates(*this, tables, getRatesAttr(), input.getDimSize(1))))
    return failure();
  return verifyEncodeSymbols(*this, tables, input.getDimSize(1),
                             getStep().convertToFloat(), getBitsAttr(),
                             getGainsAttr(), getCentresAttr());
}

void EncodeSplitOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
}

//===----------------------------------------------------------------------===//
// integrate_decode
//===----------------------------------------------------------------------===//

LogicalResult IntegrateDecodeOp::verify() {
  Builder b(getContext());
  if (failed(verifyCount(*this, getInputs(), 3, 3, "IDC-C1", "inputs")) ||
      failed(verifyCount(*this, getOutputs(), 1, 2, "IDC-C1", "outputs")) ||
      failed(verifyMatrix(*this, getInputs()[0], b.getI8Type(), "IDC-C2",
                          "dense")))
    return failure();
  auto shape =
      verifyMatrix(*this, getOutputs()[0], b.getF32Type(), "IDC-C3", "result");
  if (failed(shape))
    return failure();
  if (getOutputs().size() == 2 &&
      failed(verifyArray(*this, getOutputs()[1], *shape, b.getI64Type(),
                         "IDC-C3", "membrane")))
    return failure();
  return verifyStep(*this, getStep(), "IDC-C5");
}

/// A vector of P numbers stands for P slices of equally many rows.
static LogicalResult verifySlices(IntegrateDecodeOp op, WeightsOp weights,
                                  int64_t rows) {
  Value index = op.getIndex();
  auto vector = index ? dyn_cast<ShapedType>(index.getType()) : ShapedType();
  if (!vector)
    return verifyStackIndex(op, weights, index, rows, "IDC-C6");
  int64_t slices = vector.getShape().front();
  if (slices < 1 || rows % slices)
    return op.emitOpError()
           << "IDC-C6: " << rows << " rows cannot be shared by " << slices
           << " numbers of the index";
  return verifyStackIndex(op, weights, index, slices, "IDC-C6");
}

LogicalResult
IntegrateDecodeOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findCodes(*this, tables, getWeightsAttr(), "IDC-C4");
  if (failed(weights))
    return failure();
  Builder b(getContext());
  auto result = cast<ShapedType>(getOutputs()[0].getType());
  int64_t rows = result.getDimSize(0);
  ArrayRef<int64_t> matrix = weights->getArrayType().getShape().take_back(2);
  int64_t outputs = matrix[0];
  int64_t channels = matrix[1];
  int64_t group = cast<CodesAttr>(weights->getFormat()).getGroup();
  int64_t groups = group == 0 ? 1 : llvm::divideCeil(channels, group);
  if (result.getDimSize(1) != outputs)
    return emitOpError() << "IDC-C4: " << getWeightsAttr() << " has " << outputs
                         << " outputs, the result is " << result;
  int64_t padded = llvm::alignTo(channels, 8);
  if (failed(verifyArray(*this, getInputs()[0], {rows, padded}, b.getI8Type(),
                         "IDC-C2", "dense")) ||
      failed(verifyArray(*this, getInputs()[1], {rows, groups}, b.getI32Type(),
                         "IDC-C2", "sums")))
    return failure();
  if (failed(verifyArray(*this, getInputs()[2], {rows, 2 + 2 * channels},
                         b.getI32Type(), "IDC-C2", "overflow")))
    return failure();
  return verifySlices(*this, *weights, rows);
}

void IntegrateDecodeOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
}

//===----------------------------------------------------------------------===//
// lookup_rows, tally
//===----------------------------------------------------------------------===//

LogicalResult LookupRowsOp::verify() {
  if (failed(verifyCount(*this, getInputs(), 1, 1, "LKR-C1", "inputs")) ||
      failed(verifyCount(*this, getOutputs(), 1, 1, "LKR-C1", "outputs")))
    return failure();
  auto ids = cast<ShapedType>(getInputs()[0].getType());
  if (!ids.hasRank() || ids.getRank() != 1 || !ids.hasStaticShape() ||
      !(ids.getElementType().isInteger(32) ||
        ids.getElementType().isInteger(64)))
    return emitOpError() << "LKR-C2: ids must be a vector of static shape and "
                            "i32 or i64, not "
                         << ids;
  return success();
}

LogicalResult LookupRowsOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findCodes(*this, tables, getWeightsAttr(), "LKR-C3");
  if (failed(weights))
    return failure();
  if (weights->getArrayType().getRank() != 2)
    return emitOpError() << "LKR-C3: " << getWeightsAttr()
                         << " is a stack of weights; rows are read from one "
                            "matrix";
  if (failed(
          verifyLookupRates(*this, tables, *weights, getRatesAttr(), "LKR-C4")))
    return failure();
  auto ids = cast<ShapedType>(getInputs()[0].getType());
  Builder b(getContext());
  return verifyArray(*this, getOutputs()[0],
                     {ids.getDimSize(0), weights->getArrayType().getDimSize(1)},
                     getRates() ? Type(b.getI32Type()) : b.getF32Type(),
                     "LKR-C3", "result");
}

void LookupRowsOp::getEffects(
    SmallVectorImpl<MemoryEffects::EffectInstance> &effects) {
  addDestinationEffects(*this, effects);
}

LogicalResult TallyOp::verify() {
  if (getSite().empty())
    return emitOpError() << "TAL-C1: site must have a name";
  auto type = cast<ShapedType>(getOverflow().getType());
  if (type.getRank() == 2 && type.getElementType().isInteger(32) &&
      type.getDimSize(1) >= 2)
    return success();
  return emitOpError() << "TAL-C2: overflow must be [rows, 2 + 2 channels] of "
                          "i32, not "
                       << type;
}
