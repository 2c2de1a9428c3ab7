//===- FuzzGramFile.cpp - any bytes as a file of Gram matrices ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuzzSupport.h"

#include "spikequant/Calibration/GramMatrix.h"
#include "llvm/Support/xxhash.h"

using namespace spikequant;

/// Size and checksum are made right, or nothing behind them is reached.
static void repair(llvm::WritableMemoryBuffer &buffer) {
  constexpr size_t header = 64;
  uint64_t size = buffer.getBufferSize();
  if (size < header)
    return;
  std::memcpy(buffer.getBufferStart() + 32, &size, sizeof size);
  llvm::StringRef bytes(buffer.getBufferStart(), size);
  uint64_t checksum = llvm::xxh3_64bits(bytes.drop_front(header));
  std::memcpy(buffer.getBufferStart() + 40, &checksum, sizeof checksum);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto buffer = copyOf(data, size);
  repair(*buffer);
  auto file = GramFile::fromBuffer(std::move(buffer), "fuzz");
  if (isRefused(file))
    return 0;
  for (const GramFile::Site &site : file->getSites())
    touch(site.gram.sums);
  return 0;
}
