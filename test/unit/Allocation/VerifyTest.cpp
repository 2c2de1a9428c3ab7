//===- VerifyTest.cpp - wrong answers are found, right ones reported ------===//
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

struct Corruption {
  std::function<void(BitSolution &)> corrupt;
  const char *expected;
};

TEST(Verify, CatchesCorruptedSolutions) {
  float nan = std::numeric_limits<float>::quiet_NaN();
  float inf = std::numeric_limits<float>::infinity();
  const Corruption cases[] = {
      {[](BitSolution &s) { s.sites.pop_back(); }, "2 sites are answered of 3"},
      {[](BitSolution &s) { std::swap(s.sites[0], s.sites[1]); },
       "site 'a' is answered as 'b'"},
      {[](BitSolution &s) { s.sites[1].bits.pop_back(); },
       "23 windows for 24 channels"},
      {[](BitSolution &s) { s.sites[1].bits[4] = 9; },
       "site 'b', channel 4: 9 bits"},
      {[](BitSolution &s) { s.sites[1].bits[4] = -1; },
       "site 'b', channel 4: -1 bits"},
      {[](BitSolution &s) { s.sites[1].bits[4] ^= 7; }, "recorded cost"},
      {[](BitSolution &s) { s.sites[1].step = 0.0f; }, "the step 0"},
      {[](BitSolution &s) { s.sites[1].step *= -1.0f; }, "the step -"},
      {[&](BitSolution &s) { s.sites[1].step = nan; }, "the step nan"},
      {[&](BitSolution &s) { s.sites[1].step = inf; }, "the step inf"},
      {[](BitSolution &s) { s.sites[1].step = 1e-40f; }, "normal number"},
      {[](BitSolution &s) { s.sites[1].step = 1e-4f; }, "would clip at 32767"},
      {[](BitSolution &s) { s.sites[1].step *= 1.5f; }, "recorded cost"},
      {[](BitSolution &s) { s.sites[2].cost.salient *= 0.5; }, "recorded cost"},
      {[](BitSolution &s) { s.sites[2].cost.error = 0.0; }, "recorded cost"},
      {[](BitSolution &s) { s.sites[2].loss *= 2; }, "recorded loss"},
      {[](BitSolution &s) { s.activationBits -= 0.1; }, "recorded means"},
      {[](BitSolution &s) { s.activationBitsByMacs = 1.0; }, "recorded means"},
      {[](BitSolution &s) { s.storedBits = 1.0; }, "recorded means"},
      {[](BitSolution &s) { s.expectedLoss = 0.0; }, "recorded means"},
  };
  BitProblem problem = sampleProblem();
  BitSolution right = cantFail(solve(problem));
  EXPECT_EQ(toString(verify(problem, right)), "");
  for (const Corruption &item : cases) {
    BitSolution wrong = right;
    item.corrupt(wrong);
    std::string message = toString(verify(problem, wrong));
    EXPECT_NE(message.find(item.expected), std::string::npos)
        << "'" << message << "' for " << item.expected;
  }
}

TEST(Verify, BudgetIsKept) {
  BitProblem problem = sampleProblem();
  BitSolution solution = cantFail(solve(problem));
  problem.options.meanBits = solution.activationBits - 0.001;
  EXPECT_NE(toString(verify(problem, solution)).find("exceed the budget"),
            std::string::npos);
}

TEST(Summary, MeansAreThoseOfTheValues) {
  BitProblem problem = sampleProblem();
  BitSolution solution = cantFail(solve(problem));
  double values = 0, macs = 0, bits = 0, byMacs = 0, stored = 0;
  const double channels[] = {24, 24, 64}, fanOut[] = {24, 128, 24};
  for (int i = 0; i < 3; ++i) {
    const SiteCost &cost = solution.sites[size_t(i)].cost;
    double total = cost.windowBits + 32 * cost.salient;
    values += channels[i];
    macs += channels[i] * fanOut[i];
    bits += channels[i] * total;
    byMacs += channels[i] * fanOut[i] * total;
    stored += channels[i] * (cost.windowBits + 16 * cost.salient);
  }
  EXPECT_DOUBLE_EQ(solution.activationBits, bits / values);
  EXPECT_DOUBLE_EQ(solution.activationBitsByMacs, byMacs / macs);
  EXPECT_DOUBLE_EQ(solution.storedBits, stored / values);
}

