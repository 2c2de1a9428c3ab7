//===- IntegrateTest.cpp - packed layout, integrate and lookup ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Integrate.h"
#include "spikequant/Kernel/PackedCodes.h"
#include "spikequant/Kernel/Reference.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

using namespace spikequant;

namespace {

/// Each shape is here for a reason.
struct Shape {
  int64_t n, k, group;
};
const Shape shapes[] = {
    {1, 1, 32},     // one weight
    {1, 40, 32},    // N = 1, g does not divide K
    {16, 8, 8},     // exactly one line
    {17, 9, 8},     // one more than a tile and than a line
    {64, 64, 32},   // exactly one panel
    {65, 31, 64},   // a panel and a tile of one channel; one group per row
    {112, 100, 24}, // last panel of three tiles; ragged K and groups
    {33, 77, 1000}, // group longer than the row
};

/// A packed matrix made of random bytes, placed in one block of memory like a
/// file. Its integer weights are found by walking over the lines in the
/// documented order, without address arithmetic.
struct RandomMatrix {
  RandomMatrix(Shape shape, int32_t container, int32_t offsetBits,
               uint32_t seed)
      : layout{shape.n, shape.k, shape.group, container, offsetBits} {
    std::mt19937 random(seed);
    scalesOffset = 64 + layout.codesBytes();
    file.resize(scalesOffset + layout.scalesBytes());
    for (int64_t i = 0; i < scalesOffset; ++i)
      file[i] = static_cast<uint8_t>(random());
    for (int64_t o = 0; o < layout.nPadded(); ++o) {
      scales.push_back(static_cast<float>(random() % 1000 + 1) / 512.0f);
      std::memcpy(&file[scalesOffset + 4 * o], &scales[o], 4);
    }
    weights.resize(layout.n * layout.k);
    walkLines();
  }

  void walkLines() {
    int64_t perLine = layout.container == 8 ? 4 : 8;
    int64_t tiles = (layout.n + 15) / 16;
    const uint8_t *line = file.data() + 64;
    for (int64_t panel = 0; panel < tiles; panel += 4) {
      int64_t end = std::min(panel + 4, tiles);
      for (int64_t k0 = 0; k0 < (layout.k + 7) / 8 * 8; k0 += perLine) {
        bool begins =
            layout.group < layout.k ? k0 % layout.group == 0 : k0 == 0;
        if (begins)
          line = readGroup(line, (end - panel) * 16);
        line = readStep(line, panel, end, k0);
      }
    }
    linesEnd = line - file.data();
  }

  /// m, then c or z, of `channels` output channels.
  const uint8_t *readGroup(const uint8_t *bytes, int64_t channels) {
    m.assign(bytes, bytes + channels);
    bytes += channels;
    c.resize(channels);
    for (int64_t o = 0; o < channels && layout.offsetBits == 16; ++o)
      c[o] = bytes[2 * o] + 256 * static_cast<int8_t>(bytes[2 * o + 1]);
    int unit = 1 << (8 - layout.container); // of a zero point, in a code's step
    for (int64_t o = 0; o < channels && layout.offsetBits == 8; ++o)
      c[o] = -std::floor(double(m[o]) * bytes[o] / unit + (unit > 1 ? 0.5 : 0));
    return bytes + channels * layout.offsetBits / 8;
  }

  /// Planes of 4, 2 and 1 bits, each of all tiles of the panel.
  const uint8_t *readStep(const uint8_t *bytes, int64_t tile, int64_t end,
                          int64_t k0) {
    std::vector<int> codes((end - tile) * 16 * 8, 0);
    if (layout.container == 8) {
      for (int64_t i = 0; i < (end - tile) * 64; ++i)
        codes[i / 4 * 8 + i % 4] = *bytes++;
    }
    int factor = 1;
    for (int bits : {4, 2, 1})
      if (layout.container != 8 && layout.container & bits) {
        for (int64_t o = 0; o < (end - tile) * 16; ++o, bytes += bits)
          readPlane(bytes, bits, factor, &codes[o * 8]);
        factor <<= bits;
      }
    for (size_t i = 0; i < codes.size(); ++i)
      if (layout.container != 8 || i % 8 < 4)
        setCode(tile, i / 8, k0 + i % 8, codes[i]);
    return bytes;
  }

  /// As the table in docs/PackedWeights.md shows the bytes.
  static void readPlane(const uint8_t *bytes, int bits, int factor,
                        int *codes) {
    static constexpr int channelOfPair[8] = {0, 4, 2, 6, 1, 5, 3, 7};
    for (int j = 0; j < 8; ++j) {
      if (bits == 4)
        codes[j] += factor * (j < 4 ? bytes[j] % 16 : bytes[j - 4] / 16);
      if (bits == 2) // four pairs per byte, lowest first
        codes[channelOfPair[j]] += factor * (bytes[j / 4] >> (2 * (j % 4)) & 3);
      if (bits == 1)
        codes[j] += factor * (bytes[0] >> j & 1);
    }
  }

