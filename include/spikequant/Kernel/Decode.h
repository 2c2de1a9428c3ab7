//===- Decode.h - integers back to real values ------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The definition of `decode` and of `lookup`: the two ways from integers back
/// to real numbers. Each conversion and product is one f32 rounding to nearest
/// even.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_DECODE_H
#define SPIKEQUANT_KERNEL_DECODE_H

#include <cstdint>

namespace spikequant {

/// d_o = f32(stepIn * weightScale): real units per unit of membrane. Computed
/// at compile time by the lowerings.
float decodeScale(float stepIn, float weightScale);

/// y = f32(f32(acc) * d_o), any i64 `acc`. A bias is a separate f32 addition.
float decodeValue(int64_t acc, float stepIn, float weightScale);

/// y = f32(W * weightScale) for one integer weight (|W| < 2^24, so that its
/// conversion to f32 is exact).
float lookupValue(int32_t weight, float weightScale);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_DECODE_H
