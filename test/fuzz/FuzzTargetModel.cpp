//===- FuzzTargetModel.cpp - any text as a description of a chip ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuzzSupport.h"

#include "spikequant/Target/TargetModel.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto model = spikequant::parseTargetModel(
      {reinterpret_cast<const char *>(data), size}, "fuzz");
  isRefused(model);
  return 0;
}
