//===- TileFeedback.cpp - second-order rounding of sixteen channels -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Groups are rounded in order. When a group is reached, `weights` of its
// channels become targets: the weights plus what earlier channels' errors add
// (ErrorFeedback.h). Its grid, m and c are chosen for the targets; inside the
// group each code then follows its own target, which includes the errors of the
// group itself.
//
//===----------------------------------------------------------------------===//

#include "TileRounding.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

using namespace spikequant;

/// Targets can need larger steps than the weights did. A step that is larger
/// than the largest multiplier allows by no more than this is cut.
static constexpr float stepTolerance = 1.02f;

/// target[l] += sum_i errors[i][l] * coefficients[i]: i in order, every lane
/// its own chain of additions.
static void addProducts(const float *errors, llvm::ArrayRef<float> coefficients,
                        float *target) {
  Lanes<float> sums{};
  for (float coefficient : coefficients) {
    for (int64_t l = 0; l < lanes; ++l)
      sums[l] += errors[l] * coefficient;
    errors += lanes;
  }
  for (int64_t l = 0; l < lanes; ++l)
    target[l] += sums[l];
}

/// Adds the errors of the channels before `errorEnd` to the targets of
/// channels `begin` to `end`.
void TileRounding::addFeedback(int64_t begin, int64_t end, int64_t errorEnd) {
  for (int64_t j = begin; j < end; ++j)
    addProducts(errors.data(),
                feedback->getCoefficients(j).take_front(errorEnd),
                &weights[j * lanes]);
}

void TileRounding::writeGroupWithFeedback(int64_t g, Lanes<int64_t> &rowSums) {
  int64_t begin = groupBegin(g), end = groupEnd(g);
  for (int64_t j = begin; j < end; ++j) {
    addProducts(&errors[begin * lanes],
                feedback->getCoefficients(j).drop_front(begin),
                &weights[j * lanes]);
    for (int64_t l = 0; l < lanes; ++l) {
      int64_t at = j * lanes + l;
      int32_t m = multipliers[g][l], c = offsets[g][l];
      float code = (weights[at] / scales[l] - float(c)) / float(m);
      float q = std::nearbyint(std::clamp(code, 0.0f, top));
      int32_t weight = m * int32_t(q) + c;
      codes[at] = uint8_t(q);
      errors[at] = original[at] - scales[l] * float(weight);
      rowSums[l] += std::abs(weight);
    }
  }
}

/// Chooses m, c and codes of all groups for the scales.
/// \returns sum_j |W_oj| per lane; `wanted` is the largest step per lane.
Lanes<int64_t> TileRounding::writeWithFeedback(Lanes<float> &wanted) {
  Lanes<int64_t> rowSums{};
  weights = original;
  for (int64_t g = 0; g < groups; ++g) {
    addFeedback(groupBegin(g), groupEnd(g), groupBegin(g));
    grids[g] = findGrid(g);
    for (int64_t l = 0; l < lanes; ++l)
      wanted[l] = std::max(wanted[l], grids[g].step[l]);
    chooseIntegers(g);
    writeGroupWithFeedback(g, rowSums);
  }
  return rowSums;
}

void TileRounding::measureErrors() {
  squaredError.fill(0.0);
  squaredWeight.fill(0.0);
  maxError.fill(0.0);
  for (int64_t j = 0; j < k; ++j)
    for (int64_t l = 0; l < lanes; ++l) {
      double e = errors[j * lanes + l], w = original[j * lanes + l];
      squaredError[l] += e * e;
      squaredWeight[l] += w * w;
      maxError[l] = std::max(maxError[l], std::fabs(e));
    }
}

bool TileRounding::roundWithFeedback() {
  original = weights;
  errors.resize(weights.size());
  findMaxima();
  for (int64_t g = 0; g < groups; ++g)
    grids[g] = findGrid(g);
  chooseScales();
  for (int attempt = 0; attempt < 32; ++attempt) {
    Lanes<float> wanted{};
    bool changed = enlargeScales(writeWithFeedback(wanted));
    // Larger steps in turn change the errors: it need not end by itself.
    for (int64_t l = 0; l < lanes && attempt < 3; ++l)
      if (!options.symmetric &&
          wanted[l] > stepTolerance * maxMultiplier * scales[l]) {
        scales[l] = wanted[l] / maxMultiplier;
        changed = true;
      }
    if (!changed) {
      measureErrors();
      weights = original;
      return true;
    }
  }
  return false;
}
