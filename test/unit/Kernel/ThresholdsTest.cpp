//===- ThresholdsTest.cpp - real thresholds to integer ones ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Thresholds.h"

#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <random>

using namespace spikequant;

namespace {

constexpr int32_t kMost = 32767;

/// floor(a / b) for b > 0.
int64_t floorDivide(int64_t a, int64_t b) {
  return a / b - (a % b != 0 && a < 0);
}

TEST(Thresholds, DyadicRatesAreExactAtEveryTie) {
  // rate = num / 64, offset = off / 64: n = floor((acc num + off) / 64), and
  // where num is 32 every second membrane is a tie.
  for (int64_t num : {1, 32, 63, 64, 65, 4096})
    for (int64_t off : {0, 32, -32, 31, 33, 1000}) {
      auto table = roundThresholds({{num / 64.0, off / 64.0}}, -kMost, kMost);
      ASSERT_TRUE(table);
      EXPECT_EQ(table->error, 0.0);
      for (int64_t acc = -400; acc <= 400; ++acc)
        EXPECT_EQ(fireCount(acc, table->channels[0], -kMost, kMost),
                  floorDivide(acc * num + off, 64))
            << num << " " << off << " " << acc;
    }
}

/// What a lowering computes in i64; overflow is a failure.
int64_t fireInI64(int64_t acc, FireThreshold t, int32_t lo, int32_t hi) {
  int64_t least = fireLadder(lo + 1, t) - 1, most = fireLadder(hi, t);
  int64_t membrane = std::min(std::max(acc, least), most), product, sum;
  EXPECT_FALSE(
      __builtin_mul_overflow(membrane, int64_t{t.multiplier}, &product));
  EXPECT_FALSE(__builtin_add_overflow(product, t.bias, &sum));
  return std::min<int64_t>(std::max<int64_t>(sum >> t.shift, lo), hi);
}

TEST(Thresholds, RandomSitesStayInRangeAndNearTheReals) {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> exponent(-20, 8), bias(-3, 6);
  for (int round = 0; round < 2000; ++round) {
    std::vector<RealThreshold> site;
    double common = exponent(random);
    for (int i = 0; i < 5; ++i) {
      double rate = std::exp2(common + 0.3 * exponent(random));
      double offset = std::pow(10, bias(random)) * (random() % 2 ? 1 : -1);
      site.push_back({random() % 7 ? rate : 0.0, offset + 0.5});
    }
    int32_t lo = random() % 2 ? 0 : -kMost;
    auto table = roundThresholds(site, lo, kMost);
    ASSERT_TRUE(table);
    for (auto [real, t] : {std::pair(site[0], table->channels[0]),
                           std::pair(site[4], table->channels[4])}) {
      EXPECT_GE(t.multiplier, 1);
      double unit = std::ldexp(1.0, t.shift);
      if (real.rate > 0) {
        EXPECT_LE(std::abs(t.multiplier - real.rate * unit),
                  std::max(0.5, 1 - real.rate * unit));
        EXPECT_LE(std::abs(t.multiplier / (real.rate * unit) - 1),
                  table->error * 1.0000001);
      }
      for (int64_t acc : {int64_t(random() >> 30), -int64_t(random() >> 30),
                          int64_t{0}, std::numeric_limits<int64_t>::max(),
                          std::numeric_limits<int64_t>::min()}) {
        EXPECT_EQ(fireInI64(acc, t, lo, kMost), fireCount(acc, t, lo, kMost));
        // |v - v'| <= (|acc| / 2 + 1 / 2) / 2^S.
        long double v = (long double)acc * real.rate + real.offset;
        long double slack = (std::abs((long double)acc) + 1) / unit;
        if (real.rate == 0 || real.rate * unit < 1)
          continue;
        EXPECT_GE(fireCount(acc, t, lo, kMost),
                  std::clamp<long double>(std::floor(v - slack), lo, kMost));
        EXPECT_LE(fireCount(acc, t, lo, kMost),
                  std::clamp<long double>(std::floor(v + slack), lo, kMost));
      }
    }
  }
}

TEST(Thresholds, EachChannelHasItsShift) {
  auto table =
      roundThresholds({{0.0, 4.5}, {1.0 / 1024, 0.5}, {1024.0, 0.5}}, -7, 7);
  ASSERT_TRUE(table);
  // 2^40 * 2^-10 <= 2^31 - 1 < 2^41 * 2^-10.
  EXPECT_EQ(table->channels[0].shift, 46);
  EXPECT_EQ(table->channels[1].shift, 40);
  EXPECT_EQ(table->channels[2].shift, 20);
  EXPECT_EQ(fireCount(0, table->channels[0], -7, 7), 4);
}

TEST(Thresholds, HugeBiasesLowerTheShift) {
  auto table = roundThresholds({{1.0, 1e15}}, -kMost, kMost);
  ASSERT_TRUE(table);
  EXPECT_EQ(table->channels[0].shift, 12);
  EXPECT_EQ(fireCount(-1000000000000000 + 5, table->channels[0], -kMost, kMost),
            5);
}

TEST(Thresholds, WhatHasNoThresholdIsRefused) {
  double nan = std::nan("");
  for (RealThreshold bad :
       {RealThreshold{-1.0, 0}, RealThreshold{nan, 0}, RealThreshold{1, nan},
        RealThreshold{INFINITY, 0}, RealThreshold{1, INFINITY},
        RealThreshold{3e9, 0}, RealThreshold{1, 1e19}})
    EXPECT_FALSE(roundThresholds({bad}, -7, 7)) << bad.rate << bad.offset;
}

} // namespace
