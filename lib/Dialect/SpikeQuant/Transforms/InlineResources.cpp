//===- InlineResources.cpp - resource constants become dense ones ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %w = arith.constant dense_resource<torch_tensor_64> : tensor<64xf32>
// becomes
//   %w = arith.constant dense<"0x.."> : tensor<64xf32>
//
// Exporters keep weights in resources, which few folders and printers know.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/InlineResources.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;

/// Resources hold a byte per i1, dense attributes a bit.
static DenseElementsAttr getFlags(RankedTensorType type, ArrayRef<char> bytes) {
  auto flags = llvm::map_to_vector(bytes, [](char c) { return c != 0; });
  return DenseElementsAttr::get(type, flags);
}

static FailureOr<DenseElementsAttr>
getDense(RankedTensorType type, DenseResourceElementsAttr resource) {
  AsmResourceBlob *blob = resource.getRawHandle().getBlob();
  if (!blob)
    return failure();
  ArrayRef<char> bytes = blob->getData();
  auto count = static_cast<size_t>(type.getNumElements());
  if (type.getElementType().isInteger(1) && bytes.size() == count)
    return getFlags(type, bytes);
  bool isSplat = false;
  if (bytes.size() * 8 != count * type.getElementTypeBitWidth() ||
      !DenseElementsAttr::isValidRawBuffer(type, bytes, isSplat))
    return failure();
  return DenseElementsAttr::getFromRawBuffer(type, bytes);
}

LogicalResult mlir::spikequant::inlineResources(ModuleOp module) {
  WalkResult walked = module.walk([](arith::ConstantOp op) -> WalkResult {
    auto resource = dyn_cast<DenseResourceElementsAttr>(op.getValue());
    auto type = dyn_cast<RankedTensorType>(op.getType());
    if (!resource || !type || !type.getElementType().isIntOrFloat())
      return WalkResult::advance();
    FailureOr<DenseElementsAttr> dense = getDense(type, resource);
    if (failed(dense))
      return op.emitError() << "the file does not hold the data of resource '"
                            << resource.getRawHandle().getKey() << "', "
                            << type.getNumElements() << " elements of "
                            << type.getElementType()
                            << ": it was printed without large constants";
    op.setValueAttr(*dense);
    return WalkResult::advance();
  });
  return failure(walked.wasInterrupted());
}
