//===- Solvers.cpp - answers to the bit problem ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/Solvers.h"

#include "Centres.h"
#include "spikequant/Allocation/StepModel.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Parallel.h"

#include <cmath>
#include <limits>

using namespace llvm;
using namespace spikequant;

/// What the MAD and percentile rules divide by: the window of 4 bits.
static constexpr double referenceWindow = 7.0;

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

double AllocationOptions::getErrorBits() const {
  return rule == StepRule::Budget ? errorBits : 0.0;
}

std::vector<int8_t> spikequant::chooseBits(const SiteProblem &site,
                                           const AllocationOptions &options,
                                           float step) {
  return chooseWindows(site, options, step).bits;
}

/// Channels with a law, whose plain windows `choice` has already.
static void addCentres(const SiteProblem &site,
                       const AllocationOptions &options, float step,
                       WindowChoice &choice, MutableArrayRef<float> bits,
                       MutableArrayRef<float> error) {
  if (site.laws.empty())
    return;
  choice.centres.assign(site.getChannels(), 0.0f);
  choice.offsets.assign(site.getChannels(), 0.0f);
  for (uint32_t c = 0; c < site.getChannels(); ++c) {
    const ChannelLaw *law = site.getLaw(c);
    if (!law)
      continue;
    CentredChoice best = chooseCentre(*law, options, step, site.maxAbs);
    choice.bits[c] = best.bits;
    choice.centres[c] = best.centre;
    choice.offsets[c] = float(best.cost.offset);
    bits[c] = float(best.bits + options.eventBits * best.cost.salient);
    error[c] = float(best.cost.variance);
  }
}

