//===- GridTest.cpp - fixed-point numbers against wide integers ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Grid.h"
#include "spikequant/Kernel/Reference.h"

#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace spikequant;

namespace {

__extension__ using Wide = __int128;

constexpr Wide one = 1;

int64_t limit(Wide value) {
  constexpr Wide most = 2147483647;
  return static_cast<int64_t>(value > most    ? most
                              : value < -most ? -most
                                              : value);
}

/// floor(acc M / 2^S + 1/2) + b, by division of wide integers.
int64_t gridByDivision(int64_t acc, GridRate rate) {
  Wide unit = one << rate.shift;
  Wide doubled = 2 * static_cast<Wide>(acc) * rate.multiplier + unit;
  Wide quotient = doubled / (2 * unit);
  if (doubled < 0 && doubled % (2 * unit) != 0)
    --quotient;
  return limit(quotient + rate.bias);
}

TEST(Grid, IsTheRoundedProduct) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 200000; ++i) {
    GridRate rate{static_cast<int32_t>(random() % 8388609) - 4194304,
                  static_cast<int32_t>(1 + random() % 62),
                  static_cast<int32_t>(random() >> (33 + random() % 31))};
    int64_t acc = static_cast<int64_t>(random() >> (24 + random() % 40));
    acc = random() % 2 ? acc : -acc;
    ASSERT_EQ(gridNumber(acc, rate), gridByDivision(acc, rate))
        << acc << " " << rate.multiplier << " " << rate.shift;
  }
}

TEST(Grid, TheLargestMembraneFits) {
  for (int32_t multiplier : {4194304, -4194304})
    for (int32_t shift : {1, 46, 62})
      for (int64_t acc : {maxMembrane, -maxMembrane}) {
        GridRate rate{multiplier, shift, 2147483647};
        EXPECT_EQ(gridNumber(acc, rate), gridByDivision(acc, rate));
      }
}

TEST(Grid, TiesGoUp) {
  GridRate half{1, 1, 0};
  EXPECT_EQ(gridNumber(3, half), 2);
  EXPECT_EQ(gridNumber(1, half), 1);
  EXPECT_EQ(gridNumber(-1, half), 0);
  EXPECT_EQ(gridNumber(-3, half), -1);
}

TEST(Grid, RatesHave22Bits) {
  std::mt19937_64 random(6);
  std::uniform_real_distribution<double> exponent(-41, 21);
  for (int i = 0; i < 20000; ++i) {
    double exact = std::exp2(exponent(random)) * (random() % 2 ? 1 : -1);
    auto rate = roundRate(exact, 0);
    ASSERT_TRUE(rate);
    EXPECT_LE(std::abs(rate->multiplier), 1 << 22);
    EXPECT_LE(std::abs(std::ldexp(rate->multiplier, -rate->shift) / exact - 1),
              std::ldexp(1.0, -22));
  }
  EXPECT_EQ(roundRate(0, 3.5)->bias, 4);
  EXPECT_FALSE(roundRate(4194304.0, 0));
  EXPECT_FALSE(roundRate(std::nan(""), 0));
  EXPECT_FALSE(roundRate(1, 3e9));
}

TEST(Table, GoesOnStraight) {
  const int32_t entries[] = {7, -2, 5};
  GridTable table{entries, 3, -1, 3 << 24, -(1 << 23)};
  EXPECT_EQ(tableNumber(-1, table), 7);
  EXPECT_EQ(tableNumber(0, table), -2);
  EXPECT_EQ(tableNumber(1, table), 5);
  EXPECT_EQ(tableNumber(-3, table), 7 - 6);
  // -1/2 per step; ties go up.
  EXPECT_EQ(tableNumber(2, table), 5);
  EXPECT_EQ(tableNumber(3, table), 4);
  EXPECT_EQ(tableNumber(2147483647, table), 5 - 1073741823);
  EXPECT_EQ(tableNumber(-2147483647, table), -2147483647);
}

TEST(Grid, ReferenceHasThreeRows) {
  const int64_t acc[] = {10, 20, -30, 40};
  const int32_t rates[] = {1, 3, 1, 2, 5, -5};
  int32_t y[4];
  sq_ref_grid(acc, 2, 2, rates, y);
  EXPECT_EQ(std::vector<int32_t>(y, y + 4),
            (std::vector<int32_t>{10, 10, -10, 25}));
}

} // namespace
