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
      {[](BitProblem &p) { p.sites[1].meanSquares.pop_back(); },
       "site 'b': 23 mean squares for 24 channels"},
      {[](BitProblem &p) { p.sites[1].columnEnergies = {1.0}; },
       "site 'b': 1 column energies for 24 channels"},
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

TEST(BitProblem, RuleNames) {
  for (StepRule rule : {StepRule::Budget, StepRule::Mad, StepRule::Percentile})
    EXPECT_EQ(cantFail(parseStepRule(getStepRuleName(rule))), rule);
  EXPECT_NE(toString(parseStepRule("best").takeError()).find("'best'"),
            std::string::npos);
}
