//===- GramMatrixTest.cpp - Gram matrices against naive sums ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TemporaryDirectory.h"

#include "spikequant/Calibration/CAPI.h"
#include "spikequant/Calibration/GramMatrix.h"

#include "llvm/Support/Endian.h"
#include "llvm/Support/xxhash.h"

#include "gtest/gtest.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

using namespace llvm;
using namespace spikequant;

namespace {

/// Values of very different sizes, as language models have them.
std::vector<float> draw(uint64_t rows, uint32_t channels, uint32_t seed,
                        float largest = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * channels);
  for (size_t i = 0; i < values.size(); ++i) {
    bool large = random() % 97 == 0;
    values[i] = normal(random) * (large ? largest : 1.0f);
  }
  return values;
}

int64_t toGrid(float value) {
  if (std::isnan(value))
    return 0;
  double clamped = std::fmin(std::fmax(value, -16384.0), 16384.0);
  return std::llrint(clamped * 4096); // ties to even
}

/// The definition, in 128-bit integers.
__int128 naive(const std::vector<float> &x, uint32_t channels, uint32_t i,
               uint32_t j) {
  __int128 sum = 0;
  for (size_t r = 0; r < x.size() / channels; ++r)
    sum += __int128(toGrid(x[r * channels + i])) * toGrid(x[r * channels + j]);
  return sum;
}

int64_t naiveSum(const std::vector<float> &x, uint32_t channels, uint32_t c) {
  int64_t sum = 0;
  for (size_t r = 0; r < x.size() / channels; ++r)
    sum += toGrid(x[r * channels + c]);
  return sum;
}

GramMatrix collect(const std::vector<float> &values, uint32_t channels,
                   uint64_t atOnce = 1 << 30) {
  GramMatrix gram("site", channels);
  uint64_t rows = values.size() / channels;
  for (uint64_t r = 0; r < rows; r += atOnce)
    cantFail(gram.accumulate(values.data() + r * channels,
                             std::min(atOnce, rows - r)));
  return gram;
}

void expectNaive(const std::vector<float> &values, uint32_t channels) {
  GramMatrix gram = collect(values, channels);
  for (uint32_t i = 0; i < channels; ++i) {
    ASSERT_EQ(gram.view().columns[i], naiveSum(values, channels, i)) << i;
    for (uint32_t j = 0; j <= i; ++j)
      ASSERT_TRUE(gram.view().sums[i * (i + 1) / 2 + j] ==
                  naive(values, channels, i, j))
          << i << ", " << j;
  }
}

TEST(GramMatrix, IsTheExactSum) {
  uint32_t seed = 0;
  // Below, at and above the widths of panels and strips; one row, one block,
  // more than a block.
  for (uint32_t channels : {1, 3, 4, 31, 32, 33, 70})
    for (uint64_t rows : {1, 128, 131})
      for (float largest : {1.0f, 3000.0f, 1e6f}) {
        SCOPED_TRACE(testing::Message() << channels << " channels, " << rows
                                        << " rows, up to " << largest);
        expectNaive(draw(rows, channels, ++seed, largest), channels);
      }
}

TEST(GramMatrix, UnusualValues) {
  float infinity = std::numeric_limits<float>::infinity();
  float nan = std::numeric_limits<float>::quiet_NaN();
  // Ties of the grid, its ends, what lies beyond, and what is no number.
  expectNaive({0.5f / 4096, 1.5f / 4096, -0.5f / 4096, 16384, -16384, 20000,
               -1e30f, infinity, -infinity, nan, -0.0f, 1e-40f},
              4);
}

TEST(GramMatrix, AnySplitGivesTheSameSums) {
  std::vector<float> values = draw(300, 37, 5, 2000);
  GramMatrix whole = collect(values, 37);
  for (uint64_t atOnce : {1, 7, 128}) {
    GramMatrix parts = collect(values, 37, atOnce);
    EXPECT_EQ(parts.view().rows, 300u);
    EXPECT_TRUE(parts.view().sums == whole.view().sums);
    EXPECT_TRUE(parts.view().columns == whole.view().columns);
  }
}

TEST(GramMatrix, RefusesToOverflow) {
  std::vector<float> values(1 << 14, 16384.0f);
  GramMatrix gram("blk.in", 1);
  std::string message;
  for (int i = 0; i < 8 && message.empty(); ++i)
    if (Error error = gram.accumulate(values.data(), values.size()))
      message = toString(std::move(error));
  EXPECT_NE(message.find("blk.in"), std::string::npos);
  EXPECT_GT(gram.view().sums[0], 0);
  EXPECT_GE(gram.view().rows, 1u << 10);
}

