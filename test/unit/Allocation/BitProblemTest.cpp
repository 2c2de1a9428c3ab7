//===- BitProblemTest.cpp - well-formed problems and tails ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include <functional>
#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::test;

static double exactTail(ArrayRef<float> values, uint32_t channels, uint32_t c,
                        double threshold) {
  size_t above = 0;
  for (size_t i = c; i < values.size(); i += channels)
    above += std::fabs(double(values[i])) >= threshold;
  return double(above) / double(values.size() / channels);
}

// Between the exact tails at the edges of the threshold's bin.
TEST(MagnitudeTails, WithinOneBinOfExactCount) {
  constexpr uint32_t channels = 12;
  auto values = randomValues(500, channels, 0.3f, 4);
  MagnitudeTails tails(observe("x", channels, values));
  std::vector<float> result(channels);
  for (double threshold = 1e-4; threshold < 100.0; threshold *= 1.07) {
    tails.evaluate(threshold, result);
    unsigned bin = magnitude::binOf(float(threshold));
    for (uint32_t c = 0; c < channels; ++c) {
      double most = exactTail(values, channels, c, magnitude::lowerEdge(bin));
      double least = exactTail(values, channels, c, magnitude::upperEdge(bin));
      EXPECT_LE(result[c], most + 1e-6);
      EXPECT_GE(result[c], least - 1e-6);
    }
  }
}

TEST(MagnitudeTails, ExactAtEdges) {
  constexpr uint32_t channels = 12;
  auto values = randomValues(500, channels, 0.3f, 4);
  MagnitudeTails tails(observe("x", channels, values));
  std::vector<float> result(channels);
  for (double threshold : {0.0, 0.125, 0.4375, 1.5, 3.5, 1000.0}) {
    tails.evaluate(threshold, result);
    for (uint32_t c = 0; c < channels; ++c)
      EXPECT_EQ(result[c], float(exactTail(values, channels, c, threshold)));
  }
}

TEST(MagnitudeTails, SpecialValues) {
  float inf = std::numeric_limits<float>::infinity();
  float nan = std::numeric_limits<float>::quiet_NaN();
  MagnitudeTails tails(
      observe("x", 2, {inf, nan, 1.0f, 0.0f, 1.0f, 0.0f, 1e30f, 0.0f}));
  std::vector<float> result(2);
  tails.evaluate(0.5, result);
  EXPECT_EQ(result, (std::vector<float>{1.0f, 0.0f}));
  tails.evaluate(4.0, result);
  EXPECT_EQ(result, (std::vector<float>{0.5f, 0.0f}));
  MagnitudeTails none(SiteStatistics("x", 1));
  result.resize(1);
  none.evaluate(0.0, result);
  EXPECT_EQ(result[0], 0.0f);
}

/// Sum of |x| and of x^2 over |x| < threshold, per row.
static std::pair<double, double> exactMoments(ArrayRef<float> values,
                                              uint32_t channels, uint32_t c,
                                              double threshold) {
  double first = 0.0, second = 0.0;
  for (size_t i = c; i < values.size(); i += channels) {
    double x = std::fabs(double(values[i]));
    first += x < threshold ? x : 0.0;
    second += x < threshold ? x * x : 0.0;
  }
  double rows = double(values.size() / channels);
  return {first / rows, second / rows};
}

// A bin is an eighth of an octave wide: its values are off by an eighth at
// most.
TEST(MagnitudeTails, MomentsAreWithinABinWidth) {
  constexpr uint32_t channels = 12;
  auto values = randomValues(500, channels, 0.3f, 4);
  MagnitudeTails tails(observe("x", channels, values));
  std::vector<float> first(channels), second(channels);
  for (double threshold = 0x1p-8; threshold < 0x1p8; threshold *= 2) {
    tails.evaluateMoments(threshold, first, second);
    for (uint32_t c = 0; c < channels; ++c) {
      auto [m1, m2] = exactMoments(values, channels, c, threshold);
      EXPECT_NEAR(first[c], m1, m1 / 16 + 1e-9);
      EXPECT_NEAR(second[c], m2, m2 / 8 + 1e-9);
    }
  }
}

// Evenly spread values have the moments of their density at every threshold.
TEST(MagnitudeTails, MomentsInsideABin) {
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i)
    values.push_back((float(i) + 0.5f) / 1024 * (i % 2 ? 1.0f : -1.0f));
  MagnitudeTails tails(observe("x", 1, values));
  std::vector<float> first(1), second(1);
  for (double threshold : {0.1, 0.77, 1.03, 2.9, 3.99, 4.0}) {
    tails.evaluateMoments(threshold, first, second);
    EXPECT_NEAR(first[0], threshold * threshold / 8, 1e-4);
    EXPECT_NEAR(second[0], threshold * threshold * threshold / 12, 1e-4);
  }
}

struct Spoiled {
  std::function<void(BitProblem &)> spoil;
  const char *expected;
};

