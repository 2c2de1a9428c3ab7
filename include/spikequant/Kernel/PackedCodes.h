//===- PackedCodes.h - layout of packed weight codes ------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Where each weight of a packed matrix [N output channels, K input channels]
/// lies (docs/PackedWeights.md). The unit is a 64-byte line: the weights of one
/// tile (16 output channels) for `kPerLine` successive input channels, four
/// bytes per output channel. Container 4 (layout n16k8) holds two 4-bit codes
/// per byte, container 8 (layout n16k4) one code. Up to four tiles make a
/// panel; lines are ordered by panel, then line index along K, then tile.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_PACKEDCODES_H
#define SPIKEQUANT_KERNEL_PACKEDCODES_H

#include <cstdint>

namespace spikequant {

/// Sizes and addresses, in elements and bytes, of one packed matrix.
struct PackedLayout {
  static constexpr int64_t lineBytes = 64;
  static constexpr int64_t tileChannels = 16;
  static constexpr int64_t panelTiles = 4;
  static constexpr int64_t kAlignment = 8;

  int64_t n = 0;     ///< Output channels, >= 1.
  int64_t k = 0;     ///< Input channels, >= 1.
  int64_t group = 0; ///< Input channels per (m, c): a multiple of 8 or >= k.
  int32_t container = 4; ///< Bits that a code occupies: 4 or 8.

  int64_t tiles() const { return (n + tileChannels - 1) / tileChannels; }
  int64_t nPadded() const { return tiles() * tileChannels; }
  int64_t kPadded() const {
    return (k + kAlignment - 1) / kAlignment * kAlignment;
  }
  int64_t kPerLine() const { return container == 4 ? 8 : 4; }
  int64_t linesPerTile() const { return kPadded() / kPerLine(); }
  int64_t groups() const { return group >= k ? 1 : (k + group - 1) / group; }
  int64_t groupOf(int64_t kIndex) const {
    return group >= k ? 0 : kIndex / group;
  }

  int64_t codesBytes() const { return tiles() * linesPerTile() * lineBytes; }
  int64_t multipliersBytes() const { return nPadded() * groups(); }
  int64_t offsetsBytes() const { return nPadded() * groups() * 2; }
  int64_t scalesBytes() const { return nPadded() * 4; }
  int64_t columnMaxBytes() const { return k * 4; }

  /// Byte offset, within the codes, of the line of `tile` that holds the input
  /// channels lineIndex * kPerLine() and following.
  int64_t lineOffset(int64_t tile, int64_t lineIndex) const;
  /// Index, within multipliers or offsets (order [tile][group][16]).
  int64_t groupIndex(int64_t nIndex, int64_t groupNumber) const {
    return (nIndex / tileChannels * groups() + groupNumber) * tileChannels +
           nIndex % tileChannels;
  }

  /// True if the numbers describe a matrix whose sizes fit well within i64.
  bool isValid() const;
};

/// A packed matrix in memory. Does not own the memory.
struct PackedCodes {
  PackedLayout layout;
  const uint8_t *codes = nullptr;       ///< layout.codesBytes() bytes.
  const uint8_t *multipliers = nullptr; ///< m, 1..255, [tile][group][16].
  const int16_t *offsets = nullptr;     ///< c, [tile][group][16].

  /// The code u of weight (n, k): 0..15 or 0..255.
  int32_t codeAt(int64_t n, int64_t k) const;
  /// W = m u + c of weight (n, k). |W| <= 97793 whatever the bytes are.
  int32_t weightAt(int64_t n, int64_t k) const;
  /// Writes the K integer weights of output channel n to `row`.
  void unpackRow(int64_t n, int32_t *row) const;
};

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_PACKEDCODES_H
