//===- ScoreForm.h - scores of a softmax as membranes -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Real scores as integers: membranes of a product of counts, times constants,
/// moved, and hidden where masks say so.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCOREFORM_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCOREFORM_H

#include "Conditions.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/ConstantReals.h"

namespace mlir::spikequant {

/// On the way from the membranes to the scores: movement, or a mask.
struct ScoreStep {
  Operation *move = nullptr;
  ConditionalArray mask; ///< `condition` is moved along `path`
  AffineMap map;         ///< from elements of the scores to the mask's
  bool hides = false;    ///< the value of the condition that hides
};

struct ScoreForm {
  Value membrane;            ///< i32
  int64_t bound = 0;         ///< of its magnitude
  SmallVector<double> rates; ///< nats per unit, one for each head
  SmallVector<ScoreStep> steps;
  bool infinite = false; ///< a mask has -infinity
};

/// Reads `scores`; `largest` is the count of a numerator of 1. Nothing if it is
/// no product of counts; `refused` says why if it is one that does not fold.
std::optional<ScoreForm> readScores(Value scores, int32_t largest,
                                    ConstantReals &constants,
                                    std::string &refused);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_SCOREFORM_H
