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
