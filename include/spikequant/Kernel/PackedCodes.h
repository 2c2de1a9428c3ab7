//===- PackedCodes.h - layout of packed weight codes ------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Where each weight of a packed matrix [N output channels, K input channels]
/// lies (docs/PackedWeights.md). The unit is a line: the weights of one tile
/// (16 output channels) for `kPerLine` successive input channels. Container 8
/// (layout n16k4) holds one code per byte, four channels per line. The others
/// (n16k8) hold eight channels, their codes split into planes of 4, 2 and 1
/// bits. Up to four tiles make a panel, ordered along K: the multipliers and
/// offsets of a group of input channels, then its lines, then the next group.
/// So whoever multiplies reads one stream. At each step along K lie the first
/// planes of all of the panel's tiles, then the second ones.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_PACKEDCODES_H
#define SPIKEQUANT_KERNEL_PACKEDCODES_H

#include <cstdint>
#include <initializer_list>

namespace spikequant {

/// Some bits of every code of a line of eight input channels. A tile's line has
/// 16 bytes per bit; output channel o has bytes o * bits and following of them:
///   4 bits: byte j is the part of channel j, and above it that of channel 4+j;
///   2 bits: channel j at bit 8 (j & 1) + 4 (j / 2 & 1) + 2 (j / 4) of 16;
///   1 bit: channel j at bit j.
/// So a shift and a mask give the operand of a dot product over four channels.
struct CodePlane {
  int32_t bits = 0;  ///< 4, 2 or 1.
  int32_t shift = 0; ///< Of its lowest bit within the code.

  int64_t bytesPerTile() const { return 16 * bits; }
  /// Bytes per tile of the planes before it.
  int64_t bytesBefore() const { return 16 * shift; }
  /// Where, within an output channel's bytes, channel j (0..7) begins.
  int32_t bitOf(int64_t j) const {
    return static_cast<int32_t>(bits == 4   ? 8 * (j % 4) + j / 4 * 4
                                : bits == 2 ? 8 * (j & 1) + 4 * (j / 2 & 1) +
                                                  2 * (j / 4)
                                            : j);
  }
};

/// The planes of containers 2 to 7, least significant first.
class CodePlanes {
public:
  explicit CodePlanes(int32_t container) {
    int32_t shift = 0;
    for (int32_t bits : {4, 2, 1})
      if (container & bits) {
        planes[count++] = {bits, shift};
        shift += bits;
      }
  }
  const CodePlane *begin() const { return planes; }
  const CodePlane *end() const { return planes + count; }

private:
  CodePlane planes[3];
  int32_t count = 0;
};

/// Sizes and addresses, in elements and bytes, of one packed matrix.
struct PackedLayout {
  static constexpr int64_t tileChannels = 16;
  static constexpr int64_t panelTiles = 4;
  static constexpr int64_t kAlignment = 8;

  int64_t n = 0;     ///< Output channels, >= 1.
  int64_t k = 0;     ///< Input channels, >= 1.
  int64_t group = 0; ///< Input channels per (m, c): a multiple of 8 or >= k.
  int32_t container = 4; ///< Bits that a code occupies: 2 to 8.
  /// 16: offsets c are stored as they are (i16). 8: as zero points z, the place
  /// of 0 in steps of 2^(container - 8) of a code; c = -(m z in code steps,
  /// rounded): see zeroShift().
  int32_t offsetBits = 16;

  int64_t tiles() const { return (n + tileChannels - 1) / tileChannels; }
  int64_t nPadded() const { return tiles() * tileChannels; }
  int64_t kPadded() const {
    return (k + kAlignment - 1) / kAlignment * kAlignment;
  }
  int64_t kPerLine() const { return container == 8 ? 4 : 8; }
  int64_t lineBytes() const { return container == 8 ? 64 : 16 * container; }
  int64_t linesPerTile() const { return kPadded() / kPerLine(); }
  int64_t groups() const { return group >= k ? 1 : (k + group - 1) / group; }
  int64_t groupOf(int64_t kIndex) const {
    return group >= k ? 0 : kIndex / group;
  }

  /// c = -((m z + zeroRounding()) >> zeroShift()).
  int32_t zeroShift() const { return 8 - container; }
  int32_t zeroRounding() const { return (1 << zeroShift()) >> 1; }
  int32_t offsetOf(int32_t m, int32_t z) const {
    return -((m * z + zeroRounding()) >> zeroShift());
  }

  /// Multipliers and offsets of one group and tile.
  int64_t groupBytes() const { return tileChannels * (1 + offsetBits / 8); }
  /// One tile's share of its panel.
  int64_t tileBytes() const {
    return groups() * groupBytes() + linesPerTile() * lineBytes();
  }
  int64_t codesBytes() const { return (tiles() * tileBytes() + 63) / 64 * 64; }
  int64_t scalesBytes() const { return nPadded() * 4; }
  int64_t columnMaxBytes() const { return k * 4; }

  /// Byte offset, within the codes, of `plane` of the line of `tile` that holds
  /// the input channels lineIndex * kPerLine() and following. Container 8: the
  /// plane is not looked at.
  int64_t lineOffset(int64_t tile, int64_t lineIndex, CodePlane plane) const;
  /// Byte offsets, within the codes, of the multiplier and of the offset (i16
  /// or u8) of an output channel, 0 .. nPadded() - 1, and a group.
  int64_t multiplierOffset(int64_t nIndex, int64_t groupNumber) const;
  int64_t offsetOffset(int64_t nIndex, int64_t groupNumber) const;

  /// True if the numbers describe a matrix whose sizes fit well within i64.
  bool isValid() const;
};

/// A packed matrix in memory. Does not own the memory.
struct PackedCodes {
  PackedLayout layout;
  const uint8_t *codes = nullptr; ///< layout.codesBytes() bytes.

  /// The code u of weight (n, k): 0 .. 2^container - 1.
  int32_t codeAt(int64_t n, int64_t k) const;
  int32_t multiplierAt(int64_t n, int64_t group) const;
  /// c, whatever its form.
  int32_t offsetAt(int64_t n, int64_t group) const;
  /// W = m u + c of weight (n, k). |W| <= 97793 whatever the bytes are.
  int32_t weightAt(int64_t n, int64_t k) const;
  /// Writes the K integer weights of output channel n to `row`.
  void unpackRow(int64_t n, int32_t *row) const;
};

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_PACKEDCODES_H
