//===- PackedCounts.h - counts in the bits of their windows -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Counts [rows, channels] in b_j bits per channel (docs/PackedCounts.md). A
/// window of b bits holds -(2^(b-1) - 1) .. 2^(b-1) - 1 in two's complement;
/// the code that is left, -2^(b-1), marks a count outside, which follows behind
/// its row, whole. Every i16 count comes back exactly, whatever the windows.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_PACKEDCOUNTS_H
#define SPIKEQUANT_KERNEL_PACKEDCOUNTS_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace spikequant {

/// An array of counts in memory: the last dimension of `shape` is the channels.
struct CountArray {
  std::vector<uint64_t> shape;
  std::vector<uint8_t> bits;   ///< Per channel, 0..8.
  std::vector<int16_t> counts; ///< Row-major.

  uint64_t channels() const { return shape.empty() ? 0 : shape.back(); }
  /// Product of all dimensions but the last.
  uint64_t rows() const;
};

/// What counts take, in bits.
struct PackedCountsCost {
  uint64_t windowBits = 0; ///< rows * sum of b_j
  uint64_t escaped = 0;    ///< counts outside the window of a channel, b_j >= 1
  uint64_t woken = 0;      ///< counts other than 0 of channels with b_j = 0

  /// Sum of b + 16 [outside the window]: `stored_bits` times the values.
  uint64_t storedBits() const { return windowBits + 16 * (escaped + woken); }
};

/// Cost of packing, without padding, header and the places of woken counts.
PackedCountsCost costOfCounts(const CountArray &array);

/// The bits per channel that cost least for these counts; the smaller ones of
/// equals.
std::vector<uint8_t> chooseCountBits(const int16_t *counts, uint64_t rows,
                                     uint64_t channels);

/// At most so many counts, and so many dimensions.
constexpr uint64_t maxPackedCounts = uint64_t(1) << 31;
constexpr size_t maxPackedRank = 8;

/// The packed array. Requires: 1 to 8 dimensions, at most 2^31 counts, as many
/// counts and bits as the shape says, bits 0 to 8.
std::vector<uint8_t> packCounts(const CountArray &array);

/// Whether the bytes begin as a packed array does.
bool isPackedCounts(const uint8_t *bytes, size_t size);

/// Reads a packed array into `array`. False, with the reason in `error`, for
/// bytes that are not one; `array` is then of no use.
bool unpackCounts(const uint8_t *bytes, size_t size, CountArray &array,
                  std::string &error);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_PACKEDCOUNTS_H