TEST(BitProblem, CheckNamesWhatIsWrong) {
  double nan = std::numeric_limits<double>::quiet_NaN();
  const Spoiled cases[] = {
      {[](BitProblem &p) { p.options.meanBits = 0.0; }, "mean bits"},
      {[](BitProblem &p) { p.options.meanBits = 8.5; }, "mean bits"},
      {[&](BitProblem &p) { p.options.meanBits = nan; }, "mean bits"},
      {[](BitProblem &p) { p.options.meanBitsTolerance = 0; }, "tolerance of"},
      {[](BitProblem &p) { p.options.maxBits = 9; }, "2 to 8 bits, not 9"},
      {[](BitProblem &p) { p.options.tolerance = 2; }, "0 or 1, not 2"},
      {[](BitProblem &p) { p.options.eventBits = 0; }, "event"},
      {[](BitProblem &p) { p.options.errorBits = -1; }, "bits of an error"},
      {[](BitProblem &p) { p.options.madFactor = -1; }, "MAD factor"},
      {[](BitProblem &p) { p.options.percentile = 1; }, "percentile"},
      {[](BitProblem &p) { p.sites.clear(); }, "no site"},
      {[](BitProblem &p) { p.sites[1].name = "a"; }, "site 'a' occurs twice"},
      {[](BitProblem &p) { p.sites[1].name.clear(); }, "no name"},
      {[](BitProblem &p) { p.sites[1].tails = MagnitudeTails(); },
       "site 'b' has no name or no channels"},
      {[](BitProblem &p) { p.sites[1].fanOut = 0; }, "site 'b': the fan-out"},
      {[&](BitProblem &p) { p.sites[1].medianAbs = nan; }, "the scales"},
      {[&](BitProblem &p) { p.sites[1].maxAbs = nan; }, "the scales"},
      {[](BitProblem &p) { p.sites[1].sensitivity = -1.0; },
       "site 'b': the sensitivity"},
      {[&](BitProblem &p) { p.sites[1].sensitivity = nan; },
       "site 'b': the sensitivity"},
      {[](BitProblem &p) { p.sites[1].encodeScales = {1.0f}; },
       "site 'b': 1 encode scales for 24 channels"},
      {[](BitProblem &p) { p.sites[1].encodeScales.assign(24, -1.0f); },
       "encode scales must be finite"},
  };
  EXPECT_EQ(toString(sampleProblem().check()), "");
  for (const Spoiled &item : cases) {
    BitProblem problem = sampleProblem();
    item.spoil(problem);
    std::string message = toString(problem.check());
    EXPECT_NE(message.find(item.expected), std::string::npos)
        << "'" << message << "' for " << item.expected;
    EXPECT_EQ(toString(solve(problem).takeError()), message);
  }
}

TEST(BitProblem, SensitivitiesCountOnlyIfAllSitesHaveThem) {
  BitProblem problem = sampleProblem();
  std::vector<double> assumed = getLossWeights(problem);
  for (size_t i = 0; i < 3; ++i)
    EXPECT_DOUBLE_EQ(assumed[i], assumedSensitivity(problem.sites[i], 3));
  problem.sites[0].sensitivity = 2.0;
  problem.sites[1].sensitivity = 3.0;
  EXPECT_EQ(getLossWeights(problem), assumed);
  problem.sites[2].sensitivity = 0.0;
  std::vector<double> measured = getLossWeights(problem);
  EXPECT_EQ(measured[0], 2.0);
  EXPECT_EQ(measured[1], 3.0);
  EXPECT_GT(measured[2], 0.0);
  for (SiteProblem &site : problem.sites)
    site.sensitivity = 0.0;
  EXPECT_EQ(getLossWeights(problem), assumed);
}

// Typical values 1: fan-out over channels, but for narrow results and very wide
// ones.
TEST(BitProblem, AssumedSensitivities) {
  const std::pair<double, double> cases[] = {
      {64, 1}, {128, 2}, {16, 0.25}, {15, 1}, {1, 1}, {512, 8}, {50000, 8}};
  for (auto [fanOut, expected] : cases) {
    BitProblem problem;
    std::vector<float> ones(64 * 4, 1.0f);
    SiteProblem &site = problem.addSite(observe("x", 64, ones), fanOut);
    site.medianNonzeroAbs = 2.0;
    EXPECT_DOUBLE_EQ(assumedSensitivity(site, 4), expected / 4) << fanOut;
    double many = fanOut < 16 ? 3 * expected : expected;
    EXPECT_DOUBLE_EQ(assumedSensitivity(site, 36), many / 4) << fanOut;
  }
}

TEST(BitProblem, RuleNames) {
  for (StepRule rule : {StepRule::Budget, StepRule::Mad, StepRule::Percentile})
    EXPECT_EQ(cantFail(parseStepRule(getStepRuleName(rule))), rule);
  EXPECT_NE(toString(parseStepRule("best").takeError()).find("'best'"),
            std::string::npos);
  for (BudgetBy by : {BudgetBy::Values, BudgetBy::Macs})
    EXPECT_EQ(cantFail(parseBudgetBy(getBudgetByName(by))), by);
  EXPECT_NE(toString(parseBudgetBy("bits").takeError()).find("'bits'"),
            std::string::npos);
}
