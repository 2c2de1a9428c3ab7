//===- SolversTest.cpp - steps and bits against brute force ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::test;

/// The definition of encode, with h = 1/2.
static int countOf(float value, float step) {
  float reciprocal = 1.0f / step;
  float count = std::floor(value * reciprocal + 0.5f);
  return int(std::min(32767.0f, std::max(-32767.0f, count)));
}

/// Share of a channel's counts that are salient with `bits` bits.
static double salientShare(ArrayRef<float> values, uint32_t channels,
                           uint32_t c, float step, int bits, int tolerance) {
  int window = bits < 2 ? 0 : (1 << (bits - 1)) - 1;
  size_t salient = 0, rows = values.size() / channels;
  for (size_t r = 0; r < rows; ++r)
    salient +=
        std::abs(countOf(values[r * channels + c], step)) > window + tolerance;
  return double(salient) / double(rows);
}

static double bruteForceCost(ArrayRef<float> values, uint32_t channels,
                             uint32_t c, float step,
                             const AllocationOptions &options) {
  double best = 1e9;
  for (int b = 0; b <= options.maxBits; ++b)
    best = std::min(best, b + options.eventBits *
                                  salientShare(values, channels, c, step, b,
                                               options.tolerance));
  return best;
}

// With step 1/8 the thresholds of up to 4 bits (t = 0) or 3 bits (t = 1) are
// bin edges, so the histogram knows the counts exactly.
TEST(ChooseBits, EqualsBruteForceOverAllBits) {
  constexpr uint32_t channels = 40;
  constexpr float step = 0.125f;
  for (int tolerance : {0, 1})
    for (unsigned seed = 0; seed < 10; ++seed) {
      AllocationOptions options;
      options.errorBits = 0.0;
      options.tolerance = tolerance;
      options.maxBits = 4 - tolerance;
      auto values = randomValues(200, channels, 0.2f, seed);
      BitProblem problem;
      SiteProblem &site = problem.addSite(observe("x", channels, values), 1);
      std::vector<int8_t> bits = chooseBits(site, options, step);
      double bestMean = 0.0;
      for (uint32_t c = 0; c < channels; ++c) {
        double cost = bits[c] + 32.0 * salientShare(values, channels, c, step,
                                                    bits[c], tolerance);
        double best = bruteForceCost(values, channels, c, step, options);
        EXPECT_NEAR(cost, best, 1e-5);
        bestMean += best / channels;
      }
      SiteCost cost = computeCost(site, options, step, bits);
      EXPECT_NEAR(cost.getActivationBits(32.0), bestMean, 1e-5);
    }
}

TEST(ChooseBits, DeadAndConstantChannels) {
  std::vector<float> values;
  for (int row = 0; row < 50; ++row)
    values.insert(values.end(), {0.0f, 1.0f, -20.0f, row == 0 ? 900.0f : 0.0f});
  BitProblem problem;
  problem.options.errorBits = 0.0;
  SiteProblem &site = problem.addSite(observe("x", 4, values), 1);
  // Counts 0, 1, -20, and one event in fifty: 32 / 50 < 2 bits.
  EXPECT_EQ(chooseBits(site, problem.options, 1.0f),
            (std::vector<int8_t>{0, 0, 6, 0}));
  problem.options.tolerance = 0;
  EXPECT_EQ(chooseBits(site, problem.options, 1.0f),
            (std::vector<int8_t>{0, 2, 6, 0}));
}

TEST(Solve, PredictsWhatEncodeDoes) {
  constexpr uint32_t channels = 48;
  auto values = randomValues(4000, channels, 0.2f, 9);
  BitProblem problem;
  problem.addSite(observe("x", channels, values), 96);
  BitSolution solution = cantFail(solve(problem));
  const SiteSolution &site = solution.sites[0];
  double measured = 0.0;
  for (uint32_t c = 0; c < channels; ++c)
    measured += site.bits[c] + 32.0 * salientShare(values, channels, c,
                                                   site.step, site.bits[c], 1);
  EXPECT_NEAR(measured / channels, solution.activationBits, 0.05);
}

