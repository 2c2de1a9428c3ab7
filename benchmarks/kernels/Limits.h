//===- Limits.h - what this processor can do --------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_BENCHMARKS_LIMITS_H
#define SPIKEQUANT_BENCHMARKS_LIMITS_H

#include <cstdint>

namespace spikequant {

/// Whether the processor has AVX-512 VNNI; else `runDotProducts` must not run.
bool hasDotProducts();

/// `rounds` times 16 independent vpdpbusd on registers: 16 * 64 multiplications
/// and as many additions each. Returns a value that depends on all.
int32_t runDotProducts(int64_t rounds);

/// Reads each of the `bytes` once in one stream, as wide as the target of this
/// file allows. Returns a value that depends on all. `bytes`: multiple of 512.
uint64_t readMemory(const uint8_t *memory, uint64_t bytes);

} // namespace spikequant

#endif // SPIKEQUANT_BENCHMARKS_LIMITS_H
