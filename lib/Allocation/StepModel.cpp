//===- StepModel.cpp - what one step costs, channel by channel ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/StepModel.h"

#include <algorithm>

using namespace llvm;
using namespace spikequant;

namespace {
/// Everything below a threshold, and the probability of the rest.
struct Split {
  Split(const MagnitudeTails &tails, double threshold)
      : above(tails.getChannels()), first(above.size()), second(above.size()) {
    tails.evaluate(threshold, above);
    tails.evaluateMoments(threshold, first, second);
  }
  std::vector<float> above, first, second;
};
} // namespace

/// Counts whose error is taken from moments.
static constexpr int exactCounts = 4;

StepModel::StepModel(const SiteProblem &site, int32_t tolerance, float step)
    : site(site), tolerance(tolerance), step(step) {
  Split below(site.tails, 0.5 * this->step);
  rounding = below.second; // Count 0: the error is the value.
  for (int n = 1; n <= exactCounts; ++n) {
    Split upTo(site.tails, (n + 0.5) * this->step);
    float value = float(n * this->step);
    for (size_t c = 0; c < rounding.size(); ++c) {
      float error = (upTo.second[c] - below.second[c]) -
                    2 * value * (upTo.first[c] - below.first[c]) +
                    value * value * (below.above[c] - upTo.above[c]);
      rounding[c] += std::max(error, 0.0f); // A difference of large numbers.
    }
    below = std::move(upTo);
  }
  float even = float(this->step * this->step / 12);
  for (size_t c = 0; c < rounding.size(); ++c)
    rounding[c] += even * below.above[c];
}

void StepModel::evaluate(int bits, WindowModel &result) const {
  double edge = (windowOf(bits) + 0.5) * step;
  Split window(site.tails, edge);
  result.error = rounding;
  result.saturated.assign(rounding.size(), 0.0f);
  if (tolerance == 0) {
    result.salient = std::move(window.above);
    return;
  }
  Split tolerated(site.tails, edge + step);
  float twice = float(2 * step), start = float(edge);
  for (size_t c = 0; c < rounding.size(); ++c) {
    float share = window.above[c] - tolerated.above[c];
    float excess = (tolerated.first[c] - window.first[c]) - start * share;
    result.saturated[c] = share;
    result.error[c] += twice * std::max(excess, 0.0f);
  }
  result.salient = std::move(tolerated.above);
}
