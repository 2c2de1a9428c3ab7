//===- EncodeTest.cpp - the semantics grid of encode ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Reference.h"

#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

using namespace spikequant;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float notANumber = std::numeric_limits<float>::quiet_NaN();

/// The same roundings by another route: in f64 each product and sum below is
/// exact for moderate operands, so its conversion is the one f32 rounding.
struct Oracle {
  static float product(float a, float b) {
    return static_cast<float>(static_cast<double>(a) * static_cast<double>(b));
  }
  static float sum(float a, float b) {
    return static_cast<float>(static_cast<double>(a) + static_cast<double>(b));
  }
  static int encode(float x, float rowScale, float rate, float membrane) {
    double v = sum(product(product(x, rowScale), rate), membrane);
    return static_cast<int>(std::fmin(std::fmax(std::floor(v), -32767), 32767));
  }
};

int encodeWithStep(float x, float step) {
  return encodeValue(x, 1.0f, encodeThreshold(step).value());
}

//===----------------------------------------------------------------------===//
// Rounding
//===----------------------------------------------------------------------===//

TEST(Encode, TieGridRoundsUp) {
  for (float step : {1.0f, 0.125f, 8.0f})
    for (int k = -300; k <= 300; ++k) {
      float tie = (static_cast<float>(k) + 0.5f) * step;
      EXPECT_EQ(encodeWithStep(tie, step), k + 1) << "k " << k;
    }
}

TEST(Encode, TieGridNearTheLimits) {
  for (int k = 32700; k <= 32766; ++k) {
    EXPECT_EQ(encodeWithStep(static_cast<float>(k) + 0.5f, 1.0f), k + 1);
    EXPECT_EQ(encodeWithStep(-static_cast<float>(k) - 0.5f, 1.0f), -k);
  }
  EXPECT_EQ(encodeWithStep(32767.5f, 1.0f), 32767);
  EXPECT_EQ(encodeWithStep(-32767.5f, 1.0f), -32767);
  EXPECT_EQ(encodeWithStep(-32768.0f, 1.0f), -32767);
}

TEST(Encode, RoundingIsNotOdd) {
  EXPECT_EQ(encodeWithStep(-2.5f, 1.0f), -2);
  EXPECT_EQ(encodeWithStep(2.5f, 1.0f), 3);
}

TEST(Encode, SumIsRoundedToF32) {
  // 0.49999997 + 0.5 rounds to 1: part of the definition.
  EXPECT_EQ(encodeWithStep(0.49999997f, 1.0f), 1);
  EXPECT_EQ(encodeWithStep(0.49999994f, 1.0f), 0);
}

TEST(Encode, RandomValuesMatchExactArithmetic) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> value(-400.0f, 400.0f),
      positive(0.01f, 3.0f);
  for (int i = 0; i < 20000; ++i) {
    float x = value(random), rowScale = positive(random);
    float step = positive(random), a = positive(random), z = value(random);
    if (i % 2)
      a = -a;
    float rate = static_cast<float>(static_cast<double>(a) / step);
    float membrane = Oracle::sum(0.5f, -Oracle::product(z, rate));
    EncodeThreshold threshold = encodeThreshold(step, a, z).value();
    ASSERT_EQ(threshold.rate, rate);
    ASSERT_EQ(threshold.membrane, membrane);
    ASSERT_EQ(encodeValue(x, rowScale, threshold),
              Oracle::encode(x, rowScale, rate, membrane))
        << x << " " << rowScale << " " << step << " " << a << " " << z;
  }
}

/// Where the product rounds up, product - rounded(product) is negative: a fused
/// multiply-add would count -1.
TEST(Encode, ProductIsRoundedBeforeTheSum) {
  std::mt19937 random(6);
  std::uniform_real_distribution<float> value(1.0f, 2.0f);
  int cases = 0;
  while (cases < 100) {
    float x = value(random), rate = value(random);
    float rounded = Oracle::product(x, rate);
    if (static_cast<double>(x) * rate >= rounded)
      continue;
    ++cases;
    ASSERT_EQ(std::floor(std::fma(x, rate, -rounded)), -1.0f);
    ASSERT_EQ(encodeValue(x, 1.0f, {rate, -rounded}), 0);
  }
}

TEST(Encode, Monotone) {
  for (float step : {0.1f, 1.0f / 3.0f, 7.7f}) {
    int last = -32767;
    for (float x = -50.0f; x < 50.0f; x += 0.013f) {
      int count = encodeWithStep(x, step);
      ASSERT_GE(count, last);
      last = count;
    }
  }
}

//===----------------------------------------------------------------------===//
// Special values
//===----------------------------------------------------------------------===//

TEST(Encode, NotANumberGivesZero) {
  EXPECT_EQ(encodeWithStep(notANumber, 1.0f), 0);
  EncodeThreshold unit = encodeThreshold(1.0f).value();
  EXPECT_EQ(encodeValue(1.0f, notANumber, unit), 0);
  EXPECT_EQ(encodeValue(infinity, 0.0f, unit), 0);
  EXPECT_EQ(
      encodeValue(notANumber, 1.0f, encodeThreshold(1.0f, 1.0f, 9).value()), 0);
}

TEST(Encode, InfinitiesAndHugeValuesSaturate) {
  for (float x : {infinity, 1e38f, 40000.0f}) {
    EXPECT_EQ(encodeWithStep(x, 1.0f), 32767);
    EXPECT_EQ(encodeWithStep(-x, 1.0f), -32767);
  }
  EXPECT_EQ(encodeWithStep(1e38f, 1e-30f), 32767);
}