WindowChoice spikequant::chooseWindows(const SiteProblem &site,
                                       const AllocationOptions &options,
                                       float step) {
  uint32_t channels = site.getChannels();
  StepModel model(site, options.tolerance, step);
  WindowModel window;
  WindowChoice choice;
  choice.bits.resize(channels);
  std::vector<float> best(channels), bits(channels), error(channels);
  float eventBits = float(options.eventBits);
  double squared = double(step) * step;
  float errorBits = float(options.getErrorBits() / squared);
  for (int b = 0; b <= options.maxBits; ++b) {
    if (b == 1)
      continue;
    model.evaluate(b, window);
    for (uint32_t c = 0; c < channels; ++c) {
      float spent = float(b) + eventBits * window.salient[c];
      float cost = spent + errorBits * window.error[c];
      if (b == 0 || cost < best[c]) {
        best[c] = cost;
        bits[c] = spent;
        error[c] = window.error[c];
        choice.bits[c] = int8_t(b);
      }
    }
  }
  addCentres(site, options, step, choice, bits, error);
  for (uint32_t c = 0; c < channels; ++c) {
    choice.activationBits += bits[c];
    choice.error += error[c];
  }
  return choice;
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
static Scale typicalMagnitude(const SiteProblem &site) {
  if (site.medianAbs > 0.0)
    return {site.medianAbs, "median |x|"};
  if (site.rootMeanSquare > 0.0)
    return {site.rootMeanSquare, "root mean square, the median being 0"};
  return {1.0, "1, every value being 0"};
}

/// Rules without a budget.
static Scale plainScale(const SiteProblem &site,
                        const AllocationOptions &options) {
  if (options.rule == StepRule::Percentile && site.percentileAbs > 0.0)
    return {site.percentileAbs / referenceWindow,
            formatv("percentile {0} / 7", format("%g", options.percentile))};
  Scale scale = typicalMagnitude(site);
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
  parallelFor(0, problem.sites.size(), [&](size_t i) {
    const SiteProblem &site = problem.sites[i];
    SiteSolution &answer = solution.sites[i];
    answer.step = toStep(site, answer.scale * factor);
    WindowChoice choice = chooseWindows(site, problem.options, answer.step);
    answer.bits = std::move(choice.bits);
    answer.centres = std::move(choice.centres);
    answer.offsets = std::move(choice.offsets);
    answer.cost = computeCost(site, problem.options, answer.step, answer.bits,
                              answer.centres);
  });
  summarise(problem, solution);
}

namespace {
/// Looks for the least factor that meets the budget.
class FactorSearch {
public:
  FactorSearch(const BitProblem &problem, BitSolution &solution)
      : problem(problem), solution(solution) {}

  void run();

private:
  double bitsOf(double factor) {
    setFactor(problem, solution, factor);
    return solution.getBudgetedBits(problem.options.budgetBy);
  }
  bool exceeds(double factor) {
    return bitsOf(factor) > problem.options.meanBits;
  }
  bool isNear() const {
    const AllocationOptions &options = problem.options;
    return solution.getBudgetedBits(options.budgetBy) >
           options.meanBits - options.meanBitsTolerance;
  }

  static constexpr double largest = 0x1p24;
  const BitProblem &problem;
  BitSolution &solution;
};
} // namespace

/// Doubles or halves from 1 until the factor is bracketed, then bisects by
/// geometric means (exact rounding: equal on every machine). `high` always
/// meets the budget.
void FactorSearch::run() {
  double low = 1.0, high = 1.0;
  if (exceeds(1.0)) {
    do
      low = high, high *= 2;
    while (high < largest && exceeds(high));
  } else {
    do {
      if (isNear())
        return;
      high = low, low /= 2;
    } while (low > 1 / largest && !exceeds(low));
    if (low <= 1 / largest)
      return; // So little fires that the finest steps fit the budget.
  }
  while (high > low * 1.0001) {
    double middle = std::sqrt(low * high);
    if (exceeds(middle)) {
      low = middle;
      continue;
    }
    high = middle;
    if (isNear())
      return;
  }
  setFactor(problem, solution, high);
}

//===----------------------------------------------------------------------===//
// Sharing the budget
//===----------------------------------------------------------------------===//

namespace {
/// One step that a site may take; sums over its channels.
struct Point {
  float step;
  double bits;
  double error;
};
} // namespace

/// Steps from 2^5 down to 2^-7 times the typical magnitude, four per octave:
/// nearly silent to 9 bits for most values.
static constexpr int lowestOctave = -7, highestOctave = 5;

/// Coarsest step first. Steps so fine that most values are salient are left
/// out.
static std::vector<Point> computeCurve(const SiteProblem &site,
                                       const AllocationOptions &options) {
  std::vector<Point> curve;
  const double quarter = std::sqrt(std::sqrt(2.0)); // Rounded exactly.
  for (int octave = highestOctave; octave >= lowestOctave; --octave) {
    double scale = std::ldexp(site.getTypicalAbs(), octave);
    for (int i = 0; i < 4; ++i, scale /= quarter) {
      float step = toStep(site, scale);
      if (!curve.empty() && curve.back().step == step)
        continue;
      WindowChoice choice = chooseWindows(site, options, step);
      curve.push_back({step, choice.activationBits, choice.error});
    }
  }
  return curve;
}

namespace {
/// One point for each site: least loss within a number of bits, by dynamic
/// programming over the sites. Bits are counted in so many units of the budget
/// that rounding them costs less than a thousandth of it.
class Knapsack {
public:
  explicit Knapsack(const BitProblem &problem);

  /// The chosen steps; the coarsest ones if nothing fits the budget.
  std::vector<float> solve();

private:
  void addSite(size_t site);
  size_t unitsOf(size_t site, const Point &point) const {
    return size_t(std::llround(bitWeights[site] * point.bits / unit));
  }

  static constexpr size_t capacity = 1 << 14;
  std::vector<std::vector<Point>> curves;
  std::vector<double> lossWeights;
  std::vector<double> bitWeights; ///< Of a bit of one value in the budget.
  double unit = 0.0;              ///< Bits.
  /// Least loss of the sites so far within so many units, and the point of each
  /// site that it takes.
  std::vector<double> losses;
  std::vector<std::vector<uint8_t>> chosen;
};
} // namespace

Knapsack::Knapsack(const BitProblem &problem)
    : curves(problem.sites.size()), lossWeights(getLossWeights(problem)),
      losses(capacity + 1) {
  parallelFor(0, curves.size(), [&](size_t i) {
    curves[i] = computeCurve(problem.sites[i], problem.options);
  });
  for (const SiteProblem &site : problem.sites) {
    bool byMacs = problem.options.budgetBy == BudgetBy::Macs;
    bitWeights.push_back(byMacs ? site.fanOut : 1.0);
    unit += bitWeights.back() * site.getChannels();
  }
  unit *= problem.options.meanBits / capacity;
}

void Knapsack::addSite(size_t site) {
  std::vector<double> next(losses.size(),
                           std::numeric_limits<double>::infinity());
  std::vector<uint8_t> &point = chosen.emplace_back(losses.size());
  for (auto [index, candidate] : llvm::enumerate(curves[site])) {
    double loss = lossWeights[site] * candidate.error;
    size_t units = unitsOf(site, candidate);
    for (size_t u = units; u < losses.size(); ++u) {
      double total = losses[u - units] + loss;
      if (total > next[u])
        continue;
      next[u] = total;
      point[u] = uint8_t(index);
    }
  }
  losses = std::move(next);
}

std::vector<float> Knapsack::solve() {
  for (size_t site = 0; site < curves.size(); ++site)
    addSite(site);
  std::vector<float> steps(curves.size());
  bool fits = losses.back() < std::numeric_limits<double>::infinity();
  size_t units = capacity;
  for (size_t site = curves.size(); site-- > 0;) {
    const std::vector<Point> &curve = curves[site];
    const Point &point = fits ? curve[chosen[site][units]] : curve.front();
    steps[site] = point.step;
    units -= fits ? unitsOf(site, point) : 0;
  }
  return steps;
}

/// Minimises the sum over sites of weight x squared error at a given mean of
/// bits. Sets scales whose factor 1 meets the budget nearly.
static void shareBudget(const BitProblem &problem, BitSolution &solution) {
  std::vector<float> steps = Knapsack(problem).solve();
  bool measured = hasSensitivities(problem);
  for (auto [index, answer] : llvm::enumerate(solution.sites)) {
    const SiteProblem &site = problem.sites[index];
    answer.scale = steps[index];
    if (measured)
      answer.reason = formatv("step from sensitivity {0}",
                              format("%.4g", *site.sensitivity));
    else
      answer.reason = formatv("step from {0} channels / fan-out {1:f0}",
                              site.getChannels(), site.fanOut);
  }
}

static void setPlainScales(const BitProblem &problem, BitSolution &solution) {
  for (auto [site, answer] : llvm::zip_equal(problem.sites, solution.sites)) {
    Scale scale = plainScale(site, problem.options);
    answer.scale = scale.value;
    answer.reason = "step from " + scale.reason;
  }
}

Expected<BitSolution> spikequant::solve(const BitProblem &problem) {
  if (Error error = problem.check())
    return std::move(error);
  BitSolution solution;
  for (const SiteProblem &site : problem.sites)
    solution.sites.emplace_back().name = site.name;
  if (problem.options.rule == StepRule::Budget) {
    shareBudget(problem, solution);
    FactorSearch(problem, solution).run();
  } else {
    setPlainScales(problem, solution);
    setFactor(problem, solution, 1.0);
  }
  if (Error error = verify(problem, solution))
    return std::move(error);
  return solution;
}
