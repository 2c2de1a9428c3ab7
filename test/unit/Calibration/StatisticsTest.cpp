//===- StatisticsTest.cpp - exactness and merging of statistics -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::magnitude;
using namespace spikequant::test;

TEST(MagnitudeGrid, EdgesAreExactAndInclusiveBelow) {
  for (unsigned bin = firstGridBin; bin < hugeBin; ++bin) {
    unsigned offset = bin - firstGridBin;
    double expected = std::ldexp(8.0 + offset % 8, int(offset / 8) - 24 - 3);
    ASSERT_EQ(lowerEdge(bin), expected);
    ASSERT_EQ(upperEdge(bin), lowerEdge(bin + 1));
    ASSERT_EQ(binOf(lowerEdge(bin)), bin);
    ASSERT_EQ(binOf(-lowerEdge(bin)), bin);
    ASSERT_EQ(binOf(std::nextafter(lowerEdge(bin), 0.0f)), bin - 1);
  }
}

TEST(MagnitudeGrid, SpecialValues) {
  using Limits = std::numeric_limits<float>;
  EXPECT_EQ(binOf(0.0f), tinyBin);
  EXPECT_EQ(binOf(-0.0f), tinyBin);
  EXPECT_EQ(binOf(Limits::denorm_min()), tinyBin);
  EXPECT_EQ(binOf(0x1p-24f), firstGridBin);
  EXPECT_EQ(binOf(0x1p24f), hugeBin);
  EXPECT_EQ(binOf(Limits::max()), hugeBin);
  EXPECT_EQ(binOf(Limits::infinity()), infinityBin);
  EXPECT_EQ(binOf(-Limits::infinity()), infinityBin);
  EXPECT_EQ(binOf(Limits::quiet_NaN()), nanBin);
  EXPECT_EQ(binOf(-Limits::signaling_NaN()), nanBin);
}

/// Naive statistics of one channel.
struct Naive {
  Int128 sum = 0, squares = 0;
  float largest = 0.0f;
  std::vector<uint32_t> bins = std::vector<uint32_t>(binCount);

  void add(float value) {
    ++bins[binOf(value)];
    if (!std::isfinite(value))
      return;
    largest = std::max(largest, std::fabs(value));
    double limited = std::min(16777216.0, std::max(-16777216.0, double(value)));
    Int128 fixed = Int128(std::nearbyint(limited * 1048576.0));
    sum += fixed;
    squares += fixed * fixed;
  }
};

static void expectNaive(const SiteStatistics &site, ArrayRef<float> values) {
  uint32_t channels = site.getChannels();
  for (uint32_t c = 0; c < channels; ++c) {
    Naive naive;
    for (size_t i = c; i < values.size(); i += channels)
      naive.add(values[i]);
    ASSERT_TRUE(site.getFixedSum(c) == naive.sum) << "channel " << c;
    ASSERT_TRUE(site.getFixedSquares(c) == naive.squares) << "channel " << c;
    ASSERT_EQ(site.getMaxAbs(c), naive.largest);
    for (unsigned bin = 0; bin < binCount; ++bin)
      ASSERT_EQ(site.getCount(c, bin), naive.bins[bin]);
  }
}

// Widths around the block of 16, heights around the block of 64.
TEST(SiteStatistics, EqualsNaiveLoop) {
  for (size_t channels : {1, 15, 16, 17, 48, 100})
    for (size_t rows : {1, 63, 64, 65, 130}) {
      auto values = randomValues(rows, channels, unsigned(rows + channels));
      expectNaive(observe("x", uint32_t(channels), values), values);
    }
}

TEST(SiteStatistics, TiesRoundToEven) {
  std::vector<float> values;
  for (int k = -40; k < 40; ++k)
    values.insert(values.end(), 16, std::ldexp(k + 0.5f, -20));
  expectNaive(observe("x", 16, values), values);
}

TEST(SiteStatistics, SpecialValuesStayOutOfSums) {
  float inf = std::numeric_limits<float>::infinity();
  float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> values = {inf, 1.5f, -inf, nan, -3.0f, 0x1p30f};
  expectNaive(observe("x", 1, values), values);
  SiteStatistics site = observe("x", 1, {inf, 1.5f, -inf, nan, -3.0f});
  EXPECT_EQ(site.getFiniteCount(0), 2u);
  EXPECT_EQ(site.getMean(0), -0.75);
  EXPECT_EQ(site.getMeanSquare(0), 5.625);
  EXPECT_EQ(site.getMaxAbs(0), 3.0f);
}

