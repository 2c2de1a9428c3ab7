//===- FuzzCalibration.cpp - any text as a calibration file ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuzzSupport.h"

#include "spikequant/Calibration/Statistics.h"

using namespace spikequant;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  llvm::StringRef text(reinterpret_cast<const char *>(data), size);
  auto first = parseCalibration(text, "fuzz");
  if (isRefused(first))
    return 0;
  // What was taken can be added up, or says why not.
  auto second = parseCalibration(text, "fuzz");
  if (isRefused(second))
    __builtin_trap();
  llvm::consumeError(first->merge(*second));
  return 0;
}
