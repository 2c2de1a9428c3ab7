//===- Decode.cpp - integers back to real values --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Decode.h"

float spikequant::decodeScale(float stepIn, float weightScale) {
  return stepIn * weightScale;
}

float spikequant::decodeValue(int64_t acc, float stepIn, float weightScale) {
  return static_cast<float>(acc) * decodeScale(stepIn, weightScale);
}

float spikequant::lookupValue(int32_t weight, float weightScale) {
  return static_cast<float>(weight) * weightScale;
}
