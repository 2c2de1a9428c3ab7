//===- Integrate.cpp - spike counts to membranes --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Integrate.h"

#include <algorithm>
#include <cstdlib>

int64_t spikequant::integrateRow(const int16_t *counts, const int32_t *weights,
                                 int64_t k) {
  int64_t acc = 0;
  for (int64_t j = 0; j < k; ++j)
    acc += static_cast<int64_t>(weights[j]) * counts[j];
  return acc;
}

int64_t spikequant::integrateRowPlanes(const int16_t *counts,
                                       const int32_t *weights, int64_t k) {
  uint32_t largest = 0;
  for (int64_t j = 0; j < k; ++j)
    largest = std::max<uint32_t>(largest, std::abs(int32_t(counts[j])));
  uint32_t plane = 1;
  while (plane <= largest / 2)
    plane <<= 1;
  int64_t acc = 0;
  for (; plane; plane >>= 1) {
    acc += acc;
    for (int64_t j = 0; j < k; ++j) {
      if (!(std::abs(int32_t(counts[j])) & plane))
        continue;
      if (counts[j] < 0)
        acc -= weights[j];
      else
        acc += weights[j];
    }
  }
  return acc;
}

bool spikequant::denseFitsI32(int64_t maxRowSum) {
  constexpr int64_t limit = int64_t{1} << 31;
  return maxRowSum <= (limit - 1) / 127;
}
