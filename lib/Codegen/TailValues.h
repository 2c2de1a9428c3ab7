//===- TailValues.h - what masked ends of arrays hold -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A causal mask gives columns j >= start + T one value, whatever was computed
/// there: the array has a *tail*. This analysis follows tails through
/// elementwise operations and reshapes.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CODEGEN_TAILVALUES_H
#define SPIKEQUANT_LIB_CODEGEN_TAILVALUES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace mlir::spikequant {

/// Indices along `dim` that are at least (argument + addend) / divisor, rounded
/// up. `argument` is the number of an integer scalar among the function's.
struct Tail {
  int64_t dim = 0;
  int64_t argument = -1;
  int64_t addend = 0;
  int64_t divisor = 1;

  bool operator==(const Tail &other) const {
    return dim == other.dim && argument == other.argument &&
           addend == other.addend && divisor == other.divisor;
  }
  bool operator!=(const Tail &other) const { return !(*this == other); }
};

/// What is known of a number.
struct Known {
  enum Kind {
    Nothing,
    Constant, ///< `value`
    Hidden,   ///< Real, at most -1e28: a mask's value or a difference from it.
    Far,      ///< Unsigned, at least 2^30: how far a hidden score is away.
    Index,    ///< The index along dimension `dim`, plus `addend`.
    AtMost,   ///< Integer, at most the argument's value (if any) + `addend`.
  };
  Kind kind = Nothing;
  TypedAttr value;
  int64_t dim = 0, argument = -1, addend = 0;
};

/// What is known of the elements of an array: of all, and of its tail's.
struct ArrayFacts {
  Known all;
  std::optional<Tail> tail;
  Known inTail;
};

class TailValues {
public:
  explicit TailValues(func::FuncOp function);

  /// The reduction loop of `op` (as `dim`) whose tail changes no result: what
  /// is added there is 0, or what a maximum sees there is a mask's value.
  std::optional<Tail> getNeutralReduction(linalg::LinalgOp op) const;

private:
  void visit(linalg::LinalgOp op);
  ArrayFacts getFacts(Value array) const;

  llvm::DenseMap<Value, ArrayFacts> facts;
};

/// The tail of the result of a reshape for that of its source, if it stays one
/// dimension's, possibly in longer steps; and the other way round.
std::optional<Tail> getTailOfResult(Operation *reshape, const Tail &source);
std::optional<Tail> getTailOfSource(Operation *reshape, const Tail &result);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CODEGEN_TAILVALUES_H
