//===- MagnitudeDetail.h - bit patterns behind the histogram grid ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CALIBRATION_MAGNITUDEDETAIL_H
#define SPIKEQUANT_LIB_CALIBRATION_MAGNITUDEDETAIL_H

#include "spikequant/Calibration/Statistics.h"

#include "llvm/ADT/bit.h"

#include <algorithm>

namespace spikequant::magnitude {

constexpr uint32_t infinityBits = 0x7f800000;
constexpr unsigned droppedBits = 23 - subdivisionBits;

inline uint32_t absoluteBits(float value) {
  return llvm::bit_cast<uint32_t>(value) & 0x7fffffffu;
}

/// f32 pattern of 2^exponent, a normal number.
constexpr uint32_t powerBits(int exponent) {
  return uint32_t(exponent + 127) << 23;
}

/// The bin of a finite pattern: its exponent and top mantissa bits, shifted so
/// that 2^minExponent lands in the first grid bin, clamped to tiny and huge.
inline unsigned finiteBin(uint32_t bits) {
  constexpr int32_t base =
      int32_t(powerBits(minExponent) >> droppedBits) - int32_t(firstGridBin);
  int32_t bin = int32_t(bits >> droppedBits) - base;
  return unsigned(std::clamp<int32_t>(bin, tinyBin, hugeBin));
}

/// Where values of `bin` with the sign of `value` are counted: those of
/// negative values lie behind the others. Tiny ones and NaN have no sign.
inline unsigned slotOf(unsigned bin, float value) {
  bool negative = llvm::bit_cast<uint32_t>(value) >> 31;
  bool isSigned = bin != tinyBin && bin != nanBin;
  return bin + unsigned(negative && isSigned) * binCount;
}

} // namespace spikequant::magnitude

#endif // SPIKEQUANT_LIB_CALIBRATION_MAGNITUDEDETAIL_H