TEST(Solve, MeetsEveryBudgetFromBelow) {
  double lastLoss = 1e30;
  for (double budget : {0.5, 1.0, 2.0, 3.0, 4.0, 4.25, 5.0, 7.0}) {
    BitProblem problem = sampleProblem();
    problem.options.meanBits = budget;
    BitSolution solution = cantFail(solve(problem));
    EXPECT_LE(solution.activationBits, budget);
    EXPECT_GT(solution.activationBits, budget - 0.02);
    EXPECT_LT(solution.expectedLoss, lastLoss);
    lastLoss = solution.expectedLoss;
  }
}

TEST(Solve, LargerStepsNeverCostMoreBits) {
  BitProblem problem = sampleProblem();
  problem.options.errorBits = 0.0;
  for (const SiteProblem &site : problem.sites) {
    double last = 1e30;
    for (float step = 1e-4f; step < 100.0f; step *= 1.1f) {
      auto bits = chooseBits(site, problem.options, step);
      SiteCost cost = computeCost(site, problem.options, step, bits);
      EXPECT_LE(cost.getActivationBits(32.0), last + 1e-5);
      last = cost.getActivationBits(32.0);
    }
  }
}

/// E[(x - value of its count)^2] of a channel, by the definition of encode.
static double squaredError(ArrayRef<float> values, uint32_t channels,
                           uint32_t c, float step, int bits, int tolerance) {
  int window = windowOf(bits);
  double total = 0.0;
  for (size_t i = c; i < values.size(); i += channels) {
    int count = countOf(values[i], step);
    if (std::abs(count) <= window + tolerance)
      count = std::max(-window, std::min(window, count));
    double error = double(values[i]) - double(count) * double(step);
    total += error * error;
  }
  return total / double(values.size() / channels);
}

TEST(ChooseBits, ErrorsAreThoseOfEncode) {
  constexpr uint32_t channels = 14;
  auto values = randomValues(20000, channels, 0.2f, 11);
  SiteProblem site = BitProblem().addSite(observe("x", channels, values), 1);
  for (int tolerance : {0, 1})
    for (float step : {0.013f, 0.1f, 0.37f, 2.0f})
      for (int bits : {0, 2, 3, 4, 6}) {
        AllocationOptions options;
        options.tolerance = tolerance;
        double exact = 0.0;
        for (uint32_t c = 0; c < channels; ++c)
          exact += squaredError(values, channels, c, step, bits, tolerance);
        SiteCost cost = computeCost(
            site, options, step, std::vector<int8_t>(channels, int8_t(bits)));
        EXPECT_NEAR(cost.error * channels / exact, 1.0, 0.04)
            << "t " << tolerance << ", step " << step << ", bits " << bits;
      }
}

// What the windows are chosen by, from the values themselves.
TEST(ChooseBits, ChargesTheErrorOfSaturation) {
  constexpr uint32_t channels = 21;
  auto values = randomValues(8000, channels, 0.2f, 12);
  BitProblem problem;
  const AllocationOptions &options = problem.options;
  SiteProblem &site = problem.addSite(observe("x", channels, values), 1);
  for (float step : {0.05f, 0.21f, 0.9f}) {
    auto costOf = [&](uint32_t c, int bits) {
      return bits + 32.0 * salientShare(values, channels, c, step, bits, 1) +
             options.errorBits / (double(step) * step) *
                 squaredError(values, channels, c, step, bits, 1);
    };
    std::vector<int8_t> bits = chooseBits(site, options, step);
    for (uint32_t c = 0; c < channels; ++c) {
      double best = costOf(c, 0);
      for (int b = 2; b <= options.maxBits; ++b)
        best = std::min(best, costOf(c, b));
      EXPECT_LT(costOf(c, bits[c]), best + 0.15);
    }
  }
}

