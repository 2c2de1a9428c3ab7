//===- Updates.h - which value a value is the next version of --*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CODEGEN_UPDATES_H
#define SPIKEQUANT_LIB_CODEGEN_UPDATES_H

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace mlir::spikequant {

/// The value that `value` is an updated version of (destination of an insertion
/// or of a linalg operation, initial value of a loop), or null.
Value getUpdatedValue(Value value);

/// The number of the argument of the body that holds what the body's yield
/// number `yielded` becomes, or none if the condition does not pass it on.
std::optional<unsigned> getBodyArgument(scf::WhileOp loop, unsigned yielded);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CODEGEN_UPDATES_H
