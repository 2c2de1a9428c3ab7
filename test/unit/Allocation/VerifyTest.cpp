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
      {[](BitSolution &s) { s.sites[2].cost.loss = 0.0; }, "recorded cost"},
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

// 0 and 2 bits, step 1: rounding 1/12 per value, 13/12 where 2 saturates to 1,
// the value itself where a channel is silent; weights double the last channel.
TEST(Cost, LossByHand) {
  std::vector<float> values;
  for (int row = 0; row < 8; ++row)
    values.insert(values.end(), {0.25f, row == 0 ? 2.0f : 1.0f});
  BitProblem problem;
  SiteProblem &site = problem.addSite(observe("x", 2, values), 1);
  site.columnEnergies = {1.0, 2.0};
  SiteCost cost = computeCost(site, problem.options, 1.0f, {0, 2});
  double square = (4.0 + 7.0) / 8.0;
  double error = 0.0625 + 2.0 * (1.0 / 12.0 + 1.0 / 8.0);
  EXPECT_NEAR(cost.loss, error / (0.0625 + 2.0 * square), 1e-7);
  EXPECT_EQ(cost.windowBits, 1.0);
  EXPECT_EQ(cost.salient, 0.0);
  EXPECT_EQ(cost.saturated, 1.0 / 16.0);
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
