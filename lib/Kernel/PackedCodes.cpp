//===- PackedCodes.cpp - layout of packed weight codes --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/PackedCodes.h"

#include <algorithm>

using namespace spikequant;

int64_t PackedLayout::lineOffset(int64_t tile, int64_t lineIndex) const {
  int64_t firstTile = tile / panelTiles * panelTiles;
  int64_t tilesInPanel = std::min(panelTiles, tiles() - firstTile);
  int64_t line = firstTile * linesPerTile() + lineIndex * tilesInPanel +
                 (tile - firstTile);
  return line * lineBytes;
}

bool PackedLayout::isValid() const {
  constexpr int64_t maxDimension = int64_t{1} << 31;
  constexpr int64_t maxElements = int64_t{1} << 40;
  if (n < 1 || k < 1 || n > maxDimension || k > maxDimension ||
      nPadded() * kPadded() > maxElements)
    return false;
  if (container != 4 && container != 8)
    return false;
  return group >= k || (group > 0 && group % kAlignment == 0);
}

int32_t PackedCodes::codeAt(int64_t n, int64_t k) const {
  int64_t tile = n / PackedLayout::tileChannels;
  int64_t lane = n % PackedLayout::tileChannels;
  int64_t inLine = k % layout.kPerLine();
  const uint8_t *line = codes + layout.lineOffset(tile, k / layout.kPerLine());
  uint8_t byte = line[4 * lane + inLine % 4];
  if (layout.container == 8)
    return byte;
  return inLine < 4 ? byte & 15 : byte >> 4;
}

int32_t PackedCodes::weightAt(int64_t n, int64_t k) const {
  int64_t index = layout.groupIndex(n, layout.groupOf(k));
  return multipliers[index] * codeAt(n, k) + offsets[index];
}

void PackedCodes::unpackRow(int64_t n, int32_t *row) const {
  int64_t tile = n / PackedLayout::tileChannels;
  int64_t lane = n % PackedLayout::tileChannels;
  int64_t perLine = layout.kPerLine();
  // Groups are multiples of a line, so (m, c) is constant along one.
  for (int64_t k0 = 0, line = 0; k0 < layout.k; k0 += perLine, ++line) {
    const uint8_t *bytes = codes + layout.lineOffset(tile, line) + 4 * lane;
    int64_t index = layout.groupIndex(n, layout.groupOf(k0));
    int32_t m = multipliers[index], c = offsets[index];
    for (int64_t j = 0, end = std::min(perLine, layout.k - k0); j < end; ++j) {
      int32_t u = perLine == 4 ? bytes[j] : (bytes[j % 4] >> (j / 4 * 4)) & 15;
      row[k0 + j] = m * u + c;
    }
  }
}
