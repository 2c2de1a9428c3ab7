//===- ScoreForm.h - scores of a softmax as membranes -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Real scores as integers: membranes of a product of counts, times constants,
/// moved, hidden where masks say so, plus biases that no activation makes.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCOREFORM_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCOREFORM_H

#include "Conditions.h"
#include "PositionTables.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/ConstantReals.h"

namespace mlir::spikequant {

/// On the way from the membranes to the scores: movement, a mask or a bias.
struct ScoreStep {
  Operation *move = nullptr;
  ConditionalArray mask; ///< `condition` is moved along `path`
  bool hides = false;    ///< the value of the condition that hides
  ArrayRead bias;        ///< added; null for others, and for masks
  double factor = 1;     ///< of the bias, in nats
  AffineMap map;         ///< from elements of the scores to the mask's
};

struct ScoreForm {
  Value membrane;            ///< i32
  int64_t bound = 0;         ///< of its magnitude, shifted
  int shift = 0;             ///< scores count 2^-shift membranes
  SmallVector<double> rates; ///< nats per score, one for each head
  SmallVector<ScoreStep> steps;
  bool infinite = false; ///< a mask has -infinity
  bool biased = false;   ///< some step is a bias
};

/// Scores with biases end at this magnitude; biases at it, and those hide.
inline constexpr int64_t kMostBiased = int64_t{1} << 30;

/// Reads `scores`; `largest` is the count of a numerator of 1, `tables` knows
/// what biases depend on. Nothing if it is no product of counts; `refused` says
/// why if it is one that does not fold.
std::optional<ScoreForm> readScores(Value scores, int32_t largest,
                                    ConstantReals &constants,
                                    PositionTables &tables,
                                    std::string &refused);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCOREFORM_H
