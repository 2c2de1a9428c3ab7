//===- FuzzPackedCounts.cpp - any bytes as packed counts ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/PackedCounts.h"

#include <cstdlib>

using namespace spikequant;

/// What is accepted is what the writer writes for those counts.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  CountArray array;
  std::string error;
  if (!unpackCounts(data, size, array, error))
    return 0;
  if (packCounts(array) != std::vector<uint8_t>(data, data + size))
    abort();
  return 0;
}
