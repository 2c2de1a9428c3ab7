//===- SpikeQuant.h - the spikequant dialect
//---------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_IR_SPIKEQUANT_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_IR_SPIKEQUANT_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantOpsDialect.h.inc"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantAttrs.h.inc"

#define GET_OP_CLASSES
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantOps.h.inc"

namespace mlir::spikequant {
/// The site whose encode or fire made `counts`; empty if it has none.
StringRef getSiteOfCounts(Value counts);
} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_IR_SPIKEQUANT_H