TEST(Encode, ZerosAndSubnormals) {
  for (float x : {0.0f, -0.0f, 1e-45f, -1e-45f})
    EXPECT_EQ(encodeWithStep(x, 1.0f), 0);
}

TEST(Encode, RejectsUselessThresholds) {
  for (float step : {0.0f, -1.0f, notANumber, infinity})
    EXPECT_FALSE(encodeThreshold(step).has_value()) << step;
  EXPECT_FALSE(encodeThreshold(1.0f, 0.0f).has_value());    // rate 0
  EXPECT_FALSE(encodeThreshold(1e-20f, 1e30f).has_value()); // infinite
  EXPECT_FALSE(encodeThreshold(1e20f, 1e-20f).has_value()); // subnormal
  EXPECT_FALSE(encodeThreshold(1.0f, notANumber).has_value());
  EXPECT_FALSE(encodeThreshold(1.0f, 1.0f, infinity).has_value());
  EXPECT_TRUE(encodeThreshold(1e-30f).has_value());
}

//===----------------------------------------------------------------------===//
// Windows
//===----------------------------------------------------------------------===//

constexpr int windows[] = {0, 0, 1, 3, 7, 15, 31, 63, 127};

TEST(Window, Sizes) {
  for (int bits = 0; bits <= 8; ++bits)
    EXPECT_EQ(windowOf(bits), windows[bits]);
}

TEST(Window, EveryCountBitsAndTolerance) {
  for (int bits = 0; bits <= 8; ++bits)
    for (int tolerance : {0, 1, 2})
      for (int n = -32767; n <= 32767; ++n) {
        int window = windows[bits], magnitude = n < 0 ? -n : n;
        bool salient = magnitude > window + tolerance;
        bool saturates = !salient && magnitude > window;
        int expected = saturates ? (n < 0 ? -window : window) : n;
        WindowedCount got =
            applyWindow(static_cast<int16_t>(n), bits, tolerance);
        ASSERT_EQ(got.count, expected) << n << " bits " << bits;
        ASSERT_EQ(got.salient, salient) << n << " bits " << bits;
      }
}

TEST(Window, NamedEdges) {
  // 4 bits: L = 7, tolerance 1.
  EXPECT_EQ(applyWindow(7, 4, 1).count, 7);
  EXPECT_EQ(applyWindow(8, 4, 1).count, 7);
  EXPECT_FALSE(applyWindow(8, 4, 1).salient);
  EXPECT_EQ(applyWindow(9, 4, 1).count, 9);
  EXPECT_TRUE(applyWindow(9, 4, 1).salient);
  EXPECT_EQ(applyWindow(-8, 4, 1).count, -7);
  EXPECT_TRUE(applyWindow(8, 4, 0).salient);
  EXPECT_FALSE(applyWindow(127, 8, 0).salient);
  EXPECT_TRUE(applyWindow(128, 8, 0).salient);
  EXPECT_EQ(applyWindow(32767, 8, 1).count, 32767);
  EXPECT_EQ(applyWindow(-32767, 8, 1).count, -32767);
}

TEST(Window, SilentChannel) {
  for (int bits : {0, 1}) {
    EXPECT_FALSE(applyWindow(0, bits, 0).salient);
    EXPECT_EQ(applyWindow(1, bits, 1).count, 0);
    EXPECT_FALSE(applyWindow(-1, bits, 1).salient);
    EXPECT_TRUE(applyWindow(1, bits, 0).salient);
  }
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

TEST(ReferenceEncode, AllOperands) {
  // Two rows, three channels: a live one, a dead one (all zero) and one scaled
  // by a = -2 and centred at z = 1.
  const float x[] = {1.0f, 0.0f, 1.0f, 20.0f, 0.0f, 4.0f};
  const float rowScale[] = {4.0f, 0.5f}, a[] = {1, 1, -2}, z[] = {0, 0, 1};
  const int8_t bits[] = {4, 0, 3};
  int16_t counts[6];
  int64_t salient = 100;
  sq_ref_encode(x, rowScale, 2, 3, 0.5f, a, z, bits, 1, counts, &salient);
  // Row 0: 4 / 0.5 = 8, one above L = 7; 4 * -4 + 0.5 + 4 = -11.5.
  // Row 1: 10 / 0.5 = 20, salient; 2 * -4 + 4.5 = -3.5, one beyond L = 3.
  const int16_t expected[] = {7, 0, -12, 20, 0, -3};
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(counts[i], expected[i]) << i;
  EXPECT_EQ(salient, 102);
}

TEST(ReferenceEncode, OptionalOperandsDefault) {
  std::vector<float> x = {1000.0f, -0.5f, 0.49f};
  std::vector<int16_t> counts(3);
  sq_ref_encode(x.data(), nullptr, 3, 1, 1.0f, nullptr, nullptr, nullptr, 0,
                counts.data(), nullptr);
  EXPECT_EQ(counts, (std::vector<int16_t>{1000, 0, 0}));
}

TEST(ReferenceEncode, NoRows) {
  int64_t salient = 5;
  const int8_t bits[] = {4};
  sq_ref_encode(nullptr, nullptr, 0, 1, 1.0f, nullptr, nullptr, bits, 0,
                nullptr, &salient);
  EXPECT_EQ(salient, 5);
}

TEST(ReferenceEncode, InvalidStepGivesZeros) {
  float x = 3.0f;
  int16_t count = 9;
  sq_ref_encode(&x, nullptr, 1, 1, 0.0f, nullptr, nullptr, nullptr, 0, &count,
                nullptr);
  EXPECT_EQ(count, 0);
}

} // namespace
