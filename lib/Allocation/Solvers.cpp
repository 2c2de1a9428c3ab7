//===- Solvers.cpp - answers to the bit problem ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/Solvers.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace llvm;
using namespace spikequant;

/// What the MAD and percentile rules divide by: the window of 4 bits.
static constexpr double referenceWindow = 7.0;

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

std::vector<int8_t> spikequant::chooseBits(const SiteProblem &site,
                                           const AllocationOptions &options,
                                           float step) {
  uint32_t channels = site.getChannels();
  std::vector<int8_t> bits(channels);
  std::vector<float> best(channels), salient(channels);
  for (int b = 0; b <= options.maxBits; ++b) {
    if (b == 1)
      continue;
    double threshold = (windowOf(b) + options.tolerance + 0.5) * step;
    site.tails.evaluate(threshold, salient);
    for (uint32_t c = 0; c < channels; ++c) {
      float cost = float(b) + float(options.eventBits) * salient[c];
      if (b == 0 || cost < best[c]) {
        best[c] = cost;
        bits[c] = int8_t(b);
      }
    }
  }
  return bits;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

namespace {
struct Scale {
  double value;
  std::string reason;
};
} // namespace

/// The site's typical magnitude. More than half zeros make the median 0: then
/// the root mean square, and 1 for a site that is always zero.
static Scale typicalMagnitude(const SiteProblem &site, double median) {
  if (median > 0.0)
    return {median, "median |x|"};
  if (site.rootMeanSquare > 0.0)
    return {site.rootMeanSquare, "root mean square, the median being 0"};
  return {1.0, "1, every value being 0"};
}

/// Budget rule: s is proportional to `median |x| sqrt(channels / fanOut)`.
///
/// Rounding adds noise s^2 / 12 to values of typical square median^2, and each
/// of the fanOut outputs inherits that ratio: the site's loss is
/// F s^2 with F = fanOut / median^2. The budget is counted per value, and one
/// factor on s changes all bits alike, so the sum of F s^2 at a given mean is
/// least for s^2 proportional to channels / F. The median stands for the size
/// of ordinary values: a mean square is that of a few massive ones.
static Scale balancedScale(const SiteProblem &site) {
  Scale scale = typicalMagnitude(site, site.medianNonzeroAbs);
  scale.value *= std::sqrt(site.getChannels() / site.fanOut);
  scale.reason = formatv("{0} sqrt({1} channels / fan-out {2:f0})",
                         scale.reason, site.getChannels(), site.fanOut);
  return scale;
}

static Scale baseScale(const SiteProblem &site,
                       const AllocationOptions &options) {
  if (options.rule == StepRule::Budget)
    return balancedScale(site);
  if (options.rule == StepRule::Percentile && site.percentileAbs > 0.0)
    return {site.percentileAbs / referenceWindow,
            formatv("percentile {0} / 7", format("%g", options.percentile))};
  Scale scale = typicalMagnitude(site, site.medianAbs);
  scale.value *= options.madFactor / referenceWindow;
  scale.reason =
      formatv("{0} / 7 of {1}", format("%g", options.madFactor), scale.reason);
  return scale;
}

/// The step keeps the site's largest value unclipped, and stays far inside the
/// normal numbers, so that only a_j can make r_j anything else. A site of zeros
/// keeps step 1 or more: a finer one would clip what other text brings.
static float toStep(const SiteProblem &site, double value) {
  double least = site.maxAbs > 0.0 ? site.maxAbs / plannedCountLimit : 1.0;
  return float(std::clamp(std::max(value, least), 0x1p-100, 0x1p104));
}

static void setFactor(const BitProblem &problem, BitSolution &solution,
                      double factor) {
  solution.factor = factor;
  for (auto [site, answer] : llvm::zip_equal(problem.sites, solution.sites)) {
    answer.step = toStep(site, answer.scale * factor);
    answer.bits = chooseBits(site, problem.options, answer.step);
    answer.cost = computeCost(site, problem.options, answer.step, answer.bits);
  }
  summarise(problem, solution);
}

/// Larger steps never cost more bits, so the factor is bisected, by geometric
/// means (exact rounding: equal on every machine). `high` always meets the
/// budget and is the answer.
static void meetBudget(const BitProblem &problem, BitSolution &solution) {
  const AllocationOptions &options = problem.options;
  double low = 0x1p-24, high = 0x1p24;
  setFactor(problem, solution, low);
  if (solution.activationBits <= options.meanBits)
    return; // So little fires that the finest steps fit the budget.
  while (high > low * 1.0001) {
    double middle = std::sqrt(low * high);
    setFactor(problem, solution, middle);
    if (solution.activationBits > options.meanBits) {
      low = middle;
      continue;
    }
    high = middle;
    if (solution.activationBits > options.meanBits - options.meanBitsTolerance)
      return;
  }
  setFactor(problem, solution, high);
}

Expected<BitSolution> spikequant::solve(const BitProblem &problem) {
  if (Error error = problem.check())
    return std::move(error);
  BitSolution solution;
  for (const SiteProblem &site : problem.sites) {
    Scale scale = baseScale(site, problem.options);
    SiteSolution &answer = solution.sites.emplace_back();
    answer.name = site.name;
    answer.scale = scale.value;
    answer.reason = "step from " + scale.reason;
  }
  if (problem.options.rule == StepRule::Budget)
    meetBudget(problem, solution);
  else
    setFactor(problem, solution, 1.0);
  if (Error error = verify(problem, solution))
    return std::move(error);
  return solution;
}
