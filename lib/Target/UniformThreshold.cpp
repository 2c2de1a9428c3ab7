//===- UniformThreshold.cpp - a ladder as one repeated threshold ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A ladder is a digital straight line: T(k) = ceil(alpha k + beta). A neuron
// with subtract reset repeats one integer threshold th on membranes scaled by
// a. For a given a, the conditions on (th, o) are linear, per level k:
//
//   k th - o <= a T(k)           acc = T(k) reaches the level
//   k th - o >= a (T(k)-1) + 1   acc = T(k) - 1 does not
//
// each only where that membrane can occur.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/SpikingNetwork.h"

#include <algorithm>

using namespace llvm;
using namespace spikequant;

namespace {
/// least <= k th - o <= most.
struct LevelRange {
  std::optional<int64_t> least, most;
};
} // namespace

static std::vector<LevelRange> levelRanges(ArrayRef<int64_t> ladder,
                                           int64_t bound, int64_t scale) {
  std::vector<LevelRange> ranges;
  for (int64_t least : ladder) {
    LevelRange &range = ranges.emplace_back();
    if (least > -bound) // Some membrane stays below the level.
      range.least = scale * std::min(least - 1, bound) + 1;
    if (least <= bound) // Some membrane reaches it.
      range.most = scale * std::max(least, -bound);
  }
  return ranges;
}

static int64_t floorDiv(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/// Every th that two levels at a time allow, at least 1.
static std::pair<int64_t, int64_t> thresholdRange(ArrayRef<LevelRange> ranges) {
  int64_t least = 1, most = INT64_MAX;
  for (size_t i = 0; i < ranges.size(); ++i)
    for (size_t j = i + 1; j < ranges.size(); ++j) {
      int64_t distance = j - i;
      if (ranges[j].least && ranges[i].most)
        least = std::max(
            least, -floorDiv(*ranges[i].most - *ranges[j].least, distance));
      if (ranges[j].most && ranges[i].least)
        most = std::min(most,
                        floorDiv(*ranges[j].most - *ranges[i].least, distance));
    }
  return {least, most};
}

static std::optional<int64_t> findStart(ArrayRef<LevelRange> ranges,
                                        int64_t threshold) {
  std::optional<int64_t> least, most;
  for (auto [index, range] : llvm::enumerate(ranges)) {
    int64_t reach = (int64_t(index) + 1) * threshold;
    if (range.most)
      least = std::max(least.value_or(INT64_MIN), reach - *range.most);
    if (range.least)
      most = std::min(most.value_or(INT64_MAX), reach - *range.least);
  }
  if (least && most && *least > *most)
    return std::nullopt;
  return least ? least : most;
}

std::optional<UniformThreshold>
spikequant::uniformThreshold(ArrayRef<int64_t> ladder, int64_t bound) {
  int64_t levels = ladder.size();
  for (int64_t scale = 1; scale <= levels; ++scale) {
    std::vector<LevelRange> ranges = levelRanges(ladder, bound, scale);
    auto [least, most] = thresholdRange(ranges);
    // Helly in one dimension: pairs that agree on th may disagree on o, but
    // then only near the ends of the range.
    for (int64_t th = least; th <= most && th <= least + 2 * levels; ++th)
      if (std::optional<int64_t> start = findStart(ranges, th))
        return UniformThreshold{scale, th, *start};
  }
  return std::nullopt;
}