/// Steps over a fine grid, every combination of the sites of `problem` (three),
/// and the least loss that keeps the budget.
static double leastLoss(const BitProblem &problem) {
  std::vector<double> weights = getLossWeights(problem);
  std::vector<std::vector<WindowChoice>> choices(3);
  double values = 0.0;
  std::vector<double> bitWeights;
  for (size_t i = 0; i < 3; ++i) {
    const SiteProblem &site = problem.sites[i];
    bool byMacs = problem.options.budgetBy == BudgetBy::Macs;
    bitWeights.push_back(byMacs ? site.fanOut : 1.0);
    values += bitWeights[i] * site.getChannels();
    for (double step = std::max(site.medianAbs / 40, site.maxAbs / 24576);
         step < site.medianAbs * 10; step *= 1.12)
      choices[i].push_back(chooseWindows(site, problem.options, float(step)));
  }
  double best = 1e30, budget = problem.options.meanBits * values;
  for (const WindowChoice &a : choices[0])
    for (const WindowChoice &b : choices[1])
      for (const WindowChoice &c : choices[2])
        if (bitWeights[0] * a.activationBits +
                bitWeights[1] * b.activationBits +
                bitWeights[2] * c.activationBits <=
            budget)
          best = std::min(best, weights[0] * a.error + weights[1] * b.error +
                                    weights[2] * c.error);
  return best;
}

TEST(Solve, NearlyTheLeastLossOfAllCombinations) {
  const double sensitivities[][3] = {
      {1, 1, 1}, {100, 1, 1000}, {0.01, 5, 30}, {3, 0.0, 300}};
  for (BudgetBy by : {BudgetBy::Values, BudgetBy::Macs})
    for (double budget : {2.5, 4.25, 5.5})
      for (ArrayRef<double> values : sensitivities) {
        BitProblem problem = sampleProblem();
        problem.options.budgetBy = by;
        problem.options.meanBits = budget;
        for (size_t i = 0; i < 3; ++i)
          problem.sites[i].sensitivity = values[i];
        BitSolution solution = cantFail(solve(problem));
        EXPECT_LE(solution.getBudgetedBits(by), budget);
        EXPECT_LT(solution.expectedLoss, 1.08 * leastLoss(problem))
            << getBudgetByName(by).str() << " " << budget;
      }
}

TEST(Solve, SensitiveSitesGetFinerSteps) {
  BitProblem problem = sampleProblem();
  for (SiteProblem &site : problem.sites)
    site.sensitivity = assumedSensitivity(site, 3);
  BitSolution assumed = cantFail(solve(sampleProblem()));
  BitSolution same = cantFail(solve(problem));
  *problem.sites[1].sensitivity *= 30;
  BitSolution other = cantFail(solve(problem));
  for (size_t i = 0; i < 3; ++i)
    EXPECT_EQ(assumed.sites[i].step, same.sites[i].step);
  EXPECT_LT(other.sites[1].step, 0.5 * same.sites[1].step);
  EXPECT_GT(other.sites[0].step, same.sites[0].step);
}

// Behind a ReLU half of the values are 0: the others get about the step that
// they would have without them.
TEST(Solve, ZerosDoNotSetTheStep) {
  std::vector<float> values = randomValues(400, 24, 0.5f, 4), sparse;
  for (float value : values)
    sparse.insert(sparse.end(), {value, 0.0f, 0.0f});
  BitProblem problem;
  problem.addSite(observe("dense", 24, values), 24);
  problem.addSite(observe("sparse", 24, sparse), 24);
  EXPECT_EQ(problem.sites[1].medianAbs, 0.0);
  EXPECT_NEAR(problem.sites[1].medianNonzeroAbs /
                  problem.sites[0].medianNonzeroAbs,
              1.0, 1e-3);
  BitSolution solution = cantFail(solve(problem));
  EXPECT_NEAR(std::log2(solution.sites[1].step / solution.sites[0].step), 0.0,
              0.75);
}

TEST(Solve, MadAndPercentileRules) {
  BitProblem problem = sampleProblem();
  problem.options.rule = StepRule::Mad;
  problem.options.madFactor = 5.0;
  BitSolution mad = cantFail(solve(problem));
  problem.options.rule = StepRule::Percentile;
  BitSolution percentile = cantFail(solve(problem));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_FLOAT_EQ(mad.sites[i].step,
                    float(5.0 * problem.sites[i].medianAbs / 7.0));
    EXPECT_FLOAT_EQ(percentile.sites[i].step,
                    float(problem.sites[i].percentileAbs / 7.0));
  }
}

