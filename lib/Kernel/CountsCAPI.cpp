//===- CountsCAPI.cpp - packed counts for C and ctypes --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/CountsCAPI.h"

#include "spikequant/Kernel/PackedCounts.h"

#include <algorithm>
#include <memory>

using namespace spikequant;

// NOLINTNEXTLINE(readability-identifier-naming)
struct sq_counts {
  CountArray array;
  std::vector<uint8_t> bytes;
};

/// The number of counts, or -1 if the shape is none.
static int64_t countElements(int32_t rank, const int64_t *shape) {
  if (rank < 1 || rank > int32_t(maxPackedRank))
    return -1;
  uint64_t total = 1, bound = 1;
  for (int32_t axis = 0; axis < rank; ++axis) {
    if (shape[axis] < 0 || uint64_t(shape[axis]) > maxPackedCounts)
      return -1;
    total *= uint64_t(shape[axis]);
    bound *= std::max<uint64_t>(uint64_t(shape[axis]), 1);
    if (bound > maxPackedCounts)
      return -1;
  }
  return int64_t(total);
}

sq_counts *sq_counts_pack(const int16_t *counts, int32_t rank,
                          const int64_t *shape, const uint8_t *bits) {
  int64_t elements = countElements(rank, shape);
  if (elements < 0)
    return nullptr;
  auto result = std::make_unique<sq_counts>();
  CountArray &array = result->array;
  array.shape.assign(shape, shape + rank);
  array.counts.assign(counts, counts + elements);
  if (bits)
    array.bits.assign(bits, bits + array.channels());
  else
    array.bits = chooseCountBits(counts, elements == 0 ? 0 : array.rows(),
                                 array.channels());
  if (std::any_of(array.bits.begin(), array.bits.end(),
                  [](uint8_t b) { return b > 8; }))
    return nullptr;
  result->bytes = packCounts(array);
  return result.release();
}

sq_counts *sq_counts_unpack(const uint8_t *bytes, int64_t size,
                            const char **error) {
  static thread_local std::string reason;
  auto result = std::make_unique<sq_counts>();
  if (unpackCounts(bytes, size_t(size), result->array, reason))
    return result.release();
  *error = reason.c_str();
  return nullptr;
}

void sq_counts_destroy(sq_counts *array) { delete array; }

const uint8_t *sq_counts_bytes(const sq_counts *array, int64_t *size) {
  *size = int64_t(array->bytes.size());
  return array->bytes.empty() ? nullptr : array->bytes.data();
}

const int16_t *sq_counts_values(const sq_counts *array, int32_t *rank,
                                int64_t *shape) {
  const CountArray &counts = array->array;
  *rank = int32_t(counts.shape.size());
  std::copy(counts.shape.begin(), counts.shape.end(), shape);
  return counts.counts.data();
}
