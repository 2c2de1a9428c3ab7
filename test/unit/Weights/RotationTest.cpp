//===- RotationTest.cpp - Hadamard rotations of stored channels -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/Rotation.h"

#include "gtest/gtest.h"

#include <cmath>
#include <vector>

using namespace spikequant;

/// Entry (i, j) of Sylvester's matrix: the parity of the bits that both have.
static double entry(unsigned i, unsigned j) {
  return __builtin_popcount(i & j) % 2 ? -1.0 : 1.0;
}

TEST(Rotation, MultipliesBlocksOfOneDimension) {
  // [2, 10, 3]: channels 2 to 9 in blocks of 4.
  std::vector<float> values;
  for (int i = 0; i < 60; ++i)
    values.push_back(float(i * i % 17) - 8);
  std::vector<float> rotated = values;
  rotateChannels(rotated, {2, 10, 3}, {1, 2, 10, 4});
  for (int o = 0; o < 2; ++o)
    for (int c = 0; c < 10; ++c)
      for (int i = 0; i < 3; ++i) {
        auto at = [&](int channel) { return (o * 10 + channel) * 3 + i; };
        double expected = values[at(c)];
        if (c >= 2) {
          int first = c - (c - 2) % 4;
          expected = 0;
          for (int j = 0; j < 4; ++j)
            expected += entry(c - first, j) * values[at(first + j)] / 2;
        }
        EXPECT_EQ(rotated[at(c)], float(expected)) << o << " " << c << " " << i;
      }
}

TEST(Rotation, IsItsOwnInverse) {
  std::vector<float> values(64);
  for (int i = 0; i < 64; ++i)
    values[i] = float(i % 7) - 3;
  std::vector<float> twice = values;
  rotateChannels(twice, {64}, {0, 0, 64, 64});
  EXPECT_NE(twice, values);
  rotateChannels(twice, {64}, {0, 0, 64, 64});
  for (int i = 0; i < 64; ++i)
    EXPECT_NEAR(twice[i], values[i], 1e-6);
}

TEST(Rotation, FitsWholeBlocksOfPowersOfTwo) {
  EXPECT_TRUE(fits({1, 0, 8, 4}, {3, 8}));
  EXPECT_FALSE(fits({1, 0, 9, 3}, {3, 9}));
  EXPECT_FALSE(fits({1, 0, 6, 4}, {3, 8}));
  EXPECT_FALSE(fits({1, 4, 12, 4}, {3, 8}));
  EXPECT_FALSE(fits({2, 0, 8, 4}, {3, 8}));
  EXPECT_FALSE(fits({1, -4, 8, 4}, {3, 8}));
}