TEST(SiteStatistics, NothingObserved) {
  SiteStatistics site("x", 3);
  EXPECT_EQ(site.getMedianAbs(), 0.0);
  EXPECT_EQ(site.getMean(2), 0.0);
  EXPECT_EQ(site.getMeanSquare(2), 0.0);
}

static CalibrationData single(const SiteStatistics &site) {
  CalibrationData data;
  cantFail(data.addSite(site));
  return data;
}

// Any split into any runs, merged in any order, is the same file.
TEST(SiteStatistics, MergeOfRandomSplitsIsBitEqual) {
  constexpr uint32_t channels = 33;
  auto values = randomValues(300, channels, 7);
  std::string whole = print(single(observe("x", channels, values)));
  std::mt19937 engine(11);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<SiteStatistics> parts(1 + engine() % 5,
                                      SiteStatistics("x", channels));
    for (size_t row = 0; row < 300;) {
      size_t count = std::min<size_t>(1 + engine() % 90, 300 - row);
      cantFail(parts[engine() % parts.size()].accumulate(
          &values[row * channels], count));
      row += count;
    }
    while (parts.size() > 1) {
      std::shuffle(parts.begin(), parts.end(), engine);
      cantFail(parts[0].merge(parts.back()));
      parts.pop_back();
    }
    ASSERT_EQ(print(single(parts[0])), whole);
  }
}

TEST(SiteStatistics, MergeRejectsOtherSites) {
  SiteStatistics site("x", 4), renamed("y", 4), wider("x", 5);
  EXPECT_EQ(toString(site.merge(renamed)),
            "cannot merge site 'x' with site 'y'");
  EXPECT_NE(toString(site.merge(wider)).find("4 channels against 5"),
            std::string::npos);
}

TEST(CalibrationData, MergeIsUnionInEitherOrder) {
  auto values = randomValues(10, 4, 3);
  CalibrationData a, b;
  cantFail(a.addSite(observe("z", 4, values)));
  cantFail(a.addSite(observe("m", 4, values)));
  cantFail(b.addSite(observe("m", 4, values)));
  cantFail(b.addSite(observe("a", 2, values)));
  CalibrationData ab = a, ba = b;
  cantFail(ab.merge(b));
  cantFail(ba.merge(a));
  EXPECT_EQ(print(ab), print(ba));
  EXPECT_EQ(ab.getSites().size(), 3u);
  EXPECT_EQ(ab.findSite("m")->getRows(), 20u);
  EXPECT_EQ(ab.findSite("q"), nullptr);
}

TEST(CalibrationData, FailedMergeChangesNothing) {
  CalibrationData a, b;
  cantFail(a.addSite(SiteStatistics("z", 4)));
  cantFail(b.addSite(SiteStatistics("a", 4)));
  cantFail(b.addSite(SiteStatistics("z", 5)));
  std::string before = print(a);
  EXPECT_TRUE(errorToBool(a.merge(b)));
  EXPECT_EQ(print(a), before);
  EXPECT_EQ(toString(a.addSite(SiteStatistics("z", 1))),
            "site 'z' occurs twice");
}

static double exactPercentile(std::vector<float> values, double fraction) {
  for (float &value : values)
    value = std::fabs(value);
  std::sort(values.begin(), values.end());
  double rank = std::ceil(fraction * double(values.size()));
  return values[size_t(std::max(rank, 1.0)) - 1];
}

TEST(SiteStatistics, PercentilesAreWithinOneBin) {
  for (unsigned seed = 0; seed < 5; ++seed) {
    auto values = randomValues(101, 20, seed);
    SiteStatistics site = observe("x", 20, values);
    for (double fraction : {0.1, 0.5, 0.9, 0.99, 1.0}) {
      double exact = exactPercentile(values, fraction);
      EXPECT_NEAR(site.getPercentile(fraction), exact, exact / 8);
    }
    EXPECT_EQ(site.getMedianAbs(), site.getPercentile(0.5));
  }
}

TEST(SiteStatistics, PercentileOfOneRepeatedValueIsExact) {
  SiteStatistics site = observe("x", 2, std::vector<float>(64, -0.75f));
  EXPECT_EQ(site.getMedianAbs(), 0.75);
  EXPECT_EQ(observe("x", 2, std::vector<float>(64)).getMedianAbs(), 0.0);
}
