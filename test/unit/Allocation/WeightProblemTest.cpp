//===- WeightProblemTest.cpp - weight formats against brute force ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/WeightProblem.h"

#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <random>

using namespace llvm;
using namespace spikequant;

static WeightProblem randomProblem(size_t sites, size_t options,
                                   uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  WeightProblem problem;
  for (size_t i = 0; i < sites; ++i) {
    WeightSite site{"w" + std::to_string(i), 1 + int64_t(random() % 9), {}};
    for (size_t j = 0; j < options; ++j) {
      double bits = 2 + 6 * uniform(random);
      // Not always less loss with more bits.
      double loss = uniform(random) * std::pow(4.0, 4 - bits);
      site.options.push_back({4, 32, bits, loss});
    }
    problem.sites.push_back(site);
  }
  return problem;
}

namespace {
struct Best {
  double loss = std::numeric_limits<double>::infinity();
  double largestStep = 0.0; ///< Largest loss that one site could save.
  double leastBits = 0.0;
};
} // namespace

/// Tries all combinations.
static Best bruteForce(const WeightProblem &problem) {
  Best best;
  size_t options = problem.sites[0].options.size(), combinations = 1;
  double weights = 0, leastBits = std::numeric_limits<double>::infinity();
  for (const WeightSite &site : problem.sites) {
    combinations *= options;
    weights += double(site.weights);
    double low = 1e300, high = 0;
    for (const WeightOption &option : site.options) {
      low = std::min(low, option.loss);
      high = std::max(high, option.loss);
    }
    best.largestStep = std::max(best.largestStep, high - low);
  }
  for (size_t c = 0; c < combinations; ++c) {
    double bits = 0, loss = 0;
    size_t rest = c;
    for (const WeightSite &site : problem.sites) {
      const WeightOption &option = site.options[rest % options];
      rest /= options;
      bits += option.storedBits * double(site.weights) / weights;
      loss += option.loss;
    }
    leastBits = std::min(leastBits, bits);
    if (bits <= problem.meanBits)
      best.loss = std::min(best.loss, loss);
  }
  best.leastBits = leastBits;
  return best;
}

TEST(WeightProblem, IsBetweenBoundAndOneStepAboveBruteForce) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    WeightProblem problem = randomProblem(5, 5, seed);
    problem.meanBits = 100;
    double least = bruteForce(problem).leastBits;
    for (double extra : {0.01, 0.7, 1.5, 4.0}) {
      problem.meanBits = least + extra;
      Best best = bruteForce(problem);
      WeightSolution solution = cantFail(solve(problem));
      double bits = 0, loss = 0, weights = 0;
      for (size_t i = 0; i < 5; ++i) {
        const WeightSite &site = problem.sites[i];
        const WeightOption &option = site.options.at(solution.choices.at(i));
        bits += option.storedBits * double(site.weights);
        loss += option.loss;
        weights += double(site.weights);
      }
      EXPECT_LE(bits / weights, problem.meanBits + 1e-9);
      EXPECT_NEAR(solution.meanBits, bits / weights, 1e-9);
      EXPECT_NEAR(solution.loss, loss, 1e-9);
      EXPECT_LE(solution.lowerBound, best.loss * (1 + 1e-9));
      EXPECT_GE(solution.loss, best.loss * (1 - 1e-9));
      EXPECT_LE(solution.loss, best.loss + best.largestStep);
    }
  }
}

TEST(WeightProblem, AmpleBudgetTakesTheLeastLoss) {
  WeightProblem problem = randomProblem(6, 4, 7);
  problem.meanBits = 9;
  WeightSolution solution = cantFail(solve(problem));
  for (size_t i = 0; i < 6; ++i)
    for (const WeightOption &option : problem.sites[i].options)
      EXPECT_LE(problem.sites[i].options[solution.choices[i]].loss,
                option.loss);
  EXPECT_NEAR(solution.lowerBound, solution.loss, 1e-12);
}

/// Random problems are small: with many sites the bound is nearly met.
TEST(WeightProblem, ManySitesAreNearlyOptimal) {
  WeightProblem problem = randomProblem(400, 24, 3);
  problem.meanBits = 4.5;
  WeightSolution solution = cantFail(solve(problem));
  EXPECT_LE(solution.loss, solution.lowerBound * 1.01);
}

static std::string problemOf(const WeightProblem &problem) {
  auto solution = solve(problem);
  return solution ? "" : toString(solution.takeError());
}

TEST(WeightProblem, Refusals) {
  WeightProblem problem{2.0, {{"a", 4, {{3, 32, 3.5, 0.1}}}}};
  EXPECT_EQ(problemOf(problem),
            "a mean of 2 bits per weight cannot be met: the smallest formats "
            "take 3.5");
  problem.meanBits = NAN;
  EXPECT_NE(problemOf(problem), "");
  problem.meanBits = 4;
  EXPECT_EQ(problemOf(problem), "");
  problem.sites.push_back(problem.sites[0]);
  EXPECT_EQ(problemOf(problem), "weights 'a' are given twice");
  problem.sites[1] = {"b", 0, {{3, 32, 3.5, 0.1}}};
  EXPECT_EQ(problemOf(problem), "weights 'b': no weights or no formats");
  problem.sites[1] = {"b", 1, {{3, 32, 3.5, NAN}}};
  EXPECT_EQ(problemOf(problem),
            "weights 'b': a format has no valid size and loss");
}

TEST(WeightProblem, VerifyRefusesWrongAnswers) {
  WeightProblem problem = randomProblem(4, 4, 5);
  problem.meanBits = 6;
  WeightSolution good = cantFail(solve(problem));
  auto verdict = [&](const WeightSolution &solution) {
    return toString(verify(problem, solution));
  };
  EXPECT_EQ(verdict(good), "");
  WeightSolution bad = good;
  bad.choices[2] = 9;
  EXPECT_EQ(verdict(bad), "weights 'w2' have no format 9");
  bad = good;
  bad.loss *= 0.9;
  EXPECT_EQ(verdict(bad), "the recorded means are not those of the choices");
  bad = good;
  bad.lowerBound = good.loss * 1.1;
  EXPECT_EQ(verdict(bad), "the loss is below its lower bound");
  bad = good;
  bad.choices.pop_back();
  EXPECT_EQ(verdict(bad), "3 matrices are answered of 4");
  problem.meanBits = good.meanBits - 0.01;
  EXPECT_NE(verdict(good).find("exceed the budget"), std::string::npos);
}
