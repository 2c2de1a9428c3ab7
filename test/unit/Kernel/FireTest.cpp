//===- FireTest.cpp - the ladder lemma and decode ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Fire.h"
#include "spikequant/Kernel/Decode.h"
#include "spikequant/Kernel/Reference.h"

#include "gtest/gtest.h"

#include <limits>
#include <random>
#include <vector>

using namespace spikequant;

namespace {

__extension__ using Wide = __int128;

/// acc fires at least k times: acc M + B >= k 2^S over the integers.
bool firesAtLeast(int64_t acc, int64_t k, FireThreshold t) {
  return static_cast<Wide>(acc) * t.multiplier + t.bias >=
         static_cast<Wide>(k) * (static_cast<Wide>(1) << t.shift);
}

/// The definition by counting: the largest k in lo..hi that acc reaches.
int countByLadder(int64_t acc, FireThreshold t, int lo, int hi) {
  int count = lo;
  while (count < hi && firesAtLeast(acc, count + 1, t))
    ++count;
  return count;
}

FireThreshold randomThreshold(std::mt19937_64 &random) {
  FireThreshold t;
  t.shift = static_cast<int32_t>(random() % 47);
  t.multiplier = static_cast<int32_t>(random() >> (33 + random() % 30));
  t.multiplier = t.multiplier < 1 ? 1 : t.multiplier;
  t.bias = static_cast<int64_t>(random()) >> (random() % 64);
  return t;
}

TEST(Fire, LadderIsTheLeastMembrane) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20000; ++i) {
    FireThreshold t = randomThreshold(random);
    int64_t k = static_cast<int64_t>(random() % 65535) - 32767;
    int64_t least = fireLadder(k, t);
    if (least < std::numeric_limits<int64_t>::max()) {
      ASSERT_TRUE(firesAtLeast(least, k, t));
    }
    if (least > std::numeric_limits<int64_t>::min()) {
      ASSERT_FALSE(firesAtLeast(least - 1, k, t));
    }
  }
}

TEST(Fire, MatchesTheLadderAtEveryThreshold) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 300; ++i) {
    FireThreshold t = randomThreshold(random);
    int lo = -static_cast<int>(random() % 200);
    int hi = lo + 1 + static_cast<int>(random() % 300);
    for (int k = lo; k <= hi + 1; ++k)
      for (int64_t delta : {-1, 0, 1}) {
        int64_t edge = fireLadder(k, t);
        if (edge == std::numeric_limits<int64_t>::max() ||
            edge == std::numeric_limits<int64_t>::min())
          continue;
        ASSERT_EQ(fireCount(edge + delta, t, lo, hi),
                  countByLadder(edge + delta, t, lo, hi))
            << "M " << t.multiplier << " B " << t.bias << " S " << t.shift;
      }
  }
}

TEST(Fire, ExtremesSaturateWithoutOverflow) {
  constexpr int64_t least = std::numeric_limits<int64_t>::min();
  constexpr int64_t most = std::numeric_limits<int64_t>::max();
  for (int32_t multiplier : {1, 3, std::numeric_limits<int32_t>::max()})
    for (int64_t bias : {least, int64_t{0}, most})
      for (int32_t shift : {0, 1, 46})
        for (int64_t acc : {least, least + 1, int64_t{0}, most - 1, most}) {
          FireThreshold t{multiplier, bias, shift};
          ASSERT_EQ(fireCount(acc, t, -127, 127),
                    countByLadder(acc, t, -127, 127));
        }
}

TEST(Fire, ThresholdsAreMonotone) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 200; ++i) {
    FireThreshold t = randomThreshold(random);
    for (int k = -128; k < 128; ++k)
      ASSERT_LE(fireLadder(k, t), fireLadder(k + 1, t));
  }
}

/// theta = 1234.567 with a rounding half: the distances alternate, so no
/// {base, step} pair of integers describes the ladder.
TEST(Fire, RealThreshold) {
  constexpr int32_t shift = 40;
  constexpr auto multiplier = static_cast<int32_t>(890'605'069);
  FireThreshold t{multiplier, int64_t{1} << (shift - 1), shift};
  for (int k = -127; k <= 127; ++k) {
    // ceil((k - 1/2) * 1234.567) over exact thousandths.
    int64_t thousandths = (2 * k - 1) * int64_t{1234567};
    int64_t expected =
        thousandths >= 0 ? (thousandths + 1999) / 2000 : -(-thousandths / 2000);
    EXPECT_EQ(fireLadder(k, t), expected) << k;
  }
}

TEST(Fire, TwoRailsAreNotMirrored) {
  FireThreshold t{1, 2, 2}; // theta = 4, rounding half
  EXPECT_EQ(fireCount(10, t, -8, 8), 3);
  EXPECT_EQ(fireCount(-10, t, -8, 8), -2);
  EXPECT_EQ(fireCount(-11, t, -8, 8), -3);
}

TEST(Fire, ReferenceArrays) {
  const int64_t acc[] = {10, -10, 100, 0};
  const int32_t multipliers[] = {1, 2};
  const int64_t biases[] = {2, -4};
  int16_t counts[4];
  sq_ref_fire(acc, 2, 2, multipliers, biases, 2, -6, 6, counts);
  EXPECT_EQ(counts[0], 3);  // (10 + 2) >> 2
  EXPECT_EQ(counts[1], -6); // (-20 - 4) >> 2
  EXPECT_EQ(counts[2], 6);  // saturates
  EXPECT_EQ(counts[3], -1); // -4 >> 2
  sq_ref_fire(nullptr, 0, 2, multipliers, biases, 2, -6, 6, nullptr);
}

//===----------------------------------------------------------------------===//
// Decode
//===----------------------------------------------------------------------===//

TEST(Decode, ConvertsWithOneRounding) {
  EXPECT_EQ(decodeValue(16777217, 1.0f, 1.0f), 16777216.0f);
  EXPECT_EQ(decodeValue(16777219, 1.0f, 1.0f), 16777220.0f);
  // Through f64 this would round twice, to 2^60.
  int64_t acc = (int64_t{1} << 60) + (int64_t{1} << 36) + 1;
  EXPECT_EQ(decodeValue(acc, 1.0f, 1.0f), 0x1p60f + 0x1p37f);
}

TEST(Decode, ScalesMultiplyFirst) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> scale(1e-4f, 1.0f);
  for (int i = 0; i < 20000; ++i) {
    int64_t acc = static_cast<int64_t>(random()) - (int64_t{1} << 31);
    float stepIn = scale(random), weightScale = scale(random);
    auto factor = static_cast<float>(static_cast<double>(stepIn) * weightScale);
    double exact = static_cast<double>(static_cast<float>(acc)) * factor;
    ASSERT_EQ(decodeScale(stepIn, weightScale), factor);
    ASSERT_EQ(decodeValue(acc, stepIn, weightScale), static_cast<float>(exact));
  }
}

TEST(Decode, ReferenceArrays) {
  const int64_t acc[] = {1, 2, 3, -4};
  const float scales[] = {0.5f, 2.0f};
  std::vector<float> y(4);
  sq_ref_decode(acc, 2, 2, 0.25f, scales, y.data());
  EXPECT_EQ(y, (std::vector<float>{0.125f, 1.0f, 0.375f, -2.0f}));
  sq_ref_decode(nullptr, 0, 2, 0.25f, scales, nullptr);
}

} // namespace