TEST(GramMatrix, AtIsInRealUnits) {
  GramMatrix gram = collect({1.5f, -2.0f, 0.25f, 8.0f}, 2);
  EXPECT_EQ(gram.view().at(0, 0), 2.3125);
  EXPECT_EQ(gram.view().at(0, 1), -1.0);
  EXPECT_EQ(gram.view().at(1, 0), -1.0);
}

TEST(GramMatrix, AroundCentres) {
  GramMatrix gram = collect({1.5f, -2.0f, 0.25f, 8.0f}, 2);
  // 1 and 0.25 - 0.5, and -3 and 7.
  EXPECT_EQ(gram.view().around(0, 0.5, 0, 0.5), 1.0 + 0.0625);
  EXPECT_EQ(gram.view().around(0, 0.5, 1, 1.0), -3.0 - 0.25 * 7);
}

/// Values below the grid, and constant ones of which the grid misses a part:
/// no channel's square around its mean may be negative.
TEST(GramMatrix, SquaresAroundMeansOfConstantValuesAreNotNegative) {
  for (float value : {1e-5f, -3e-5f, 0.30003f, 7.70001f, -1234.56f}) {
    GramMatrix gram = collect(std::vector<float>(100, value), 1);
    double square = gram.view().around(0, value, 0, value);
    EXPECT_GE(square, 0) << value;
    EXPECT_LE(square, 100 * 0x1p-26) << value;
  }
}

//===----------------------------------------------------------------------===//
// The file
//===----------------------------------------------------------------------===//

class GramFileTest : public testing::Test {
protected:
  std::string path(StringRef name) const { return folder.path(name); }
  static std::string read(const std::string &file) {
    std::stringstream text;
    text << std::ifstream(file, std::ios::binary).rdbuf();
    return text.str();
  }
  std::string write(const std::string &bytes) const {
    std::ofstream(path("edited"), std::ios::binary) << bytes;
    return path("edited");
  }
  /// The message of opening `bytes`, with the checksum put right.
  std::string openEdited(std::string bytes, bool fixChecksum = true) const {
    if (fixChecksum && bytes.size() >= 64)
      support::endian::write64le(bytes.data() + 40,
                                 xxh3_64bits(StringRef(bytes).substr(64)));
    Expected<GramFile> file = GramFile::open(write(bytes));
    return file ? "" : toString(file.takeError());
  }
  /// A file of two sites, b and a.
  std::string saved() {
    std::string file = path("two.gram");
    cantFail(saveGrams({{"b", second.view()}, {"a", first.view()}}, file));
    return file;
  }

  test::TemporaryDirectory folder;
  GramMatrix first = collect(draw(50, 5, 1), 5);
  GramMatrix second = collect(draw(70, 9, 2), 9);
};

TEST_F(GramFileTest, RoundTrip) {
  GramFile file = cantFail(GramFile::open(saved()));
  ASSERT_EQ(file.getSites().size(), 2u);
  ASSERT_TRUE(file.find("a") && file.find("b"));
  EXPECT_FALSE(file.find("c"));
  EXPECT_EQ(file.find("a")->rows, 50u);
  EXPECT_TRUE(file.find("a")->sums == first.view().sums);
  EXPECT_TRUE(file.find("b")->sums == second.view().sums);
  EXPECT_TRUE(file.find("a")->columns == first.view().columns);
  EXPECT_TRUE(file.find("b")->columns == second.view().columns);
}

TEST_F(GramFileTest, MergedPartsAreTheWholeToTheByte) {
  std::vector<float> values = draw(100, 21, 3, 500);
  std::vector<float> head(values.begin(), values.begin() + 21 * 33);
  std::vector<float> tail(values.begin() + 21 * 33, values.end());
  cantFail(saveGrams({{"s", collect(values, 21).view()}}, path("whole")));
  cantFail(saveGrams({{"s", collect(head, 21).view()}}, path("head")));
  cantFail(saveGrams({{"s", collect(tail, 21).view()}}, path("tail")));
  cantFail(mergeGramFiles({path("tail"), path("head")}, path("merged")));
  EXPECT_EQ(read(path("merged")), read(path("whole")));
}

