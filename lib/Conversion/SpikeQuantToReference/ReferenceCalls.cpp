//===- ReferenceCalls.cpp - C calls on the buffers of tensors ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReferenceLowering.h"
#include "spikequant/Conversion/GraphContext.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::spikequant;

static MemRefType getBufferType(Type type) {
  auto shaped = cast<ShapedType>(type);
  return MemRefType::get(shaped.getShape(), shaped.getElementType());
}

Value ReferenceCalls::addressOfBuffer(Value buffer) {
  Value index = memref::ExtractAlignedPointerAsIndexOp::create(b, buffer);
  Value integer = arith::IndexCastOp::create(b, b.getI64Type(), index);
  return LLVM::IntToPtrOp::create(b, LLVM::LLVMPointerType::get(b.getContext()),
                                  integer);
}

Value ReferenceCalls::address(Value tensor) {
  return addressOfBuffer(bufferization::ToBufferOp::create(
      b, getBufferType(tensor.getType()), tensor, /*read_only=*/true));
}

Value ReferenceCalls::address(DenseElementsAttr values) {
  return address(arith::ConstantOp::create(b, values).getResult());
}

Value ReferenceCalls::address(FlatSymbolRefAttr weights) {
  if (!weights)
    return null();
  WeightsOp op = lookup(weights);
  return addressOfBuffer(
      LoadWeightsOp::create(b, getBufferType(op.getType()), weights));
}

/// Bytes of the file as a symbol of their own. The length is not used: only
/// the address is passed on.
WeightsOp ReferenceCalls::getPart(WeightsOp weights, StringRef part,
                                  int64_t offset) {
  std::string name = (weights.getSymName() + "." + part).str();
  auto layout =
      b.getDictionaryAttr(b.getNamedAttr("data", b.getI64IntegerAttr(offset)));
  auto existing = symbols.lookup<WeightsOp>(name);
  if (existing && existing->getAttr(kLayoutAttr) == layout)
    return existing;
  OpBuilder builder(weights);
  auto type = RankedTensorType::get({1}, builder.getI8Type());
  auto op = WeightsOp::create(builder, weights.getLoc(), name, type,
                              RealAttr::get(builder.getContext()),
                              /*source=*/StringAttr(),
                              /*permutation=*/DenseI64ArrayAttr(),
                              /*view=*/ViewAttr(),
                              /*value=*/ElementsAttr());
  op->setAttr(kLayoutAttr, layout);
  symbols.insert(op);
  return op;
}

Value ReferenceCalls::address(Operation *user, WeightsOp weights,
                              StringRef part) {
  auto layout = weights->getAttrOfType<DictionaryAttr>(kLayoutAttr);
  auto offset = layout ? layout.getAs<IntegerAttr>(part) : IntegerAttr();
  if (!offset) {
    InFlightDiagnostic diagnostic = user->emitOpError("uses weights '")
                                    << weights.getSymName()
                                    << "', which have no place in a packed "
                                       "file: give the file that holds them";
    diagnostic.attachNote(weights.getLoc())
        << "attribute '" << kLayoutAttr << "' with '" << part
        << "' is missing here";
    return {};
  }
  return address(FlatSymbolRefAttr::get(
      getPart(weights, part, offset.getInt()).getSymNameAttr()));
}

Value ReferenceCalls::null() {
  return LLVM::ZeroOp::create(b, LLVM::LLVMPointerType::get(b.getContext()));
}

Value ReferenceCalls::number(int64_t value, unsigned bits) {
  return arith::ConstantIntOp::create(b, value, bits);
}

Value ReferenceCalls::number(APFloat value) {
  return arith::ConstantFloatOp::create(b, b.getF32Type(), value);
}

ReferenceCalls::Result ReferenceCalls::allocate(Type type) {
  Value buffer = memref::AllocOp::create(b, getBufferType(type));
  return {addressOfBuffer(buffer), buffer, cast<RankedTensorType>(type)};
}

Value ReferenceCalls::toTensor(const Result &result) {
  return bufferization::ToTensorOp::create(b, result.type, result.buffer,
                                           /*restrict=*/true,
                                           /*writable=*/true);
}

void ReferenceCalls::call(StringRef function, ValueRange arguments) {
  auto type = b.getFunctionType(arguments.getTypes(), {});
  if (!symbols.lookup(function)) {
    auto declaration = func::FuncOp::create(module.getLoc(), function, type);
    declaration.setPrivate();
    symbols.insert(declaration, module.getBody()->begin());
  }
  func::CallOp::create(b, function, TypeRange(), arguments);
}
