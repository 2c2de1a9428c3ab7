//===- SpikeQuantDialect.cpp - dialect and attributes
//------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectImplementation.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::spikequant;

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantOpsDialect.cpp.inc"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantEnums.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantAttrs.cpp.inc"

void SpikeQuantDialect::initialize() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantAttrs.cpp.inc"
      >();
  addOperations<
#define GET_OP_LIST
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantOps.cpp.inc"
      >();
}

Operation *SpikeQuantDialect::materializeConstant(OpBuilder &builder,
                                                  Attribute value, Type type,
                                                  Location loc) {
  return arith::ConstantOp::materialize(builder, value, type, loc);
}

LogicalResult CodesAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                unsigned bits, unsigned group, bool) {
  if (bits < 1 || bits > 8)
    return emitError() << "WGT-C1: codes have 1 to 8 bits, not " << bits;
  if (group % 8 != 0)
    return emitError() << "WGT-C2: group must be 0 (the whole row) or a "
                          "multiple of 8, not "
                       << group;
  return success();
}

LogicalResult ViewAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               ArrayRef<int64_t> shape, int64_t offset,
                               ArrayRef<int64_t> sizes,
                               ArrayRef<int64_t> strides) {
  int64_t elements = 1;
  for (int64_t size : shape)
    if (size < 1 || llvm::MulOverflow(elements, size, elements))
      return emitError() << "WGT-C11: shape must have sizes of at least 1";
  if (sizes.size() != strides.size())
    return emitError() << "WGT-C11: needs one stride per size";
  int64_t first = offset, last = offset;
  for (auto [size, stride] : llvm::zip_equal(sizes, strides)) {
    int64_t reach;
    if (size < 1 || llvm::MulOverflow(size - 1, stride, reach) ||
        llvm::AddOverflow(reach < 0 ? first : last, reach,
                          reach < 0 ? first : last))
      return emitError() << "WGT-C11: sizes must be at least 1 and fit the "
                            "array, not "
                         << size;
  }
  if (first < 0 || last >= elements)
    return emitError() << "WGT-C11: elements " << first << " to " << last
                       << " are not all in an array of " << elements;
  return success();
}
