//===- ChannelLawTest.cpp - distributions with signs, and centres ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include "../../../lib/Allocation/Centres.h"

#include <limits>

using namespace spikequant;
using namespace spikequant::test;

static ChannelLaw lawOf(llvm::ArrayRef<float> values) {
  return ChannelLaw(observe("s", 1, values), 0);
}

// -1.5 is in (-1.625, -1.5], 0.25 in [0.25, 0.28125), 3 in [3, 3.25).
static const std::vector<float> four = {-1.5f, 0.0f, 0.25f, 3.0f};

TEST(ChannelLaw, MomentsAreThoseOfEvenBins) {
  ChannelLaw law = lawOf(four);
  EXPECT_DOUBLE_EQ(law.all().share, 1.0);
  EXPECT_DOUBLE_EQ(law.all().first, (-1.5625 + 0.0 + 0.265625 + 3.125) / 4);
  EXPECT_DOUBLE_EQ(law.below(-2.0).share, 0.0);
  EXPECT_DOUBLE_EQ(law.below(-1.5625).share, 0.125);
  EXPECT_DOUBLE_EQ(law.below(-1.5625).first, 0.125 * -1.59375);
  EXPECT_DOUBLE_EQ(law.below(0.0).share, 0.25);
  EXPECT_DOUBLE_EQ(law.below(1e-9).share, 0.5);
  // A quarter of the bin [3, 3.25): squares from 3 to 3.0625.
  EXPECT_DOUBLE_EQ(law.below(3.0625).second - law.below(2.0).second,
                   (9 + 3 * 3.0625 + 3.0625 * 3.0625) / 3 / 16);
  EXPECT_DOUBLE_EQ(law.below(100.0).share, 1.0);
}

TEST(ChannelLaw, QuantilesInvertShares) {
  ChannelLaw law = lawOf(four);
  for (double share : {0.05, 0.2, 0.6, 0.8, 0.95})
    EXPECT_NEAR(law.below(law.getQuantile(share)).share, share, 1e-9);
}

TEST(ChannelLaw, InfinityIsOutsideAndNanIsZero) {
  float inf = std::numeric_limits<float>::infinity();
  ChannelLaw law = lawOf({-inf, inf, std::nanf(""), 1.0f});
  EXPECT_DOUBLE_EQ(law.below(-1e30).share, 0.25);
  EXPECT_DOUBLE_EQ(law.below(0.5).share, 0.5);
  EXPECT_DOUBLE_EQ(law.all().share, 0.75);
  ChannelCost cost = CentredModel(law, 1.0, 0.0).evaluate(8, 1);
  EXPECT_DOUBLE_EQ(cost.salient, 0.5);
  EXPECT_TRUE(std::isfinite(cost.offset) && std::isfinite(cost.variance));
}

/// The same by counting many values spread over the bins.
static ChannelCost byCounting(llvm::ArrayRef<float> values, double step,
                              double centre, int bits, int tolerance) {
  constexpr int parts = 20000;
  int window = windowOf(bits);
  double first = 0, second = 0, total = double(values.size()) * parts;
  ChannelCost cost;
  for (float value : values)
    for (int i = 0; i < parts; ++i) {
      unsigned bin = magnitude::binOf(value);
      double low = magnitude::lowerEdge(bin), high = magnitude::upperEdge(bin);
      double x = bin == 0 ? 0.0 : low + (high - low) * (i + 0.5) / parts;
      x = value < 0 ? -x : x;
      double n = std::floor((x - centre) / step + 0.5);
      bool salient = std::abs(n) > window + tolerance;
      bool saturated = !salient && std::abs(n) > window;
      double used = saturated ? std::copysign(window, n) : n;
      first += x - step * used;
      second += std::pow(x - step * used, 2);
      cost.salient += salient / total;
      cost.saturated += saturated / total;
    }
  cost.offset = first / total;
  cost.variance = second / total - cost.offset * cost.offset;
  return cost;
}

TEST(CentredModel, AgreesWithCounting) {
  const std::vector<float> values = {-0.17f, -0.1f, -0.05f, 0.0f, -0.11f,
                                     0.3f,   0.9f,  -0.16f, 1.4f, -0.02f};
  ChannelLaw law = lawOf(values);
  for (double centre : {0.0, -0.06, 0.31})
    for (int bits : {0, 2, 3, 4})
      for (int tolerance : {0, 1}) {
        ChannelCost expected =
            byCounting(values, 0.19, centre, bits, tolerance);
        ChannelCost cost =
            CentredModel(law, 0.19, centre).evaluate(bits, tolerance);
        EXPECT_NEAR(cost.salient, expected.salient, 1e-3) << bits;
        EXPECT_NEAR(cost.saturated, expected.saturated, 1e-3) << bits;
        EXPECT_NEAR(cost.offset, expected.offset, 1e-3) << bits;
        EXPECT_NEAR(cost.variance, expected.variance, 1e-3) << bits;
      }
}

/// Like what is behind a GELU.
static std::vector<float> geluValues(size_t rows, size_t channels) {
  std::vector<float> values =
      randomValues(rows, channels, Spread{1.0f, 1, 0, 1000000, 1.0f}, 5);
  for (float &x : values)
    x = 0.5f * x * (1 + std::erf(x / std::sqrt(2.0f)));
  return values;
}

