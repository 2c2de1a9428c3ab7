//===- GramKernel.h - exact products of integer panels ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CALIBRATION_GRAMKERNEL_H
#define SPIKEQUANT_LIB_CALIBRATION_GRAMKERNEL_H

#include <cstdint>

namespace spikequant::gram {

/// Channels of a panel: a block of rows is stored [panel][row][panelWidth].
constexpr uint64_t panelWidth = 32;
/// Channels of the left side that one call multiplies.
constexpr uint64_t stripWidth = 4;

/// out[a][b] = sum_r left[r * panelWidth + a] * right[r * panelWidth + b], for
/// stripWidth values of a and panelWidth of b. The values are integers with
/// all partial sums within +-2^53, so every order of additions, fused or not,
/// is exact.
void multiplyStrip(const double *left, const double *right, uint64_t rows,
                   double *out);

} // namespace spikequant::gram

#endif // SPIKEQUANT_LIB_CALIBRATION_GRAMKERNEL_H
