//===- SpecialValues.cpp - NaN and infinity in weights --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/SpecialValues.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"

#include <cmath>

using namespace llvm;
using namespace spikequant;

/// `infinity`: its bits. A NaN's are larger, but for the sign.
template <typename Bits>
static std::optional<size_t> findAbove(ArrayRef<uint8_t> bytes, Bits infinity) {
  constexpr Bits magnitude = static_cast<Bits>(~Bits(0)) >> 1;
  for (size_t i = 0; i < bytes.size() / sizeof(Bits); ++i) {
    Bits value = support::endian::read<Bits, llvm::endianness::little>(
        bytes.data() + i * sizeof(Bits));
    if ((value & magnitude) > infinity)
      return i;
  }
  return std::nullopt;
}

std::optional<size_t> spikequant::findNaN(StringRef type,
                                          ArrayRef<uint8_t> bytes) {
  if (type == "f32")
    return findAbove<uint32_t>(bytes, 0x7f800000);
  if (type == "f16")
    return findAbove<uint16_t>(bytes, 0x7c00);
  if (type == "bf16")
    return findAbove<uint16_t>(bytes, 0x7f80);
  if (type == "f64")
    return findAbove<uint64_t>(bytes, 0x7ff0000000000000);
  return std::nullopt;
}

std::optional<size_t> spikequant::findNonFinite(ArrayRef<float> values) {
  const float *found =
      llvm::find_if(values, [](float value) { return !std::isfinite(value); });
  if (found == values.end())
    return std::nullopt;
  return found - values.begin();
}

std::string spikequant::describeIndex(size_t position,
                                      ArrayRef<int64_t> shape) {
  std::string text;
  for (int64_t extent : llvm::reverse(shape)) {
    text =
        std::to_string(position % extent) + (text.empty() ? "" : ", ") + text;
    position /= extent;
  }
  return "[" + text + "]";
}