  void setCode(int64_t tile, int64_t lane, int64_t k, int u) {
    int64_t o = 16 * tile + lane;
    if (o < layout.n && k < layout.k)
      weights[o * layout.k + k] = m[lane] * u + c[lane];
  }

  PackedCodes packed() const { return {layout, file.data() + 64}; }

  PackedLayout layout;
  int64_t scalesOffset, linesEnd = 0;
  std::vector<uint8_t> m; ///< Of the group that is being read.
  std::vector<int32_t> c;
  std::vector<uint8_t> file;
  std::vector<float> scales;
  std::vector<int32_t> weights; ///< [n][k]
};

template <typename Body> void forEachMatrix(Body body) {
  uint32_t seed = 0;
  for (Shape shape : shapes)
    for (int32_t container : {2, 3, 4, 5, 6, 7, 8})
      for (int32_t offsetBits : {8, 16}) {
        SCOPED_TRACE(testing::Message()
                     << shape.n << " x " << shape.k << " group " << shape.group
                     << " in " << container << ", offsets in " << offsetBits);
        body(RandomMatrix(shape, container, offsetBits, ++seed));
      }
}

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

TEST(PackedLayout, LinesFillTheBlob) {
  forEachMatrix([](const RandomMatrix &matrix) {
    EXPECT_EQ((matrix.linesEnd + 63) / 64 * 64,
              64 + matrix.layout.codesBytes());
  });
}

TEST(PackedLayout, WeightsFollowTheDocumentedOrder) {
  forEachMatrix([](const RandomMatrix &matrix) {
    PackedCodes packed = matrix.packed();
    std::vector<int32_t> row(matrix.layout.k);
    for (int64_t o = 0; o < matrix.layout.n; ++o) {
      packed.unpackRow(o, row.data());
      for (int64_t j = 0; j < matrix.layout.k; ++j) {
        int32_t expected = matrix.weights[o * matrix.layout.k + j];
        ASSERT_EQ(packed.weightAt(o, j), expected) << o << ", " << j;
        ASSERT_EQ(row[j], expected) << o << ", " << j;
      }
    }
  });
}

TEST(PackedLayout, Validity) {
  auto valid = [](int64_t n, int64_t k, int64_t group, int32_t container) {
    return PackedLayout{n, k, group, container}.isValid();
  };
  EXPECT_TRUE(valid(1, 1, 1, 4));
  EXPECT_TRUE(valid(1, 100, 100, 8));
  EXPECT_TRUE(valid(1, 100, 24, 4));
  EXPECT_FALSE(valid(1, 100, 20, 4));
  EXPECT_FALSE(valid(1, 100, 0, 4));
  EXPECT_FALSE(valid(1, 100, -8, 4));
  EXPECT_FALSE(valid(0, 100, 32, 4));
  EXPECT_FALSE(valid(1, 0, 32, 4));
  EXPECT_TRUE(valid(1, 100, 32, 5));
  EXPECT_FALSE(valid(1, 100, 32, 1));
  EXPECT_FALSE(valid(1, 100, 32, 9));
  EXPECT_TRUE((PackedLayout{1, 100, 32, 4, 8}.isValid()));
  EXPECT_FALSE((PackedLayout{1, 100, 32, 4, 12}.isValid()));
  EXPECT_FALSE(valid(int64_t{1} << 31, int64_t{1} << 31, 32, 4));
}

//===----------------------------------------------------------------------===//
// Integrate
//===----------------------------------------------------------------------===//

/// Membranes [rows, n] of counts [rows, k], by plain products.
void expectProducts(const RandomMatrix &matrix,
                    const std::vector<int16_t> &counts,
                    const std::vector<int64_t> &acc) {
  int64_t n = matrix.layout.n, k = matrix.layout.k;
  for (int64_t row = 0, rows = acc.size() / n; row < rows; ++row)
    for (int64_t o = 0; o < n; ++o) {
      int64_t expected = 0;
      for (int64_t j = 0; j < k; ++j)
        expected += int64_t{counts[row * k + j]} * matrix.weights[o * k + j];
      ASSERT_EQ(acc[row * n + o], expected) << row << ", " << o;
    }
}

TEST(Integrate, MatchesNaiveMatmul) {
  std::mt19937 random(7);
  forEachMatrix([&](const RandomMatrix &matrix) {
    int64_t n = matrix.layout.n, k = matrix.layout.k, rows = 3;
    std::vector<int16_t> counts(rows * k);
    for (int16_t &count : counts)
      count = static_cast<int16_t>(static_cast<int>(random() % 65535) - 32767);
    std::vector<int64_t> acc(rows * n, -1);
    sq_ref_integrate(counts.data(), rows, k, matrix.file.data(), 64,
                     matrix.layout.container, matrix.layout.offsetBits,
                     matrix.layout.group, n, acc.data());
    expectProducts(matrix, counts, acc);
  });
}

/// Counts as a layer sees them: many zeros, some of any size, both signs.
std::vector<int16_t> sparseCounts(int64_t size, std::mt19937 &random) {
  const int ranges[] = {0, 1, 7, 127, 32767};
  std::vector<int16_t> counts(size);
  for (int16_t &count : counts) {
    int range = ranges[random() % 5];
    count = static_cast<int16_t>(static_cast<int>(random() % (2 * range + 1)) -
                                 range);
  }
  return counts;
}

TEST(IntegratePlanes, SameIntegersAsMultiplication) {
  std::mt19937 random(11);
  forEachMatrix([&](const RandomMatrix &matrix) {
    int64_t n = matrix.layout.n, k = matrix.layout.k, rows = 4;
    std::vector<int16_t> counts = sparseCounts(rows * k, random);
    // The last row is all zeros: no plane at all.
    std::fill(counts.end() - k, counts.end(), 0);
    std::vector<int64_t> acc(rows * n, -1);
    sq_ref_integrate_planes(counts.data(), rows, k, matrix.file.data(), 64,
                            matrix.layout.container, matrix.layout.offsetBits,
                            matrix.layout.group, n, acc.data());
    expectProducts(matrix, counts, acc);
  });
}

/// Every count that exists, alone with a weight.
TEST(IntegratePlanes, EveryCount) {
  const int32_t weight = -13;
  for (int count = -32767; count <= 32767; ++count) {
    auto narrow = static_cast<int16_t>(count);
    ASSERT_EQ(integrateRowPlanes(&narrow, &weight, 1), int64_t{count} * weight);
  }
}

TEST(IntegratePlanes, RailsAndPowersOfTwo) {
  const int16_t counts[] = {32767, -32767, 16384, -16384, 1, -1, 0};
  const int32_t weights[] = {1, 2, 4, 8, -16, 32, 64};
  EXPECT_EQ(integrateRowPlanes(counts, weights, 7),
            32767 - 65534 + 65536 - 131072 - 16 - 32);
  EXPECT_EQ(integrateRowPlanes(counts, weights, 0), 0);
}

TEST(IntegratePlanes, WorstCaseAtK11008IsExact) {
  constexpr int64_t k = 11008, worst = 255 * 255 + 32767;
  std::vector<int16_t> counts(k, -32767);
  std::vector<int32_t> weights(k, worst);
  EXPECT_EQ(integrateRowPlanes(counts.data(), weights.data(), k),
            -k * 32767 * worst);
}

TEST(Integrate, NoRows) {
  RandomMatrix matrix({17, 9, 8}, 4, 16, 1);
  sq_ref_integrate(nullptr, 0, 9, matrix.file.data(), 64, 4, 16, 8, 17,
                   nullptr);
}

TEST(Integrate, NegativeAndZeroRows) {
  const int16_t counts[] = {3, -5, 7};
  const int32_t negative[] = {-1, -2, -3}, zero[] = {0, 0, 0};
  EXPECT_EQ(integrateRow(counts, negative, 3), -14);
  EXPECT_EQ(integrateRow(counts, zero, 3), 0);
  EXPECT_EQ(integrateRow(counts, negative, 0), 0);
}

/// The longest rows in use, at the worst weights and counts that exist.
TEST(Integrate, WorstCaseAtK11008IsExact) {
  constexpr int64_t k = 11008, worst = 255 * 255 + 32767;
  std::vector<int16_t> counts(k, -32767);
  std::vector<int32_t> weights(k, worst);
  EXPECT_EQ(integrateRow(counts.data(), weights.data(), k), -k * 32767 * worst);
}

TEST(Integrate, DenseBoundAtK11008) {
  // 127 * 16909320 = 2147483640; one more unit of weight passes 2^31 - 1.
  EXPECT_TRUE(denseFitsI32(16909320));
  EXPECT_FALSE(denseFitsI32(16909321));
  EXPECT_TRUE(denseFitsI32(int64_t{11008} * 1536));
  EXPECT_FALSE(denseFitsI32(int64_t{11008} * 1537));
  EXPECT_FALSE(denseFitsI32(INT64_MAX));
}

//===----------------------------------------------------------------------===//
// Lookup
//===----------------------------------------------------------------------===//

TEST(Lookup, MatchesNaiveAndClampsIds) {
  forEachMatrix([](const RandomMatrix &matrix) {
    int64_t n = matrix.layout.n, k = matrix.layout.k;
    const int32_t last = static_cast<int32_t>(n - 1);
    const int32_t ids[] = {0, last, last / 2, -3, last + 1, INT32_MAX};
    const int64_t rows[] = {0, last, last / 2, 0, last, last};
    std::vector<float> y(6 * k);
    sq_ref_lookup(ids, 6, matrix.file.data(), 64, matrix.scalesOffset,
                  matrix.layout.container, matrix.layout.offsetBits,
                  matrix.layout.group, n, k, y.data());
    for (int64_t i = 0; i < 6; ++i)
      for (int64_t j = 0; j < k; ++j) {
        double exact = static_cast<double>(matrix.weights[rows[i] * k + j]) *
                       matrix.scales[rows[i]];
        ASSERT_EQ(y[i * k + j], static_cast<float>(exact)) << i << ", " << j;
      }
  });
}

} // namespace
