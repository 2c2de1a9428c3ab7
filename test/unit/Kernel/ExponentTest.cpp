//===- ExponentTest.cpp - integer numerators against exp ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Exponent.h"
#include "spikequant/Kernel/Reference.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <random>

using namespace spikequant;

namespace {

struct Case {
  ExponentTable table;
  double rate;
};

/// A random softmax with one head.
Case makeCase(std::mt19937_64 &random, int32_t largest, bool spread) {
  std::uniform_real_distribution<double> exponent(-16, 1);
  double rate = std::exp2(exponent(random));
  auto table = roundExponents({rate}, largest, spread);
  EXPECT_TRUE(table) << rate << " " << largest;
  return {*table, rate};
}

constexpr int32_t kLargest[] = {1, 7, 127, 255, 1023, 32767};

TEST(Exponent, IsTheRoundedExponential) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 3000; ++i) {
    int32_t largest = kLargest[random() % 6];
    bool spread = random() % 2;
    Case softmax = makeCase(random, largest, spread);
    double error = getExponentError(softmax.table);
    EXPECT_LT(error, 0.05 + largest * 6e-4);
    int32_t one = 1 << getExponentFraction(largest);
    for (int j = 0; j < 60; ++j) {
      // Twelve nats are as far as 16 bits reach.
      std::uniform_real_distribution<double> nats(0, 14);
      auto distance = static_cast<int32_t>(nats(random) / softmax.rate);
      auto max = static_cast<int32_t>(random() % 2000001) - 1000000;
      auto offset = spread ? static_cast<int32_t>(random() % one) : one / 2;
      int32_t n = exponentCount(max - distance, max, softmax.table.form,
                                softmax.table.multipliers[0], offset);
      double exact =
          largest * std::exp(-softmax.rate * distance) + double(offset) / one;
      ASSERT_GE(n, std::floor(exact - error)) << distance;
      ASSERT_LE(n, std::floor(exact + error)) << distance;
    }
  }
}

/// A ladder of thresholds stands for the same function.
TEST(Exponent, NeverRisesWithTheDistance) {
  for (int32_t largest : kLargest)
    for (bool spread : {false, true})
      for (double rate : {0.001, 0.00037, 0.9}) {
        auto table = roundExponents({rate}, largest, spread);
        ASSERT_TRUE(table);
        auto constants =
            getExponentConstants(table->form, table->multipliers[0]);
        ASSERT_TRUE(constants);
        int32_t half = 1 << (getExponentFraction(largest) - 1);
        int32_t last = largest;
        for (uint32_t d = 0; d <= constants->limit + 2; ++d) {
          int32_t n = exponentCount(-static_cast<int32_t>(d), 0, table->form,
                                    table->multipliers[0], half);
          ASSERT_LE(n, last) << d;
          ASSERT_TRUE(d > 0 || n == largest);
          last = n;
        }
        EXPECT_EQ(last, 0);
      }
}

TEST(Exponent, HiddenScoresCountNothingBesideOthers) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 2000; ++i) {
    int32_t largest = kLargest[random() % 6];
    bool spread = random() % 2;
    Case softmax = makeCase(random, largest, spread);
    int32_t most = (1 << getExponentFraction(largest)) - 1;
    int32_t offset = spread ? most : (most + 1) / 2;
    auto count = [&](int32_t score, int64_t max) {
      return exponentCount(score, static_cast<int32_t>(max), softmax.table.form,
                           softmax.table.multipliers[0], offset);
    };
    EXPECT_EQ(count(hiddenScore, -maxScore), 0);
    EXPECT_EQ(count(hiddenScore, maxScore), 0);
    EXPECT_EQ(count(-static_cast<int32_t>(maxScore), maxScore), 0);
    // A row without any other.
    EXPECT_EQ(count(hiddenScore, hiddenScore), largest);
  }
}

TEST(Exponent, HeadsShareAForm) {
  std::vector<double> rates = {0.001, 0.0025, 0.0004};
  auto table = roundExponents(rates, 255);
  ASSERT_TRUE(table);
  ASSERT_EQ(table->multipliers.size(), 3u);
  std::vector<int32_t> multipliers(table->multipliers.begin(),
                                   table->multipliers.end());
  std::vector<int32_t> scores = {-700, -100, 0, -700, -100, 0, -700, -100, 0};
  std::vector<int32_t> max = {0, 0, 0};
  std::vector<int16_t> counts(9);
  sq_ref_exponent(scores.data(), max.data(), 3, 3, multipliers.data(), 3,
                  nullptr, 255, table->form.preshift, table->form.shift,
                  counts.data());
  double error = getExponentError(*table);
  for (int i = 0; i < 9; ++i)
    EXPECT_NEAR(counts[i], 255 * std::exp(rates[i / 3] * scores[i]),
                0.5 + error);
}

TEST(Exponent, RangesAreChecked) {
  EXPECT_FALSE(getExponentConstants({0, 0, 15}, 1000));
  EXPECT_FALSE(getExponentConstants({32768, 0, 10}, 1000));
  EXPECT_FALSE(getExponentConstants({255, -1, 15}, 1000));
  EXPECT_FALSE(getExponentConstants({255, 0, 0}, 1000));
  EXPECT_FALSE(getExponentConstants({255, 0, 15}, 0));
  // 9 octaves of 2^12 fit 2^16 times into 32 bits, 20 do not.
  EXPECT_TRUE(getExponentConstants({255, 0, 16}, 1 << 18));
  EXPECT_FALSE(getExponentConstants({255, 0, 16, true}, 1 << 18));
  // The limit would be beyond 2^30.
  EXPECT_FALSE(getExponentConstants({255, 0, 16}, 1));
  EXPECT_FALSE(roundExponents({}, 255));
  EXPECT_FALSE(roundExponents({0.0}, 255));
  EXPECT_FALSE(roundExponents({-1.0}, 255));
  EXPECT_FALSE(roundExponents({std::nan("")}, 255));
  EXPECT_FALSE(roundExponents({1e-12}, 255));
}

} // namespace
