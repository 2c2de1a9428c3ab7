//===- Islands.h - where a program still computes with reals ----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// An island is a connected set of operations that yield or read real numbers
/// and serve one purpose, by which it is named: the row statistics of a norm,
/// the exponent of a softmax, an activation function, the residual stream.
/// Constants and weights are no operations. The analysis reads programs on
/// tensors before `spikequant-expand-math`; names come from what operations
/// compute and from their neighbours, never from a model's names.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ANALYSIS_ISLANDS_H
#define SPIKEQUANT_ANALYSIS_ISLANDS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/JSON.h"

#include <string>
#include <vector>

namespace mlir::spikequant {

/// What a real-valued operation is for.
enum class IslandKind {
  NormRow,       ///< statistics per row up to the reciprocal square root
  SoftmaxRow,    ///< maximum, sum and reciprocal per row
  Exponent,      ///< numerators of a softmax
  FinalLogits,   ///< from the last decode to the results
  Embedding,     ///< rows looked up in packed weights
  EncodeRow,     ///< scale of a row that is encoded dynamically
  Row,           ///< other reductions, and what is computed of them
  Normalised,    ///< values scaled or centred by statistics of their row
  Probabilities, ///< numerators over their sum
  Product,       ///< products of two activations
  RealWeights,   ///< products with weights that stayed real
  Activation,    ///< non-linear functions of one value
  Gating,        ///< products of two activations, element by element
  Residual,      ///< sums of activations
  Rotary,        ///< products with a function of the position
  Positions,     ///< sums with a function of the position
  Tables,        ///< what depends on positions and constants only
  Bias,          ///< sums with constants
  Scaling,       ///< products with constants
  Mask,          ///< selections
  Decode,        ///< decodes that only data movement and encodes read
  Encode,        ///< thresholds on real values
  Movement,      ///< reordering and copies of real values
  Other
};

/// The island's name in reports, options and JSON, e.g. "norm row".
llvm::StringRef getIslandName(IslandKind kind);
/// Why such operations are still real, in a clause.
llvm::StringRef getIslandReason(IslandKind kind);
/// Whether some kind has this name.
bool isIslandName(llvm::StringRef name);
/// Whether an integer program may have such islands: one real number per row,
/// the exponent table, the embedding, the logits.
bool isNamedIsland(IslandKind kind);

/// One connected island, or the sum of all islands of a kind.
struct Island {
  IslandKind kind;
  std::vector<Operation *> operations; ///< In program order.
  int64_t count = 1;                   ///< Connected islands in this entry.
  int64_t decodes = 0;  ///< `spikequant.decode` among the operations.
  int64_t elements = 0; ///< Real values written per call.
  int64_t scalars = 0;  ///< Real scalar operations per call; a function such
                        ///< as exp counts as one, a move as none.
  int64_t bytes = 0;    ///< Real bytes read and written per call.
};

/// The islands of one function.
struct IslandReport {
  std::string function;
  std::vector<Island> islands; ///< In program order of their first operation.
  int64_t tokens = 1;          ///< Most rows that an encode has.
  int64_t accumulations = 0;   ///< Integer ones per call.
  int64_t bytes = 0;           ///< Read and written by all operations per call,
                               ///< weights in their packed width.

  int64_t getScalars() const;
  /// Decodes outside named islands.
  int64_t getDecodes() const;
  /// One entry per kind, most real operations first.
  std::vector<Island> getSummary() const;
};

/// Dynamic dimensions count as 1.
IslandReport findIslands(func::FuncOp function);

/// A table of the summary: one line per kind with its first location.
void printIslands(const IslandReport &report, llvm::raw_ostream &out);

/// `name`, `tokens`, `integer_accumulations`, `real_operations`, `decodes`
/// and `islands`: see `summarizeIslands`, and each with `places`, the
/// operation and location where each connected island starts.
llvm::json::Object describeIslands(const IslandReport &report);

/// The summary as a list of {`name`, `count`, `operations`, `decodes`,
/// `elements`, `real_operations`, `share` (of integer and real scalar
/// operations), `per_accumulation` (real operations per integer accumulation),
/// `bytes`, `share_of_bytes`, `named`, `reason`}. Amounts are per call.
llvm::json::Array summarizeIslands(const IslandReport &report);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_ANALYSIS_ISLANDS_H
