//===- GridEncodeTest.cpp - counts of fixed point against fractions -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/GridEncode.h"
#include "spikequant/Kernel/Reference.h"

#include "llvm/ADT/APInt.h"
#include "gtest/gtest.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

using namespace spikequant;
using llvm::APInt;

namespace {

/// Wide enough for every product and shift below.
constexpr unsigned bits = 640;

APInt wide(int64_t value) { return APInt(bits, value, /*isSigned=*/true); }

/// floor(numerator / 2^shift), saturated to +-most; any sign of shift.
int64_t floorShift(APInt numerator, int shift, int64_t most) {
  APInt result =
      shift >= 0 ? numerator.ashr(std::min(shift, 600)) : numerator << -shift;
  if (result.sgt(wide(most)))
    return most;
  return result.slt(wide(-most)) ? -most : result.getSExtValue();
}

/// floor(2^20 x q 2^unit + 1/2), from the value of q alone.
int64_t scaledByFraction(int32_t x, float q, int unit) {
  int exponent;
  double fraction = std::frexp(double(q), &exponent); // q = f 2^e, exactly
  auto mantissa = static_cast<int64_t>(std::ldexp(fraction, 53));
  // 2 x q 2^(unit + 20) + 1, halved and floored.
  int shift = 53 - exponent - unit - 20;
  APInt product = wide(x) * wide(mantissa);
  if (shift <= 0)
    return floorShift(product, shift, 2147483647);
  APInt half = wide(1) << (shift - 1);
  return floorShift(product + half, shift, 2147483647);
}

float randomFactor(std::mt19937_64 &random) {
  switch (random() % 4) {
  case 0: { // any number at all
    auto pattern = static_cast<uint32_t>(random());
    float q;
    std::memcpy(&q, &pattern, sizeof q);
    return std::isfinite(q) ? q : 0.0f;
  }
  case 1: // a power of two: ties
    return std::ldexp(1.0f, static_cast<int>(random() % 60) - 40);
  default: // a norm's
    return std::ldexp(float(random() % (1 << 24)),
                      static_cast<int>(random() % 40) - 34);
  }
}

TEST(GridEncode, RowsAreScaledExactly) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300000; ++i) {
    auto x =
        static_cast<int32_t>(static_cast<int32_t>(random()) >> random() % 32);
    float q = randomFactor(random);
    auto unit = static_cast<int32_t>(random() % 48) - 40;
    ASSERT_EQ(scaleByRow(x, splitRowFactor(q), unit),
              scaledByFraction(x, q, unit))
        << x << " * " << q << ", unit 2^" << unit;
  }
}

TEST(GridEncode, ExtremesSaturateOrVanish) {
  int32_t most = std::numeric_limits<int32_t>::max();
  RowFactor large = splitRowFactor(std::numeric_limits<float>::max());
  EXPECT_EQ(scaleByRow(1, large, 0), most);
  EXPECT_EQ(scaleByRow(-1, large, 0), -most);
  EXPECT_EQ(scaleByRow(0, large, 0), 0);
  float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(scaleByRow(-3, splitRowFactor(infinity), -16), -most);
  EXPECT_EQ(scaleByRow(0, splitRowFactor(infinity), -16), 0);
  float least = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(scaleByRow(most, splitRowFactor(least), -16), 0);
  EXPECT_EQ(scaleByRow(-most, splitRowFactor(-least), 120), 1 << 22);
}

/// floor((y - Z) M / 2^S + 1/2), limited to what a count holds.
int64_t countByFraction(int32_t y, CountRate rate) {
  APInt driven =
      (wide(y) - wide(rate.centre)) * wide(rate.multiplier) * wide(2);
  return floorShift(driven + (wide(1) << rate.shift), rate.shift + 1, 32767);
}

TEST(GridEncode, CountsAreTheRoundedProduct) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 300000; ++i) {
    CountRate rate{static_cast<int32_t>(random() % ((1 << 30) + 1)) - (1 << 29),
                   static_cast<int32_t>(1 + random() % 62),
                   static_cast<int32_t>(random()) >> (1 + random() % 31)};
    auto y =
        static_cast<int32_t>(static_cast<int32_t>(random()) >> random() % 32);
    ASSERT_EQ(gridCount(y, rate), countByFraction(y, rate))
        << y << " " << rate.multiplier << " " << rate.shift << " "
        << rate.centre;
  }
}

TEST(GridEncode, TheLargestNumbersFit) {
  int32_t most = std::numeric_limits<int32_t>::max();
  for (int32_t multiplier : {1 << 29, -(1 << 29), 1, 0})
    for (int32_t shift : {1, 31, 62})
      for (int32_t y : {most, -most})
        for (int32_t centre : {most, -most, 0}) {
          CountRate rate{multiplier, shift, centre};
          EXPECT_EQ(gridCount(y, rate), countByFraction(y, rate));
        }
}

TEST(GridEncode, TiesGoUp) {
  CountRate half{1, 1, 0};
  EXPECT_EQ(gridCount(3, half), 2);
  EXPECT_EQ(gridCount(1, half), 1);
  EXPECT_EQ(gridCount(-1, half), 0);
  EXPECT_EQ(gridCount(-3, half), -1);
  CountRate centred{1, 1, 2};
  EXPECT_EQ(gridCount(3, centred), 1);
  EXPECT_EQ(gridCount(1, centred), 0);
}

TEST(GridEncode, RatesHave29Bits) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> exponent(-34, 27);
  for (int i = 0; i < 20000; ++i) {
    double exact = std::exp2(exponent(random)) * (random() % 2 ? 1 : -1);
    auto rate = roundCountRate(exact, 1000.5);
    ASSERT_TRUE(rate);
    EXPECT_LE(std::abs(rate->multiplier), 1 << 29);
    EXPECT_EQ(rate->centre, 1000);
    EXPECT_LE(std::abs(std::ldexp(rate->multiplier, -rate->shift) / exact - 1),
              std::ldexp(1.0, -29));
  }
  EXPECT_FALSE(roundCountRate(std::exp2(29.5), 0));
  EXPECT_FALSE(roundCountRate(1, 2147483648.0));
  EXPECT_FALSE(roundCountRate(std::nan(""), 0));
  auto dead = roundCountRate(0, 0);
  ASSERT_TRUE(dead);
  EXPECT_EQ(dead->multiplier, 0);
}

TEST(GridEncode, AWindowFollows) {
  // Row factor 2^-4 of numbers of 2^-16: x = 2^20 stands for 1.
  std::vector<int32_t> x = {1 << 20, 2 << 20, 3 << 20, -(3 << 20)};
  float q = 0.0625f;
  // One count per unit: 2^-20.
  std::vector<int32_t> rates = {1, 1, 1, 1, 20, 20, 20, 20, 0, 0, 0, 0};
  std::vector<int8_t> windows = {2, 2, 2, 2}; // +-1
  std::vector<int16_t> counts(4);
  sq_ref_encode_grid(x.data(), &q, 1, 4, -16, rates.data(), windows.data(), 1,
                     counts.data());
  EXPECT_EQ(counts, (std::vector<int16_t>{1, 1, 3, -3}));
  sq_ref_encode_grid(x.data(), nullptr, 1, 4, -16, rates.data(), nullptr, 0,
                     counts.data());
  EXPECT_EQ(counts, (std::vector<int16_t>{1, 2, 3, -3}));
}

} // namespace