TEST_F(GramFileTest, RefusesToMergeOtherShapes) {
  cantFail(saveGrams({{"a", second.view()}}, path("other")));
  Error error = mergeGramFiles({saved(), path("other")}, path("merged"));
  EXPECT_NE(toString(std::move(error)).find("site 'a' has 5 channels"),
            std::string::npos);
  EXPECT_FALSE(sys::fs::exists(path("merged")));
}

TEST_F(GramFileTest, RefusesDamagedFiles) {
  std::string bytes = read(saved());
  EXPECT_EQ(openEdited(bytes), "");
  // Every flipped byte after the magic is noticed, but the padding's.
  for (size_t at = 8; at < bytes.size(); at += at < 200 ? 1 : 13) {
    if (at >= 48 && at < 64)
      continue;
    std::string edited = bytes;
    edited[at] ^= 0x20;
    EXPECT_NE(openEdited(edited, false), "") << at;
  }
  for (size_t size : {size_t(0), size_t(7), size_t(63), size_t(64),
                      bytes.size() - 1, bytes.size() / 2})
    EXPECT_NE(openEdited(bytes.substr(0, size), false), "") << size;
  EXPECT_NE(openEdited(bytes + "x", false).find("truncated or with bytes"),
            std::string::npos);
}

/// Files with a good checksum that say impossible things.
TEST_F(GramFileTest, RefusesImpossibleIndices) {
  std::string bytes = read(saved());
  auto replaced = [&](StringRef from, StringRef to) {
    std::string edited = bytes;
    size_t at = edited.find(from.str());
    EXPECT_NE(at, std::string::npos);
    return edited.replace(at, from.size(), to.str());
  };
  EXPECT_NE(openEdited(replaced("\"channels\":9", "\"channels\":0")), "");
  EXPECT_NE(openEdited(replaced("\"channels\":9", "\"channels\":-")), "");
  EXPECT_NE(openEdited(replaced("\"channels\":5", "\"channels\":99999")), "");
  EXPECT_NE(openEdited(replaced("\"name\":\"a\"", "\"name\":\"b\"")), "");
  EXPECT_NE(openEdited(replaced("\"offset\":0", "\"offset\":8")), "");
  EXPECT_NE(openEdited(replaced("\"sites\"", "\"sitez\"")), "");
  EXPECT_NE(openEdited(replaced("\"rows\":50", "\"rows\":-5")), "");
  // Header fields: version, fraction bits, sizes.
  for (size_t at : {8, 12, 16, 22, 24, 30, 32, 39})
    for (int value : {1, 0x7f, 0xff}) {
      std::string edited = bytes;
      edited[at] = char(edited[at] + value);
      EXPECT_NE(openEdited(edited), "") << at;
    }
}

TEST_F(GramFileTest, NamesWhatCannotBeOpenedOrWritten) {
  Expected<GramFile> file = GramFile::open(path("missing"));
  EXPECT_NE(toString(file.takeError()).find(path("missing")),
            std::string::npos);
  Error error = saveGrams({{"a", first.view()}}, path("no/such/folder"));
  EXPECT_NE(toString(std::move(error)).find("no/such/folder"),
            std::string::npos);
}

TEST_F(GramFileTest, CollectorSavesWhatItObserved) {
  const char *names[] = {"s"};
  const int64_t channels[] = {6}, shape[] = {40, 6};
  sq_calibration *collector = sq_calibration_create(1, names, channels);
  EXPECT_NE(sq_calibration_save_grams(collector, path("none").c_str()), 0);
  sq_calibration_destroy(collector);

  collector = sq_calibration_create(1, names, channels);
  ASSERT_EQ(sq_calibration_collect_grams(collector), 0);
  std::vector<float> values = draw(40, 6, 8);
  sq_calibration_set_rows(collector, 30); // the rest is padding
  sq_calibration_observe(collector, 0, values.data(), 0, 2, shape);
  ASSERT_EQ(sq_calibration_save_grams(collector, path("c.gram").c_str()), 0);
  sq_calibration_destroy(collector);
  values.resize(30 * 6);
  GramFile file = cantFail(GramFile::open(path("c.gram")));
  ASSERT_TRUE(file.find("s"));
  EXPECT_EQ(file.find("s")->rows, 30u);
  EXPECT_TRUE(file.find("s")->sums == collect(values, 6).view().sums);
}

} // namespace
