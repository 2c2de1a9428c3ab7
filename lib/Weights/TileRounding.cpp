//===- TileRounding.cpp - rounding sixteen output channels ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileRounding.h"

#include "spikequant/Kernel/Integrate.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdlib>
#include <numeric>

using namespace spikequant;

/// Offsets stay below this, so that adjusting one never leaves the i16 range.
static constexpr float offsetLimit = 32000.0f;
/// Below this range a group counts as constant (its reciprocal must be finite).
static constexpr float smallestRange = 0x1p-100f;

/// Nearest integer, ties to even, of |x| < 2^22: adding 1.5 * 2^23 leaves no
/// fraction bits. Unlike std::round it vectorises on every processor.
static inline float nearest(float x) {
  constexpr float shift = 12582912.0f;
  return (x + shift) - shift;
}

static inline float clampTo(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

static inline float clampOffset(float c) {
  return clampTo(c, -32767.0f, 32767.0f);
}

/// Fewer levels than codes: a group that lies on a grid need not reach both of
/// its ends, and only its own spacing restores it. More: the ends are clipped,
/// which pays in long groups.
static std::vector<GridCandidate> gridCandidates(const RoundingOptions &options,
                                                 float top) {
  std::vector<GridCandidate> candidates{{top, 0.0f}};
  if (!options.searchSteps)
    return candidates;
  if (top <= 15.0f)
    for (float levels = top - 1; 2 * levels >= top; --levels)
      candidates.push_back({levels, 0.0f});
  for (float ratio : {1.04f, 1.08f, 1.14f, 1.22f, 1.34f})
    candidates.push_back({top * ratio, top * (ratio - 1.0f) / 2.0f});
  return candidates;
}

/// Relative to the largest, and never 0, so that the grids of silent channels
/// are still chosen by their weights. None: all 1.
static std::vector<float> normalise(llvm::ArrayRef<float> weight, int64_t k) {
  constexpr float least = 1e-9f;
  float largest = 0.0f;
  for (float value : weight)
    largest = std::max(largest, value);
  std::vector<float> result(k, 1.0f);
  for (int64_t j = 0; j < k && largest > 0.0f; ++j)
    result[j] = std::max(weight[j] / largest, least);
  return result;
}

TileRounding::TileRounding(int64_t k, const RoundingOptions &options,
                           const ErrorFeedback *feedback,
                           llvm::ArrayRef<float> weight)
    : k(k), group(options.symmetric ? k : std::min(options.group, k)),
      groups((k + group - 1) / group), options(options),
      top(static_cast<float>((1 << options.bits) - 1)),
      maxMultiplier(options.bits <= 4 ? 255.0f : 63.0f),
      candidates(gridCandidates(options, top)),
      importance(normalise(weight, k)), feedback(feedback) {
  weights.resize(k * lanes);
  codes.resize(k * lanes);
  multipliers.resize(groups);
  zeros.resize(groups);
  offsets.resize(groups);
  grids.resize(groups);
  normalised.resize(group * lanes);
  if (feedback)
    importance = feedback->getImportance().vec();
}

//===----------------------------------------------------------------------===//
// The grid of one group, in real numbers
//===----------------------------------------------------------------------===//

/// Squared error of rounding the values t (0..1, [count][lane]) to the grid
/// {(q + shift) / levels : q = 0..top}, weighted by `importance` [count].
static Lanes<float> gridError(const float *t, const float *importance,
                              int64_t count, GridCandidate candidate,
                              float top) {
  auto [levels, shift] = candidate;
  Lanes<float> error{};
  float spacing = 1.0f / levels;
  for (int64_t j = 0; j < count; ++j)
    for (int64_t l = 0; l < lanes; ++l) {
      float value = t[j * lanes + l];
      float q = nearest(clampTo(value * levels - shift, 0.0f, top));
      float e = value - (q + shift) * spacing;
      error[l] += e * e * importance[j];
    }
  return error;
}

/// Least and greatest value of each lane.
static std::pair<Lanes<float>, Lanes<float>> rangeOf(const float *w,
                                                     int64_t count) {
  Lanes<float> low, high;
  std::copy_n(w, lanes, low.begin());
  std::copy_n(w, lanes, high.begin());
  for (int64_t j = 1; j < count; ++j)
    for (int64_t l = 0; l < lanes; ++l) {
      float value = w[j * lanes + l];
      low[l] = value < low[l] ? value : low[l];
      high[l] = value > high[l] ? value : high[l];
    }
  return {low, high};
}

/// The candidate with the least error for the values t (0..1), per lane.
static Lanes<GridCandidate> bestCandidate(llvm::ArrayRef<GridCandidate> all,
                                          const float *t,
                                          const float *importance,
                                          int64_t count, float top) {
  Lanes<GridCandidate> best;
  Lanes<float> least;
  least.fill(INFINITY);
  for (GridCandidate candidate : all) {
    Lanes<float> error = gridError(t, importance, count, candidate, top);
    for (int64_t l = 0; l < lanes; ++l)
      if (error[l] < least[l]) {
        least[l] = error[l];
        best[l] = candidate;
      }
  }
  return best;
}

GroupGrid TileRounding::findGrid(int64_t g) {
  int64_t begin = groupBegin(g), count = groupEnd(g) - begin;
  const float *w = weights.data() + begin * lanes;
  auto [low, high] = rangeOf(w, count);
  Lanes<float> reciprocal; // 0 where the group is constant
  for (int64_t l = 0; l < lanes; ++l) {
    float range = high[l] - low[l];
    reciprocal[l] = range > smallestRange ? 1.0f / range : 0.0f;
  }
  for (int64_t j = 0; j < count; ++j)
    for (int64_t l = 0; l < lanes; ++l)
      normalised[j * lanes + l] = (w[j * lanes + l] - low[l]) * reciprocal[l];

  Lanes<GridCandidate> best = bestCandidate(
      candidates, normalised.data(), importance.data() + begin, count, top);
  GroupGrid grid;
  for (int64_t l = 0; l < lanes; ++l) {
    bool constant = reciprocal[l] == 0.0f;
    float step = (high[l] - low[l]) / best[l].levels;
    grid.step[l] = constant ? 0.0f : step;
    grid.low[l] = low[l] + best[l].shift * grid.step[l];
    grid.levels[l] = constant ? 0.0f : std::min(best[l].levels, top);
  }
  return grid;
}

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

void TileRounding::findMaxima() {
  maxAbs.fill(0.0f);
  for (int64_t j = 0; j < k; ++j)
    for (int64_t l = 0; l < lanes; ++l)
      maxAbs[l] = std::max(maxAbs[l], std::fabs(weights[j * lanes + l]));
}

/// The scale of one row: the largest step gets the largest multiplier, and the
/// largest offset fits. A row whose weights all have one magnitude is exact.
static float scaleOf(float maxStep, float maxLow, float maxAbs,
                     bool oneMagnitude, float maxMultiplier) {
  if (maxStep == 0.0f && oneMagnitude)
    return std::max(maxAbs, FLT_MIN);
  return std::max({maxStep / maxMultiplier, maxLow / offsetLimit, FLT_MIN});
}

void TileRounding::chooseScales() {
  for (int64_t l = 0; l < lanes; ++l) {
    float maxStep = 0.0f, maxLow = 0.0f;
    bool oneMagnitude = true;
    for (const GroupGrid &grid : grids) {
      maxStep = std::max(maxStep, grid.step[l]);
      maxLow = std::max(maxLow, std::fabs(grid.low[l]));
      oneMagnitude &=
          grid.low[l] == 0.0f || std::fabs(grid.low[l]) == maxAbs[l];
    }
    scales[l] =
        scaleOf(maxStep, maxLow, maxAbs[l], oneMagnitude, maxMultiplier);
    if (options.symmetric)
      scales[l] = std::max(
          maxAbs[l] / static_cast<float>((1 << (options.bits - 1)) - 1),
          FLT_MIN);
    if (maxAbs[l] == 0.0f)
      scales[l] = 1.0f;
  }
}

//===----------------------------------------------------------------------===//
// The integers of one group
//===----------------------------------------------------------------------===//

namespace {
/// Integers, held in floats, of one group; and what they leave over.
struct GroupChoice {
  Lanes<float> m, c;
  Lanes<float> z{};            ///< Zero points; c follows from them.
  Lanes<float> squaredError{}; ///< In units of s^2.
  Lanes<float> residual{};     ///< Sum, in units of s.
};
} // namespace

/// Moves c to the nearest offset that a zero point expresses (PackedLayout).
static void moveToZeroPoints(const PackedLayout &layout, GroupChoice &choice) {
  float unit = static_cast<float>(1 << layout.zeroShift());
  auto rounding = static_cast<float>(layout.zeroRounding());
  for (int64_t l = 0; l < lanes; ++l) {
    float z = nearest(clampTo(-choice.c[l] * unit / choice.m[l], 0.0f, 255.0f));
    choice.z[l] = z;
    // Integers below 2^17, and a power of two: exact. No -0.
    choice.c[l] = 0.0f - std::floor((choice.m[l] * z + rounding) / unit);
  }
}

/// Fills in the error and residual sum of nearest codes for (m, c), weighted by
/// `importance` [count].
static void evaluate(const float *w, const float *importance, int64_t count,
                     const Lanes<float> &inverse, float top,
                     GroupChoice &choice) {
  Lanes<float> reciprocal;
  for (int64_t l = 0; l < lanes; ++l)
    reciprocal[l] = 1.0f / choice.m[l];
  Lanes<float> error{}, sum{};
  for (int64_t j = 0; j < count; ++j)
    for (int64_t l = 0; l < lanes; ++l) {
      float x = w[j * lanes + l] * inverse[l] - choice.c[l];
      float q = nearest(clampTo(x * reciprocal[l], 0.0f, top));
      float r = x - q * choice.m[l];
      error[l] += r * r * importance[j];
      sum[l] += r * importance[j];
    }
  choice.squaredError = error;
  choice.residual = sum;
}

static void keepBetter(GroupChoice &best, const GroupChoice &candidate) {
  for (int64_t l = 0; l < lanes; ++l)
    if (candidate.squaredError[l] < best.squaredError[l]) {
      best.m[l] = candidate.m[l];
      best.c[l] = candidate.c[l];
      best.z[l] = candidate.z[l];
      best.squaredError[l] = candidate.squaredError[l];
    }
}

static Lanes<float> inverseOf(const Lanes<float> &scales) {
  Lanes<float> inverse;
  for (int64_t l = 0; l < lanes; ++l)
    inverse[l] = 1.0f / scales[l];
  return inverse;
}

/// m is the nearest integer to the grid's step, plus `change`; c keeps the
/// grid's middle, whatever rounding did to its step.
static GroupChoice firstChoice(const GroupGrid &grid,
                               const Lanes<float> &inverse, float change,
                               float maxMultiplier) {
  GroupChoice choice;
  for (int64_t l = 0; l < lanes; ++l) {
    float ideal = nearest(grid.step[l] * inverse[l]) + change;
    choice.m[l] = clampTo(ideal, 1.0f, maxMultiplier);
    float half = grid.levels[l] * 0.5f;
    float middle = (grid.low[l] + half * grid.step[l]) * inverse[l];
    choice.c[l] = clampOffset(nearest(middle - half * choice.m[l]));
  }
  return choice;
}

void TileRounding::chooseGroup(int64_t g, const GroupGrid &grid) {
  const float *w = weights.data() + groupBegin(g) * lanes;
  int64_t count = groupEnd(g) - groupBegin(g);
  const float *weight = importance.data() + groupBegin(g);
  float total = std::accumulate(weight, weight + count, 0.0f);
  Lanes<float> inverse = inverseOf(scales);
  PackedLayout layout{lanes, k, group, options.bits, 8};
  auto consider = [&](GroupChoice &best, GroupChoice &choice) {
    if (options.zeroPoints)
      moveToZeroPoints(layout, choice);
    evaluate(w, weight, count, inverse, top, choice);
    keepBetter(best, choice);
  };
  GroupChoice best;
  best.squaredError.fill(INFINITY);
  for (float change : {0.0f, 1.0f, -1.0f}) {
    GroupChoice choice = firstChoice(grid, inverse, change, maxMultiplier);
    consider(best, choice);
    for (int64_t l = 0; l < lanes; ++l) {
      float mean = choice.residual[l] / total;
      choice.c[l] = clampOffset(choice.c[l] + nearest(mean));
    }
    consider(best, choice);
  }
  for (int64_t l = 0; l < lanes; ++l) {
    multipliers[g][l] = static_cast<int32_t>(best.m[l]);
    offsets[g][l] = static_cast<int32_t>(best.c[l]);
    zeros[g][l] = static_cast<int32_t>(best.z[l]);
  }
}

/// Zero points lie between the least and the largest code, or half of their
/// unit beyond.
void TileRounding::checkZeros(const GroupGrid &grid) {
  float margin = 1.0f / static_cast<float>(2 << (8 - options.bits));
  for (int64_t l = 0; l < lanes; ++l)
    lacksZero |= !(grid.low[l] <= margin * grid.step[l] &&
                   grid.low[l] + (top + margin) * grid.step[l] >= 0.0f);
}

/// All-zero rows have c = 0 in every form.
void TileRounding::chooseIntegers(int64_t g) {
  if (options.symmetric) {
    multipliers[g].fill(1);
    offsets[g].fill(-(1 << (options.bits - 1)));
    zeros[g].fill(128);
  } else {
    chooseGroup(g, grids[g]);
    checkZeros(grids[g]);
  }
  for (int64_t l = 0; l < lanes; ++l)
    if (maxAbs[l] == 0.0f) {
      multipliers[g][l] = 1;
      offsets[g][l] = 0;
      zeros[g][l] = 0;
    }
}

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

namespace {
/// What the codes of one group leave over and add up to.
struct GroupSums {
  Lanes<float> error{}, square{}, largest{}; ///< In units of s^2, s^2 and s.
  Lanes<int64_t> magnitude{};                ///< sum |W|
};
} // namespace

/// Writes the nearest codes of one group for the integers m and c.
static GroupSums writeGroup(const float *w, int64_t count,
                            const Lanes<float> &inverse,
                            const Lanes<int32_t> &multiplier,
                            const Lanes<int32_t> &offset, float top,
                            uint8_t *codes) {
  Lanes<float> m, c, reciprocal;
  for (int64_t l = 0; l < lanes; ++l) {
    m[l] = static_cast<float>(multiplier[l]);
    c[l] = static_cast<float>(offset[l]);
    reciprocal[l] = 1.0f / m[l];
  }
  GroupSums sums;
  for (int64_t j = 0; j < count; ++j)
    for (int64_t l = 0; l < lanes; ++l) {
      float y = w[j * lanes + l] * inverse[l];
      float q = nearest(clampTo((y - c[l]) * reciprocal[l], 0.0f, top));
      float weight = q * m[l] + c[l]; // exact: an integer below 2^24
      float r = std::fabs(y - weight);
      sums.error[l] += r * r;
      sums.square[l] += y * y;
      sums.largest[l] = r > sums.largest[l] ? r : sums.largest[l];
      sums.magnitude[l] += static_cast<int32_t>(std::fabs(weight));
      codes[j * lanes + l] = static_cast<uint8_t>(static_cast<int32_t>(q));
    }
  return sums;
}

/// Writes all codes, measures the errors and returns sum_j |W_oj| per lane.
Lanes<int64_t> TileRounding::writeCodes() {
  Lanes<int64_t> rowSums{};
  squaredError.fill(0.0);
  squaredWeight.fill(0.0);
  maxError.fill(0.0);
  Lanes<float> inverse = inverseOf(scales);
  for (int64_t g = 0; g < groups; ++g) {
    int64_t begin = groupBegin(g), first = begin * lanes;
    GroupSums sums =
        writeGroup(weights.data() + first, groupEnd(g) - begin, inverse,
                   multipliers[g], offsets[g], top, codes.data() + first);
    for (int64_t l = 0; l < lanes; ++l) {
      double s = scales[l];
      squaredError[l] += sums.error[l] * s * s;
      squaredWeight[l] += sums.square[l] * s * s;
      maxError[l] = std::max(maxError[l], sums.largest[l] * s);
      rowSums[l] += sums.magnitude[l];
    }
  }
  return rowSums;
}

/// Enlarges the scale of every row whose sum breaks the 32-bit bound.
bool TileRounding::enlargeScales(const Lanes<int64_t> &rowSums) {
  constexpr double limit = 16'909'320.0; // (2^31 - 1) / 127
  bool changed = false;
  for (int64_t l = 0; l < lanes; ++l) {
    if (denseFitsI32(rowSums[l]))
      continue;
    double factor = static_cast<double>(rowSums[l]) / limit * 1.001;
    scales[l] = static_cast<float>(scales[l] * factor);
    changed = true;
  }
  return changed;
}

bool TileRounding::roundNearest() {
  findMaxima();
  for (int64_t g = 0; g < groups; ++g)
    grids[g] = findGrid(g);
  chooseScales();
  for (int attempt = 0; attempt < 32; ++attempt) {
    for (int64_t g = 0; g < groups; ++g)
      chooseIntegers(g);
    if (!enlargeScales(writeCodes()))
      return true;
  }
  return false;
}

bool TileRounding::round() {
  return feedback ? roundWithFeedback() : roundNearest();
}
