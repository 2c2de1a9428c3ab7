//===- UniformThresholdTest.cpp - ladders as one repeated threshold -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/SpikingNetwork.h"

#include "gtest/gtest.h"

#include <random>

using namespace spikequant;

namespace {

/// Every level against every membrane.
void expectExact(const std::vector<int64_t> &ladder, int64_t bound) {
  std::optional<UniformThreshold> form = uniformThreshold(ladder, bound);
  ASSERT_TRUE(form);
  EXPECT_GE(form->scale, 1);
  EXPECT_GE(form->threshold, 1);
  EXPECT_LE(form->scale, int64_t(ladder.size()));
  for (int64_t acc = -bound; acc <= bound; ++acc)
    for (size_t k = 1; k <= ladder.size(); ++k)
      ASSERT_EQ(form->scale * acc + form->start >= int64_t(k) * form->threshold,
                acc >= ladder[k - 1])
          << "membrane " << acc << ", level " << k;
}

std::vector<int64_t> ladderOf(FireThreshold threshold, int64_t levels) {
  std::vector<int64_t> ladder;
  for (int64_t k = 1; k <= levels; ++k)
    ladder.push_back(fireLadder(k, threshold));
  return ladder;
}

TEST(UniformThreshold, WholeThresholdNeedsNoScale) {
  std::vector<int64_t> ladder = ladderOf({1, 8, 4}, 7); // theta = 16
  std::optional<UniformThreshold> form = uniformThreshold(ladder, 1000);
  ASSERT_TRUE(form);
  EXPECT_EQ(form->scale, 1);
  EXPECT_EQ(form->threshold, 16);
  EXPECT_EQ(form->start, 8);
}

TEST(UniformThreshold, UnevenLevelsAreScaled) {
  expectExact({2, 5, 7, 10, 12}, 40); // theta = 5/2
  expectExact({1, 1, 2, 2, 3, 3}, 9); // theta = 1/2
}

TEST(UniformThreshold, RefusesWhatIsNoStraightLine) {
  EXPECT_FALSE(uniformThreshold({1, 2, 10}, 40));
  EXPECT_TRUE(uniformThreshold({1, 2, 10}, 1)) << "2 and 10 are out of reach";
}

TEST(UniformThreshold, LevelsOutOfReach) {
  expectExact({50, 60, 70}, 10);
  expectExact({-70, -60, -50}, 10);
  expectExact({-70, 0, 70}, 10);
  expectExact({INT64_MIN, 0, INT64_MAX}, 10);
  expectExact({0}, 0);
  expectExact({1}, 0);
}

/// The claim that every ladder of fire has such a form.
TEST(UniformThreshold, EveryLadderOfFire) {
  std::mt19937_64 random(8);
  for (int trial = 0; trial < 3000; ++trial) {
    int32_t shift = random() % 12;
    FireThreshold threshold = {int32_t(1 + random() % (1 << (shift + 2))),
                               int64_t(random() % 4001) - 2000, shift};
    int64_t levels = 1 + random() % 20, bound = random() % 200;
    SCOPED_TRACE(testing::Message()
                 << "M = " << threshold.multiplier << ", B = " << threshold.bias
                 << ", S = " << shift << ", levels = " << levels
                 << ", bound = " << bound);
    expectExact(ladderOf(threshold, levels), bound);
    Layer layer;
    layer.thresholds = {threshold};
    layer.lo = -int32_t(levels);
    expectExact(negativeLadder(layer, 0), bound);
    if (HasFatalFailure())
      return;
  }
}

} // namespace
