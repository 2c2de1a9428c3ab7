//===- Elementwise.cpp - one scalar body over whole arrays ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Elementwise.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

Value mlir::spikequant::createElementwise(
    OpBuilder &b, Location loc, ValueRange inputs, Type element,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  auto shape = cast<RankedTensorType>(inputs.front().getType()).getShape();
  AffineMap identity = b.getMultiDimIdentityMap(shape.size());
  SmallVector<AffineMap> maps;
  for (Value input : inputs)
    maps.push_back(identity.getMajorSubMap(
        cast<RankedTensorType>(input.getType()).getRank()));
  maps.push_back(identity);
  Value empty = tensor::EmptyOp::create(b, loc, shape, element);
  SmallVector<utils::IteratorType> loops(shape.size(),
                                         utils::IteratorType::parallel);
  auto op = linalg::GenericOp::create(
      b, loc, empty.getType(), inputs, empty, maps, loops,
      [&](OpBuilder &inner, Location at, ValueRange arguments) {
        linalg::YieldOp::create(inner, at,
                                body(inner, at, arguments.drop_back()));
      });
  return op.getResult(0);
}
