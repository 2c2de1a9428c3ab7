//===- WeightProblem.cpp - weight formats under a budget ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/WeightProblem.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

#include <cmath>
#include <limits>
#include <tuple>

using namespace llvm;
using namespace spikequant;

/// Sums of doubles: budgets are met up to this.
static constexpr double tolerance = 1e-9;

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

static double getTotalWeights(const WeightProblem &problem) {
  double total = 0.0;
  for (const WeightSite &site : problem.sites)
    total += double(site.weights);
  return total;
}

static Error checkSite(const WeightSite &site) {
  if (site.weights < 1 || site.options.empty())
    return createStringError("weights '%s': no weights or no formats",
                             site.name.c_str());
  for (const WeightOption &option : site.options)
    if (!(option.storedBits > 0.0) || !std::isfinite(option.storedBits) ||
        !(option.loss >= 0.0) || !std::isfinite(option.loss))
      return createStringError("weights '%s': a format has no valid size and "
                               "loss",
                               site.name.c_str());
  return Error::success();
}

Error WeightProblem::check() const {
  StringSet<> names;
  double least = 0.0;
  for (const WeightSite &site : sites) {
    if (!names.insert(site.name).second)
      return createStringError("weights '%s' are given twice",
                               site.name.c_str());
    if (Error error = checkSite(site))
      return error;
    double smallest = std::numeric_limits<double>::infinity();
    for (const WeightOption &option : site.options)
      smallest = std::min(smallest, option.storedBits);
    least += smallest * double(site.weights);
  }
  double total = getTotalWeights(*this);
  if (!(meanBits > 0.0) || !std::isfinite(meanBits) ||
      least > (meanBits + tolerance) * total)
    return createStringError("a mean of %.4g bits per weight cannot be met: "
                             "the smallest formats take %.4g",
                             meanBits, total ? least / total : 0.0);
  return Error::success();
}

static WeightSolution measure(const WeightProblem &problem,
                              std::vector<size_t> choices) {
  WeightSolution solution;
  for (auto [site, choice] : zip_equal(problem.sites, choices)) {
    const WeightOption &option = site.options[choice];
    solution.meanBits += option.storedBits * double(site.weights);
    solution.loss += option.loss;
  }
  if (!choices.empty())
    solution.meanBits /= getTotalWeights(problem);
  solution.choices = std::move(choices);
  return solution;
}

static bool isClose(double a, double b) {
  return std::fabs(a - b) <= tolerance * std::max(std::fabs(a), std::fabs(b));
}

Error spikequant::verify(const WeightProblem &problem,
                         const WeightSolution &solution) {
  if (solution.choices.size() != problem.sites.size())
    return createStringError("%zu matrices are answered of %zu",
                             solution.choices.size(), problem.sites.size());
  for (auto [site, choice] : zip_equal(problem.sites, solution.choices))
    if (choice >= site.options.size())
      return createStringError("weights '%s' have no format %zu",
                               site.name.c_str(), choice);
  WeightSolution again = measure(problem, solution.choices);
  if (!isClose(again.meanBits, solution.meanBits) ||
      !isClose(again.loss, solution.loss))
    return createStringError("the recorded means are not those of the choices");
  if (again.meanBits > problem.meanBits + tolerance)
    return createStringError("%.6f bits per weight exceed the budget of %.6f",
                             again.meanBits, problem.meanBits);
  if (again.loss < solution.lowerBound * (1 - tolerance))
    return createStringError("the loss is below its lower bound");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Solver
//===----------------------------------------------------------------------===//

namespace {
/// From one format of a site's lower hull to the next larger one.
struct Step {
  size_t site, option;
  double bits, saved; ///< In all weights of the site.
  double getRate() const { return saved / bits; }
};
} // namespace

/// Formats from the smallest to the one of least loss, such that each step
/// saves less per bit than the one before.
static std::vector<size_t> findHull(const WeightSite &site) {
  std::vector<size_t> order(site.options.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  const std::vector<WeightOption> &options = site.options;
  llvm::sort(order, [&](size_t a, size_t b) {
    return std::make_tuple(options[a].storedBits, options[a].loss, a) <
           std::make_tuple(options[b].storedBits, options[b].loss, b);
  });
  auto rate = [&](size_t from, size_t to) {
    return (options[from].loss - options[to].loss) /
           (options[to].storedBits - options[from].storedBits);
  };
  std::vector<size_t> hull;
  for (size_t next : order) {
    if (!hull.empty() && options[next].loss >= options[hull.back()].loss)
      continue;
    while (hull.size() > 1 &&
           rate(hull[hull.size() - 2], hull.back()) <= rate(hull.back(), next))
      hull.pop_back();
    hull.push_back(next);
  }
  return hull;
}

/// Steps of all sites, the best rate first. Those of one site stay in order.
static std::vector<Step> findSteps(const WeightProblem &problem,
                                   std::vector<size_t> &smallest) {
  std::vector<Step> steps;
  for (auto [index, site] : enumerate(problem.sites)) {
    std::vector<size_t> hull = findHull(site);
    smallest.push_back(hull.front());
    for (size_t i = 1; i < hull.size(); ++i) {
      const WeightOption &from = site.options[hull[i - 1]],
                         &to = site.options[hull[i]];
      steps.push_back({index, hull[i],
                       (to.storedBits - from.storedBits) * double(site.weights),
                       from.loss - to.loss});
    }
  }
  llvm::sort(steps, [](const Step &a, const Step &b) {
    return std::make_tuple(-a.getRate(), a.site, a.bits) <
           std::make_tuple(-b.getRate(), b.site, b.bits);
  });
  return steps;
}

/// Spends what is left on any format that fits, the most saved loss first.
static void spendRest(const WeightProblem &problem,
                      std::vector<size_t> &choices, double left) {
  while (true) {
    double best = 0.0, cost = 0.0;
    size_t bestSite = 0, bestOption = 0;
    for (auto [index, site] : enumerate(problem.sites)) {
      const WeightOption &now = site.options[choices[index]];
      for (auto [number, option] : enumerate(site.options)) {
        double bits =
            (option.storedBits - now.storedBits) * double(site.weights);
        if (bits > left || now.loss - option.loss <= best)
          continue;
        best = now.loss - option.loss;
        cost = bits;
        bestSite = index;
        bestOption = number;
      }
    }
    if (best <= 0.0)
      return;
    choices[bestSite] = bestOption;
    left -= cost;
  }
}

Expected<WeightSolution> spikequant::solve(const WeightProblem &problem) {
  if (Error error = problem.check())
    return std::move(error);
  std::vector<size_t> choices;
  std::vector<Step> steps = findSteps(problem, choices);
  WeightSolution start = measure(problem, choices);
  double total = getTotalWeights(problem);
  double left = (problem.meanBits - start.meanBits) * total;
  double bound = start.loss;
  for (const Step &step : steps) {
    if (step.bits > left) {
      // Part of the step would be the best use of what is left.
      bound -= step.saved * std::max(left, 0.0) / step.bits;
      break;
    }
    choices[step.site] = step.option;
    left -= step.bits;
    bound -= step.saved;
  }
  spendRest(problem, choices, left);
  WeightSolution solution = measure(problem, std::move(choices));
  solution.lowerBound = std::min(std::max(bound, 0.0), solution.loss);
  if (Error error = verify(problem, solution))
    return std::move(error);
  return solution;
}
