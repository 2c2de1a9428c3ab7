//===- PackedCountsTest.cpp ----------------------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/PackedCounts.h"

#include "gtest/gtest.h"

#include <cmath>
#include <random>

using namespace spikequant;

namespace {

using Random = std::mt19937_64;

int64_t draw(Random &random, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random);
}

CountArray makeArray(std::vector<uint64_t> shape, std::vector<uint8_t> bits,
                     std::vector<int16_t> counts) {
  return {std::move(shape), std::move(bits), std::move(counts)};
}

/// Counts around the window of each channel, and some of any size.
CountArray makeRandom(Random &random) {
  CountArray array;
  auto channels = uint64_t(draw(random, 1, 40));
  array.shape = {uint64_t(draw(random, 0, 3)), uint64_t(draw(random, 1, 5)),
                 channels};
  for (uint64_t channel = 0; channel < channels; ++channel)
    array.bits.push_back(uint8_t(draw(random, 0, 8)));
  for (uint64_t i = 0; i < array.rows() * channels; ++i) {
    int64_t reach = 1 << array.bits[i % channels];
    bool isAny = draw(random, 0, 9) == 0;
    array.counts.push_back(int16_t(isAny ? draw(random, -32768, 32767)
                                         : draw(random, -reach, reach)));
  }
  return array;
}

CountArray unpack(const std::vector<uint8_t> &bytes) {
  CountArray array;
  std::string error;
  EXPECT_TRUE(unpackCounts(bytes.data(), bytes.size(), array, error)) << error;
  return array;
}

std::string refuse(const std::vector<uint8_t> &bytes) {
  CountArray array;
  std::string error;
  EXPECT_FALSE(unpackCounts(bytes.data(), bytes.size(), array, error));
  return error;
}

void expectRoundTrip(const CountArray &array) {
  CountArray back = unpack(packCounts(array));
  EXPECT_EQ(back.shape, array.shape);
  EXPECT_EQ(back.bits, array.bits);
  EXPECT_EQ(back.counts, array.counts);
}

size_t headerBytes(const CountArray &array) {
  return 16 + 8 * array.shape.size() + 16 + array.bits.size();
}

TEST(PackedCounts, roundTripRandom) {
  Random random(1);
  for (int round = 0; round < 2000; ++round)
    expectRoundTrip(makeRandom(random));
}

TEST(PackedCounts, roundTripEveryCountInEveryWindow) {
  CountArray array;
  array.shape = {65536, 9};
  for (uint8_t bits = 0; bits <= 8; ++bits)
    array.bits.push_back(bits);
  for (int32_t count = -32768; count <= 32767; ++count)
    array.counts.insert(array.counts.end(), 9, int16_t(count));
  expectRoundTrip(array);
}

TEST(PackedCounts, roundTripWithoutElements) {
  expectRoundTrip(makeArray({0, 3}, {1, 2, 3}, {}));
  expectRoundTrip(makeArray({4, 0}, {}, {}));
  expectRoundTrip(makeArray({1}, {0}, {7}));
}

// Channels of 3, 2, 1 and 0 bits; by hand: codes from the lowest bit up,
// -1 = 111, mark of 2 bits = 10, mark of 1 bit = 1: 1 10 111 = 0x37.
TEST(PackedCounts, bytesByHand) {
  CountArray array = makeArray({1, 4}, {3, 2, 1, 0}, {-1, 5, -2, 9});
  std::vector<uint8_t> bytes = packCounts(array);
  std::vector<uint8_t> body(bytes.begin() + ptrdiff_t(headerBytes(array)),
                            bytes.end());
  std::vector<uint8_t> expected = {0x37, 5, 0, 0xfe, 0xff,       // the row
                                   3,    0, 0, 0,    0,    0, 0, // its place
                                   0,    9, 0};
  EXPECT_EQ(body, expected);
}

