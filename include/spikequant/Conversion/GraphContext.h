//===- GraphContext.h - what a graph function gets beside its arrays
//----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// After bufferisation every public graph function ends with four extra
// arguments, each marked by an attribute of the same name:
//
//   spikequant.weights_file : memref<?xi8>   the mapped packed file
//   spikequant.arena        : memref<?xi8>   scratch memory of the step
//   spikequant.salient      : memref<?xi64>  one counter per site
//   spikequant.call         : !llvm.ptr      the host's sq_call
//
// `spikequant.sites` on the function is the array of site names (strings); an
// index into it identifies a site to the host.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_GRAPHCONTEXT_H
#define SPIKEQUANT_CONVERSION_GRAPHCONTEXT_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::spikequant {

/// On a fire without `thresholds`: the step of the encode that it replaces.
inline constexpr llvm::StringLiteral kStepAttr = "spikequant.step";

inline constexpr llvm::StringLiteral kWeightsFileAttr =
    "spikequant.weights_file";
inline constexpr llvm::StringLiteral kArenaAttr = "spikequant.arena";
inline constexpr llvm::StringLiteral kSalientAttr = "spikequant.salient";
inline constexpr llvm::StringLiteral kCallAttr = "spikequant.call";
inline constexpr llvm::StringLiteral kSitesAttr = "spikequant.sites";
/// Name of the argument that `spikequant-insert-observers` adds for probing.
inline constexpr llvm::StringLiteral kProbeStepsName = "probe_steps";
/// On arguments and results: the host's arrays hold unsigned integers.
inline constexpr llvm::StringLiteral kUnsignedAttr = "spikequant.unsigned";
/// On a graph function: the numbers of such results.
inline constexpr llvm::StringLiteral kUnsignedResultsAttr =
    "spikequant.unsigned_results";
/// Marks a function that holds one kernel of the step.
inline constexpr llvm::StringLiteral kKernelAttr = "spikequant.kernel";
/// On a `spikequant.weights` op after packing: dictionary of i64 byte offsets
/// in the packed file. Codes: `codes`, `scales`, `column_max`, and the values
/// `offset_bits` and `max_row_sum`. Real arrays: `data`.
inline constexpr llvm::StringLiteral kLayoutAttr = "spikequant.layout";

/// On a linalg operation of a graph: [loop, argument, addend, divisor, size]:
/// of its loop, iterations from (argument + addend) / divisor on are not
/// needed. In a kernel: [loop, argument of the kernel that is the loop's end].
inline constexpr llvm::StringLiteral kLimitAttr = "spikequant.limit";
/// Ends of loops are rounded up to a multiple of this (or the whole length).
inline constexpr int64_t kLimitUnit = 64;

/// The argument of `function` marked with `attribute`, or null.
inline Value getContextArgument(func::FuncOp function, StringRef attribute) {
  for (BlockArgument argument : function.getArguments())
    if (function.getArgAttr(argument.getArgNumber(), attribute))
      return argument;
  return {};
}

/// Whether the host's array of this argument, which may be a result's place,
/// holds unsigned integers.
inline bool isUnsignedArray(func::FuncOp function, unsigned number) {
  if (function.getArgAttr(number, kUnsignedAttr))
    return true;
  auto result =
      function.getArgAttrOfType<IntegerAttr>(number, "spikequant.result");
  auto results =
      function->getAttrOfType<DenseI64ArrayAttr>(kUnsignedResultsAttr);
  return result && results &&
         llvm::is_contained(results.asArrayRef(), result.getInt());
}

/// Index of `site` in the function's table of sites, or -1.
inline int64_t getSiteIndex(func::FuncOp function, StringRef site) {
  auto sites = function->getAttrOfType<ArrayAttr>(kSitesAttr);
  for (auto [index, name] :
       llvm::enumerate(sites ? sites.getValue() : ArrayRef<Attribute>()))
    if (cast<StringAttr>(name).getValue() == site)
      return index;
  return -1;
}

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_GRAPHCONTEXT_H
