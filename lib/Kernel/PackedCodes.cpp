//===- PackedCodes.cpp - layout of packed weight codes --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/PackedCodes.h"

#include <algorithm>
#include <iterator>

using namespace spikequant;

int64_t PackedLayout::lineOffset(int64_t tile, int64_t lineIndex,
                                 CodePlane plane) const {
  int64_t firstTile = tile / panelTiles * panelTiles;
  int64_t tilesInPanel = std::min(panelTiles, tiles() - firstTile);
  int64_t lines = firstTile * linesPerTile() + lineIndex * tilesInPanel;
  if (container == 8)
    return (lines + tile - firstTile) * lineBytes();
  return lines * lineBytes() + tilesInPanel * plane.bytesBefore() +
         (tile - firstTile) * plane.bytesPerTile();
}

bool PackedLayout::isValid() const {
  constexpr int64_t maxDimension = int64_t{1} << 31;
  constexpr int64_t maxElements = int64_t{1} << 40;
  if (n < 1 || k < 1 || n > maxDimension || k > maxDimension ||
      nPadded() * kPadded() > maxElements)
    return false;
  if (container < 2 || container > 8)
    return false;
  return group >= k || (group > 0 && group % kAlignment == 0);
}

/// Codes of the line `lineIndex` of output channel n.
static void unpackLine(const PackedCodes &matrix, int64_t n, int64_t lineIndex,
                       int32_t (&line)[PackedLayout::kAlignment]) {
  const PackedLayout &layout = matrix.layout;
  int64_t tile = n / PackedLayout::tileChannels;
  int64_t lane = n % PackedLayout::tileChannels;
  if (layout.container == 8) {
    int64_t offset = layout.lineOffset(tile, lineIndex, {}) + 4 * lane;
    std::copy_n(matrix.codes + offset, 4, line);
    return;
  }
  std::fill(std::begin(line), std::end(line), 0);
  for (CodePlane plane : CodePlanes(layout.container)) {
    const uint8_t *bytes = matrix.codes +
                           layout.lineOffset(tile, lineIndex, plane) +
                           plane.bits * lane;
    int32_t mask = (1 << plane.bits) - 1;
    for (int64_t j = 0; j < PackedLayout::kAlignment; ++j) {
      int32_t bit = plane.bitOf(j);
      line[j] |= (bytes[bit / 8] >> (bit % 8) & mask) << plane.shift;
    }
  }
}

int32_t PackedCodes::codeAt(int64_t n, int64_t k) const {
  int32_t line[PackedLayout::kAlignment];
  unpackLine(*this, n, k / layout.kPerLine(), line);
  return line[k % layout.kPerLine()];
}

int32_t PackedCodes::weightAt(int64_t n, int64_t k) const {
  int64_t index = layout.groupIndex(n, layout.groupOf(k));
  return multipliers[index] * codeAt(n, k) + offsets[index];
}

void PackedCodes::unpackRow(int64_t n, int32_t *row) const {
  int64_t perLine = layout.kPerLine();
  int32_t codes[PackedLayout::kAlignment];
  // Groups are multiples of a line, so (m, c) is constant along one.
  for (int64_t k0 = 0, line = 0; k0 < layout.k; k0 += perLine, ++line) {
    unpackLine(*this, n, line, codes);
    int64_t index = layout.groupIndex(n, layout.groupOf(k0));
    int32_t m = multipliers[index], c = offsets[index];
    for (int64_t j = 0, end = std::min(perLine, layout.k - k0); j < end; ++j)
      row[k0 + j] = m * codes[j] + c;
  }
}