TEST(Solve, SitesOfZerosAndMostlyZeros) {
  std::vector<float> sparse(64 * 4);
  sparse[5] = 3.0f;
  BitProblem problem;
  problem.addSite(observe("zeros", 4, std::vector<float>(64 * 4)), 4);
  problem.addSite(observe("sparse", 4, sparse), 4);
  problem.addSite(SiteStatistics("unseen", 4), 4);
  for (StepRule rule :
       {StepRule::Budget, StepRule::Mad, StepRule::Percentile}) {
    problem.options.rule = rule;
    BitSolution solution = cantFail(solve(problem));
    EXPECT_EQ(solution.sites[0].bits, std::vector<int8_t>(4, 0));
    EXPECT_EQ(solution.sites[0].cost.salient, 0.0);
    EXPECT_LE(countOf(3.0f, solution.sites[1].step), 24576);
    EXPECT_GE(solution.sites[2].step, 1.0f);
  }
}

// Whatever the statistics: an answer that verify accepts, or an error.
TEST(Solve, DegenerateStatistics) {
  float inf = std::numeric_limits<float>::infinity();
  float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> cases[] = {
      {1.0f, -2.0f, 0.0f, 1e-30f},        // One vector.
      std::vector<float>(400, 0.25f),     // A constant.
      std::vector<float>(400, 0.0f),      // Zeros.
      std::vector<float>(400, 1e-38f),    // Below every bin.
      std::vector<float>(400, 1e30f),     // Above every bin.
      {inf, -inf, inf, inf},              // Nothing finite.
      {nan, nan, nan, nan, 1, 2, 3, inf}, // Hardly anything finite.
      {3e38f, 1e-38f, -3e38f, 1.0f, 1e20f, 1e-20f, nan, 0.0f}};
  for (const std::vector<float> &values : cases)
    for (StepRule rule :
         {StepRule::Budget, StepRule::Mad, StepRule::Percentile})
      for (bool measured : {false, true}) {
        BitProblem problem = sampleProblem();
        problem.options.rule = rule;
        problem.addSite(observe("d", 4, values), 7);
        for (SiteProblem &site : problem.sites)
          if (measured)
            site.sensitivity = 1.0;
        Expected<BitSolution> solution = solve(problem);
        if (problem.sites[3].maxAbs > 1e38) {
          EXPECT_NE(toString(solution.takeError()).find("site 'd': with step"),
                    std::string::npos);
          continue;
        }
        ASSERT_TRUE(bool(solution)) << toString(solution.takeError());
        EXPECT_EQ(toString(verify(problem, *solution)), "");
        EXPECT_TRUE(std::isfinite(solution->expectedLoss));
        EXPECT_TRUE(std::isnormal(solution->sites[3].step));
        if (rule == StepRule::Budget) {
          EXPECT_LE(solution->activationBits, 4.25);
        }
      }
}

// One massive value among small ones: counts end at 32767, so the step grows.
TEST(Solve, NoValueOfTheTextClips) {
  auto values = randomValues(400, 8, 0.001f, 5);
  values[77] = -3000.0f;
  BitProblem problem;
  problem.addSite(observe("x", 8, values), 8);
  for (StepRule rule :
       {StepRule::Budget, StepRule::Mad, StepRule::Percentile}) {
    problem.options.rule = rule;
    BitSolution solution = cantFail(solve(problem));
    EXPECT_LE(std::abs(countOf(-3000.0f, solution.sites[0].step)), 24576);
  }
}

TEST(Solve, RejectsEncodeScalesThatLeaveTheNormalNumbers) {
  BitProblem problem = sampleProblem();
  problem.sites[0].encodeScales.assign(24, 1.0f);
  EXPECT_EQ(toString(solve(problem).takeError()), "");
  for (float scale : {0.0f, 1e-38f, 3e38f}) {
    problem.sites[0].encodeScales[5] = scale;
    std::string message = toString(solve(problem).takeError());
    // 1e-38 over a step above 1 is subnormal; here steps are below 1.
    if (scale == 1e-38f)
      EXPECT_EQ(message, "");
    else
      EXPECT_NE(message.find("site 'a', channel 5: a / s"), std::string::npos);
  }
}