/// By the formula of the design: b + 16 for every count outside its window.
TEST(PackedCounts, costIsStoredBits) {
  Random random(2);
  for (int round = 0; round < 300; ++round) {
    CountArray array = makeRandom(random);
    uint64_t bits = 0, woken = 0, padding = 0, perRow = 0;
    for (uint64_t i = 0; i < array.counts.size(); ++i) {
      unsigned b = array.bits[i % array.channels()];
      int window = b < 2 ? 0 : int(std::pow(2.0, b - 1)) - 1;
      bool isSalient = array.counts[i] > window || array.counts[i] < -window;
      bits += b + (isSalient ? 16 : 0);
      woken += b == 0 && isSalient;
    }
    for (uint8_t b : array.bits)
      perRow += b;
    padding = array.rows() * (perRow == 0 ? 8 : (8 - perRow % 8) % 8);
    EXPECT_EQ(costOfCounts(array).storedBits(), bits);
    EXPECT_EQ(packCounts(array).size() * 8,
              8 * headerBytes(array) + bits + padding + 64 * woken);
  }
}

TEST(PackedCounts, chosenBitsCostLeast) {
  Random random(3);
  for (int round = 0; round < 50; ++round) {
    CountArray array = makeRandom(random);
    auto size = [&] { return 8 * packCounts(array).size(); };
    array.bits =
        chooseCountBits(array.counts.data(), array.rows(), array.channels());
    size_t chosen = size();
    // Padding is all that another choice can save.
    for (uint64_t channel = 0; channel < array.channels(); ++channel) {
      uint8_t kept = array.bits[channel];
      for (uint8_t bits = 0; bits <= 8; ++bits) {
        array.bits[channel] = bits;
        EXPECT_GE(size() + 8 * array.rows(), chosen);
      }
      array.bits[channel] = kept;
    }
  }
}

TEST(PackedCounts, refusesEveryTruncation) {
  Random random(4);
  for (int round = 0; round < 40; ++round) {
    std::vector<uint8_t> bytes = packCounts(makeRandom(random));
    for (size_t size = 0; size < bytes.size(); ++size)
      refuse({bytes.begin(), bytes.begin() + ptrdiff_t(size)});
    bytes.push_back(0);
    refuse(bytes);
  }
}

// Whatever is read back is what those bytes pack: nothing is accepted that the
// writer does not write.
TEST(PackedCounts, flippedBitsAreRefusedOrMeanSomethingElse) {
  Random random(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<uint8_t> bytes = packCounts(makeRandom(random));
    auto place = size_t(draw(random, 0, int64_t(bytes.size()) - 1));
    bytes[place] ^= uint8_t(1 << draw(random, 0, 7));
    CountArray array;
    std::string error;
    if (unpackCounts(bytes.data(), bytes.size(), array, error))
      EXPECT_EQ(packCounts(array), bytes);
    else
      EXPECT_FALSE(error.empty());
  }
}

TEST(PackedCounts, refusesByName) {
  CountArray array = makeArray({1, 2}, {4, 0}, {3, 0});
  std::vector<uint8_t> good = packCounts(array);
  auto changed = [&](size_t place, uint8_t value) {
    std::vector<uint8_t> bytes = good;
    bytes[place] = value;
    return refuse(bytes);
  };
  EXPECT_NE(changed(0, 'X').find("SQCOUNTS"), std::string::npos);
  EXPECT_NE(changed(8, 2).find("version 1"), std::string::npos);
  EXPECT_NE(changed(12, 9).find("more than 8"), std::string::npos);
  EXPECT_NE(changed(22, 1).find("larger than 2^31"), std::string::npos);
  EXPECT_NE(changed(19, 0x7f).find("2^31"), std::string::npos);
  EXPECT_NE(changed(48, 9).find("8 bits"), std::string::npos);
  EXPECT_NE(changed(50, 0x13).find("not zero"), std::string::npos);
}

} // namespace
