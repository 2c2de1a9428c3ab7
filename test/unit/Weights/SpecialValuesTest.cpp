//===- SpecialValuesTest.cpp - finding NaN and infinity -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/SpecialValues.h"

#include "gtest/gtest.h"

#include <cstring>
#include <limits>
#include <vector>

using namespace spikequant;

/// Little-endian bytes, written out by hand.
template <typename T>
static std::optional<size_t> find(const char *type, std::vector<T> bits) {
  std::vector<uint8_t> bytes;
  for (T value : bits)
    for (size_t i = 0; i < sizeof(T); ++i)
      bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
  return findNaN(type, bytes);
}

TEST(SpecialValues, InfinityIsNoNaNAndTheSignDoesNotMatter) {
  EXPECT_EQ(find<uint32_t>("f32", {0x7f800000, 0xff800000, 0x7fc00000}), 2u);
  EXPECT_EQ(find<uint32_t>("f32", {0x7f7fffff, 0xff800001}), 1u);
  EXPECT_EQ(find<uint16_t>("f16", {0x7c00, 0xfc00, 0xfc01}), 2u);
  EXPECT_EQ(find<uint16_t>("bf16", {0x7f80, 0xff80, 0x7fff}), 2u);
  EXPECT_EQ(find<uint64_t>("f64", {0x7ff0000000000000, 0xfff8000000000000}),
            1u);
}

TEST(SpecialValues, NothingIsFoundWhereNothingIs) {
  EXPECT_EQ(find<uint32_t>("f32", {0x7f800000, 0, 0x80000000}), std::nullopt);
  EXPECT_EQ(find<uint32_t>("i32", {0x7fffffff}), std::nullopt);
  EXPECT_EQ(find<uint16_t>("f16", {}), std::nullopt);
}

TEST(SpecialValues, NonFinite) {
  float infinity = std::numeric_limits<float>::infinity();
  float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(findNonFinite({0.0f, largest, -infinity}), 2u);
  EXPECT_EQ(findNonFinite({0.0f, std::numeric_limits<float>::quiet_NaN()}), 1u);
  EXPECT_EQ(findNonFinite({0.0f, -largest}), std::nullopt);
}

TEST(SpecialValues, IndexIsRowMajor) {
  EXPECT_EQ(describeIndex(83, {24, 40}), "[2, 3]");
  EXPECT_EQ(describeIndex(23, {2, 3, 4}), "[1, 2, 3]");
  EXPECT_EQ(describeIndex(0, {}), "[]");
}
