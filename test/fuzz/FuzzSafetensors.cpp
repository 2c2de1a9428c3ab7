//===- FuzzSafetensors.cpp - any bytes as a safetensors file --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuzzSupport.h"

#include "spikequant/Weights/Safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto file = spikequant::SafetensorsFile::fromBuffer(copyOf(data, size));
  if (isRefused(file))
    return 0;
  for (const std::string &name : file->names()) {
    touch(file->bytes(*file->find(name)));
    auto tensor = file->tensorF32(name);
    if (!isRefused(tensor))
      touch(tensor->values());
  }
  return 0;
}
