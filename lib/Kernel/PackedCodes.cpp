//===- PackedCodes.cpp - layout of packed weight codes --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/PackedCodes.h"

#include <algorithm>
#include <iterator>

using namespace spikequant;

namespace {
/// The panel of a tile.
struct PanelPlace {
  int64_t firstTile, tiles;

  PanelPlace(const PackedLayout &layout, int64_t tile)
      : firstTile(tile / PackedLayout::panelTiles * PackedLayout::panelTiles),
        tiles(std::min(PackedLayout::panelTiles, layout.tiles() - firstTile)) {}
};
} // namespace

int64_t PackedLayout::lineOffset(int64_t tile, int64_t lineIndex,
                                 CodePlane plane) const {
  PanelPlace panel(*this, tile);
  int64_t before = (groupOf(lineIndex * kPerLine()) + 1) * groupBytes() +
                   lineIndex * lineBytes();
  int64_t start = panel.firstTile * tileBytes() + panel.tiles * before;
  if (container == 8)
    return start + (tile - panel.firstTile) * lineBytes();
  return start + panel.tiles * plane.bytesBefore() +
         (tile - panel.firstTile) * plane.bytesPerTile();
}

int64_t PackedLayout::multiplierOffset(int64_t nIndex,
                                       int64_t groupNumber) const {
  PanelPlace panel(*this, nIndex / tileChannels);
  int64_t lines = group >= k ? 0 : groupNumber * group / kPerLine();
  int64_t before = groupNumber * groupBytes() + lines * lineBytes();
  return panel.firstTile * tileBytes() + panel.tiles * before + nIndex -
         panel.firstTile * tileChannels;
}

int64_t PackedLayout::offsetOffset(int64_t nIndex, int64_t groupNumber) const {
  PanelPlace panel(*this, nIndex / tileChannels);
  int64_t inPanel = nIndex - panel.firstTile * tileChannels;
  return multiplierOffset(nIndex, groupNumber) + panel.tiles * tileChannels +
         inPanel * (offsetBits / 8 - 1);
}

bool PackedLayout::isValid() const {
  constexpr int64_t maxDimension = int64_t{1} << 31;
  constexpr int64_t maxElements = int64_t{1} << 40;
  if (n < 1 || k < 1 || n > maxDimension || k > maxDimension ||
      nPadded() * kPadded() > maxElements)
    return false;
  if (container < 2 || container > 8 || (offsetBits != 8 && offsetBits != 16))
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

int32_t PackedCodes::multiplierAt(int64_t n, int64_t group) const {
  return codes[layout.multiplierOffset(n, group)];
}

int32_t PackedCodes::offsetAt(int64_t n, int64_t group) const {
  const uint8_t *stored = codes + layout.offsetOffset(n, group);
  if (layout.offsetBits == 8)
    return layout.offsetOf(multiplierAt(n, group), *stored);
  return static_cast<int16_t>(stored[0] | stored[1] << 8);
}

int32_t PackedCodes::weightAt(int64_t n, int64_t k) const {
  int64_t group = layout.groupOf(k);
  return multiplierAt(n, group) * codeAt(n, k) + offsetAt(n, group);
}

void PackedCodes::unpackRow(int64_t n, int32_t *row) const {
  int64_t perLine = layout.kPerLine();
  int32_t codes[PackedLayout::kAlignment];
  // Groups are multiples of a line, so (m, c) is constant along one.
  for (int64_t k0 = 0, line = 0; k0 < layout.k; k0 += perLine, ++line) {
    unpackLine(*this, n, line, codes);
    int64_t group = layout.groupOf(k0);
    int32_t m = multiplierAt(n, group), c = offsetAt(n, group);
    for (int64_t j = 0, end = std::min(perLine, layout.k - k0); j < end; ++j)
      row[k0 + j] = m * codes[j] + c;
  }
}
