//===- Integrate.h - spike counts to membranes ------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The definition of `integrate`: acc_o = sum_j W_oj n_j. Exact, so that any
/// order, tiling or number of threads gives the same bits.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_INTEGRATE_H
#define SPIKEQUANT_KERNEL_INTEGRATE_H

#include <cstdint>

namespace spikequant {

/// sum_j weights[j] * counts[j] over `k` channels. Exact: |n| <= 2^15 and
/// |W| < 2^17 leave room for 2^31 channels.
int64_t integrateRow(const int16_t *counts, const int32_t *weights, int64_t k);

/// The same sum from spikes, with additions only: |n| as binary planes, one
/// spike per one, the highest plane first; counts below 0 are the spikes of a
/// second rail, whose weights are taken away. Before each plane the membrane is
/// added to itself.
int64_t integrateRowPlanes(const int16_t *counts, const int32_t *weights,
                           int64_t k);

/// The bound that makes 32-bit accumulation safe for counts that fit the int8
/// container: true if 127 * maxRowSum < 2^31, maxRowSum = max_o sum_j |W_oj|.
bool denseFitsI32(int64_t maxRowSum);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_INTEGRATE_H
