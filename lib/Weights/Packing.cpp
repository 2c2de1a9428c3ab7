//===- Packing.cpp - rounded weights in their final layout ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/Packing.h"

#include <algorithm>
#include <cstdlib>

using namespace spikequant;

static void computeBounds(const RoundedMatrix &matrix, PackedMatrix &bounds) {
  bounds.columnMax.assign(matrix.k, 0);
  PackedLayout layout = matrix.layout();
  for (int64_t o = 0; o < matrix.n; ++o) {
    int64_t rowSum = 0;
    for (int64_t g = 0; g < layout.groups(); ++g) {
      int64_t first = g * layout.group;
      int64_t last = std::min(matrix.k, first + layout.group);
      int32_t m = matrix.multipliers[o * layout.groups() + g];
      int32_t c = matrix.offsets[o * layout.groups() + g];
      const uint8_t *row = matrix.codes.data() + o * matrix.k;
      for (int64_t j = first; j < last; ++j) {
        int32_t magnitude = std::abs(m * row[j] + c);
        rowSum += magnitude;
        bounds.columnMax[j] = std::max(bounds.columnMax[j], magnitude);
      }
    }
    bounds.maxRowSum = std::max(bounds.maxRowSum, rowSum);
  }
}

/// Places one plane of `count` (1..8) codes of one output channel.
static void packPlane(CodePlane plane, const uint8_t *codes, int64_t count,
                      uint8_t *bytes) {
  int32_t mask = (1 << plane.bits) - 1;
  for (int64_t j = 0; j < count; ++j) {
    int32_t bit = plane.bitOf(j);
    bytes[bit / 8] |= (codes[j] >> plane.shift & mask) << (bit % 8);
  }
}

/// Places one output channel's codes; everything else stays 0.
static void packRow(const PackedLayout &layout, int64_t o, const uint8_t *row,
                    uint8_t *packed) {
  int64_t perLine = layout.kPerLine();
  int64_t tile = o / PackedLayout::tileChannels;
  int64_t lane = o % PackedLayout::tileChannels;
  for (int64_t line = 0, k0 = 0; k0 < layout.k; ++line, k0 += perLine) {
    int64_t count = std::min(perLine, layout.k - k0);
    if (layout.container == 8) {
      std::copy_n(row + k0, count,
                  packed + layout.lineOffset(tile, line, {}) + 4 * lane);
      continue;
    }
    for (CodePlane plane : CodePlanes(layout.container))
      packPlane(plane, row + k0, count,
                packed + layout.lineOffset(tile, line, plane) +
                    plane.bits * lane);
  }
}

/// Places m and c of all groups of one output channel.
static void packGroups(const RoundedMatrix &matrix, const PackedLayout &layout,
                       int64_t o, uint8_t *packed) {
  for (int64_t g = 0; g < layout.groups(); ++g) {
    bool padding = o >= matrix.n;
    int64_t index = o * layout.groups() + g;
    packed[layout.multiplierOffset(o, g)] =
        padding ? 1 : matrix.multipliers[index];
    uint8_t *offset = packed + layout.offsetOffset(o, g);
    if (padding)
      continue;
    if (layout.offsetBits == 8) {
      *offset = matrix.zeroPoints[index];
      continue;
    }
    offset[0] = static_cast<uint8_t>(matrix.offsets[index]);
    offset[1] = static_cast<uint8_t>(matrix.offsets[index] >> 8);
  }
}

static std::vector<uint8_t> packCodes(const RoundedMatrix &matrix) {
  PackedLayout layout = matrix.layout();
  std::vector<uint8_t> packed(layout.codesBytes(), 0);
  for (int64_t o = 0; o < matrix.n; ++o)
    packRow(layout, o, matrix.codes.data() + o * matrix.k, packed.data());
  for (int64_t o = 0; o < layout.nPadded(); ++o)
    packGroups(matrix, layout, o, packed.data());
  return packed;
}

PackedMatrix spikequant::packMatrix(const RoundedMatrix &matrix) {
  PackedMatrix packed;
  packed.layout = matrix.layout();
  packed.codes = packCodes(matrix);
  packed.scales = matrix.scales;
  packed.scales.resize(packed.layout.nPadded(), 1.0f);
  computeBounds(matrix, packed);
  return packed;
}

template <typename T>
static void concatenate(std::vector<T> &to, const std::vector<T> &more) {
  to.insert(to.end(), more.begin(), more.end());
}

void PackedMatrix::append(PackedMatrix matrix) {
  if (codes.empty()) {
    *this = std::move(matrix);
    return;
  }
  concatenate(codes, matrix.codes);
  concatenate(scales, matrix.scales);
  for (size_t j = 0; j < columnMax.size(); ++j)
    columnMax[j] = std::max(columnMax[j], matrix.columnMax[j]);
  maxRowSum = std::max(maxRowSum, matrix.maxRowSum);
}