TEST(Centres, SkewedChannelsAreFound) {
  auto isSkewed = [](llvm::ArrayRef<float> values) {
    return ChannelLaw::isSkewed(observe("s", 1, values), 0);
  };
  EXPECT_TRUE(isSkewed(geluValues(500, 1)));
  EXPECT_TRUE(isSkewed({5.0f, 5.0f, 5.0f}));
  EXPECT_FALSE(isSkewed({-1.0f, 1.0f, -2.0f, 2.0f}));
  // Behind a ReLU: 0 must stay silent.
  EXPECT_FALSE(isSkewed({0.0f, 1.0f, 2.0f, 0.0f}));
  EXPECT_FALSE(isSkewed({0.0f, 0.0f}));
  EXPECT_FALSE(ChannelLaw::isSkewed(SiteStatistics("s", 1), 0));
}

TEST(Centres, ConstantChannelsAreSilent) {
  AllocationOptions options;
  CentredChoice choice =
      chooseCentre(lawOf({5.0f, 5.0f, 5.0f}), options, 0.5, 5.0);
  EXPECT_EQ(choice.bits, 0);
  EXPECT_EQ(choice.cost.salient, 0.0);
  EXPECT_NEAR(choice.cost.offset, 5.25, 0.26); // Somewhere in [5, 5.5).
}

TEST(Centres, NoCountClips) {
  AllocationOptions options;
  double step = 5.0 / plannedCountLimit;
  CentredChoice choice =
      chooseCentre(lawOf({5.0f, 4.0f, 4.5f}), options, step, 5.0);
  EXPECT_LE((5.0 + std::abs(choice.centre)) / step, countLimit);
}

/// Where steps are coarse, the best centre of many is nearly reached: 32
/// places in each step, over all values.
TEST(Centres, NearlyTheBestPlaceOfCounts) {
  AllocationOptions options;
  options.fineCentres = true;
  for (double step : {0.15, 0.3, 0.6}) {
    double found = 0, best = 0;
    for (unsigned seed = 0; seed < 12; ++seed) {
      std::vector<float> values =
          randomValues(600, 1, Spread{1.0f, 1, 0, 1000000, 1.0f}, seed);
      for (float &x : values)
        x = 0.5f * x * (1 + std::erf(x / std::sqrt(2.0f)));
      ChannelLaw law = lawOf(values);
      found += chooseCentre(law, options, step, 5.0).total;
      double least = std::numeric_limits<double>::infinity();
      for (double centre = -1; centre < 5; centre += step / 32)
        for (int bits : {0, 2, 3, 4, 5, 6, 7, 8}) {
          ChannelCost cost =
              CentredModel(law, step, float(centre)).evaluate(bits, 1);
          double total = bits + options.eventBits * cost.salient +
                         options.getErrorBits() * cost.variance / step / step;
          least = std::min(least, total);
        }
      best += least;
    }
    EXPECT_GE(found, best - 0.12) << step; // Eighths of a step, not 32nds.
    EXPECT_LE(found, best * 1.02) << step;
  }
}

TEST(Centres, LessLossAtEqualBits) {
  SiteStatistics site = observe("gelu", 32, geluValues(2000, 32));
  double loss[2];
  for (bool centred : {false, true}) {
    BitProblem problem;
    problem.options.meanBits = 3.5;
    problem.addSite(site, 32, centred);
    BitSolution solution = llvm::cantFail(solve(problem));
    const SiteSolution &answer = solution.sites[0];
    EXPECT_EQ(answer.centres.size(), centred ? 32u : 0u);
    EXPECT_EQ(answer.offsets.size(), answer.centres.size());
    EXPECT_GT(solution.activationBits, 3.45);
    loss[centred] = answer.cost.error;
  }
  EXPECT_LT(loss[1], 0.7 * loss[0]);
}

TEST(Centres, OnlyTheBudgetRuleAndPayingSitesHaveThem) {
  BitProblem problem;
  EXPECT_TRUE(problem
                  .addSite(observe("even", 24, randomValues(400, 24, 0.1f, 1)),
                           24,
                           /*centred=*/true)
                  .laws.empty());
  problem.options.rule = StepRule::Mad;
  EXPECT_TRUE(problem
                  .addSite(observe("gelu", 4, geluValues(500, 4)), 4,
                           /*centred=*/true)
                  .laws.empty());
}

TEST(Centres, WrongAnswersAreRefused) {
  BitProblem problem;
  problem.addSite(observe("gelu", 8, geluValues(500, 8)), 8, /*centred=*/true);
  BitSolution solution = llvm::cantFail(solve(problem));
  BitSolution wrong = solution;
  wrong.sites[0].centres.clear();
  EXPECT_NE(llvm::toString(verify(problem, wrong)).find("0 centres and 8"),
            std::string::npos);
  wrong = solution;
  wrong.sites[0].offsets[3] = std::numeric_limits<float>::infinity();
  EXPECT_NE(llvm::toString(verify(problem, wrong)).find("must be finite"),
            std::string::npos);
  wrong = solution;
  wrong.sites[0].centres[0] = 1e6f;
  EXPECT_NE(llvm::toString(verify(problem, wrong)).find("would clip"),
            std::string::npos);
}