// Values spread evenly over [0, 4), step 1. Rounding costs 1/12 on average.
// With 2 bits, [1.5, 2.5) saturates to 1 instead of 2 and [2.5, 4) is salient;
// with 0 bits [0.5, 1.5) saturates to 0. A saturated x costs 2 (x - edge) more:
// 1 on average, and a quarter of the values do.
TEST(Cost, ErrorByHand) {
  std::vector<float> values;
  for (int i = 0; i < 4096; ++i)
    values.push_back((float(i) + 0.5f) / 1024);
  BitProblem problem;
  SiteProblem &site = problem.addSite(observe("x", 1, values), 1);
  for (auto [bits, salient] : {std::pair(2, 3.0 / 8), std::pair(0, 5.0 / 8)}) {
    SiteCost cost = computeCost(site, problem.options, 1.0f, {int8_t(bits)});
    EXPECT_NEAR(cost.error, 1.0 / 12 + 1.0 / 4, 1e-3);
    EXPECT_NEAR(cost.salient, salient, 1e-6);
    EXPECT_NEAR(cost.saturated, 1.0 / 4, 1e-6);
    EXPECT_EQ(cost.windowBits, bits);
  }
  problem.options.tolerance = 0;
  SiteCost cost = computeCost(site, problem.options, 1.0f, {2});
  EXPECT_NEAR(cost.error, 1.0 / 12, 1e-3);
  EXPECT_NEAR(cost.salient, 5.0 / 8, 1e-6);
}

TEST(Summary, LossIsWeightTimesSquaredErrorOfAVector) {
  BitProblem problem = sampleProblem();
  for (auto [index, site] : llvm::enumerate(problem.sites))
    site.sensitivity = 0.5 + double(index);
  BitSolution solution = cantFail(solve(problem));
  double total = 0.0;
  const double channels[] = {24, 24, 64};
  for (size_t i = 0; i < 3; ++i) {
    double loss =
        (0.5 + double(i)) * channels[i] * solution.sites[i].cost.error;
    EXPECT_DOUBLE_EQ(solution.sites[i].loss, loss);
    total += loss;
  }
  EXPECT_DOUBLE_EQ(solution.expectedLoss, total);
}

TEST(Report, RemarkSaysStepBitsRatesAndWhy) {
  BitProblem problem;
  std::vector<float> values(64 * 4, 1.0f);
  for (size_t i = 0; i < values.size(); i += 4)
    values[i] = 0.0f;
  problem.addSite(observe("x", 4, values), 16);
  problem.options.rule = StepRule::Mad;
  problem.options.madFactor = 1.4;
  BitSolution solution = cantFail(solve(problem));
  EXPECT_EQ(describe(problem, solution.sites[0]),
            "step 0.2; channels per bits 0:1 4:3; 3.00 bits per value (3.00 "
            "window + 0.00 events); 0.00 % salient, 0.00 % saturated; step "
            "from 1.4 / 7 of median |x|");
}

TEST(Report, JSONHoldsTheSolution) {
  BitSolution solution = cantFail(solve(sampleProblem()));
  json::Value value = toJSON(solution);
  const json::Object &object = *value.getAsObject();
  EXPECT_EQ(object.getNumber("activation_bits"), solution.activationBits);
  const json::Object &site = *(*object.getArray("sites"))[1].getAsObject();
  EXPECT_EQ(site.getString("name"), "b");
  EXPECT_EQ(site.getNumber("step"), double(solution.sites[1].step));
  const json::Array &bits = *site.getArray("bits");
  ASSERT_EQ(bits.size(), 24u);
  for (size_t c = 0; c < 24; ++c)
    EXPECT_EQ(bits[c].getAsInteger(), solution.sites[1].bits[c]);
}
