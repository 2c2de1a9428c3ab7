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
/// Everything below a threshold, and the probability of the rest. Second
/// moments are left out unless asked for.
struct Split {
  Split(const MagnitudeTails &tails, double threshold, bool squares = false)
      : above(tails.getChannels()), first(above.size()),
        second(squares ? above.size() : 0) {
    tails.evaluate(threshold, above);
    tails.evaluateMoments(threshold, first, second);
  }
  std::vector<float> above, first, second;
};
} // namespace

/// Adds an error that rounding of differences may have made negative, and that
/// may be beyond f32 (values up to 3e38 are squared): errors stay finite.
static void addError(float &error, double more) {
  error = float(std::clamp(error + more, double(error), 1e37));
}

/// Counts whose error is taken from moments.
static constexpr int exactCounts = 4;

StepModel::StepModel(const SiteProblem &site, int32_t tolerance, float step)
    : site(site), tolerance(tolerance), step(step) {
  Split below(site.tails, 0.5 * this->step, /*squares=*/true);
  rounding = below.second; // Count 0: the error is the value.
  for (int n = 1; n <= exactCounts; ++n) {
    Split upTo(site.tails, (n + 0.5) * this->step, /*squares=*/true);
    double value = n * this->step;
    for (size_t c = 0; c < rounding.size(); ++c) {
      double error = (upTo.second[c] - below.second[c]) -
                     2 * value * (upTo.first[c] - below.first[c]) +
                     value * value * (below.above[c] - upTo.above[c]);
      addError(rounding[c], error);
    }
    below = std::move(upTo);
  }
  double even = this->step * this->step / 12;
  for (size_t c = 0; c < rounding.size(); ++c)
    addError(rounding[c], even * below.above[c]);
}

void StepModel::evaluate(int bits, WindowModel &result) const {
  double edge = (windowOf(bits) + 0.5) * step;
  result.error = rounding;
  result.saturated.assign(rounding.size(), 0.0f);
  if (tolerance == 0) {
    result.salient.resize(rounding.size());
    site.tails.evaluate(edge, result.salient);
    return;
  }
  Split window(site.tails, edge);
  Split tolerated(site.tails, edge + step);
  double twice = 2 * step;
  for (size_t c = 0; c < rounding.size(); ++c) {
    float share = window.above[c] - tolerated.above[c];
    double excess = (tolerated.first[c] - window.first[c]) - edge * share;
    result.saturated[c] = share;
    addError(result.error[c], twice * excess);
  }
  result.salient = std::move(tolerated.above);
}
