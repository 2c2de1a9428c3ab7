//===- FunctionTable.h - real functions as integer tables -------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FUNCTIONTABLE_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FUNCTIONTABLE_H

#include "llvm/ADT/STLFunctionalExtras.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace mlir::spikequant {

/// What `spikequant.table` needs: T[i] = round(f((lo + i) in) / out), in and
/// out powers of two.
struct FunctionTable {
  double in, out; ///< units of argument and value
  int32_t lo;
  std::vector<int32_t> entries;
  int32_t lowSlope, highSlope; ///< 2^-24 out / in
  double steepest;             ///< largest |f(x + in) - f(x)| / in in the table
};

/// The table of `f` on multiples of `in`. It reaches, on each side, to the
/// least power of two from where on f is straight up to an eighth of its
/// steepest step (and 2^-20 of its value); at most 2^15 entries a side. `out`
/// is at most a quarter of the steepest step. Nothing if f is not finite, not
/// straight far out, or its values do not fit.
std::optional<FunctionTable>
makeFunctionTable(llvm::function_ref<double(double)> f, double in);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FUNCTIONTABLE_H
