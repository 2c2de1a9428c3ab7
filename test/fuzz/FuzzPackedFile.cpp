//===- FuzzPackedFile.cpp - any bytes as a packed weights file ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuzzSupport.h"

#include "spikequant/Weights/PackedFile.h"

using namespace spikequant;

/// The first and the last weight.
static void touchCorners(const PackedFile &file, const PackedEntry &entry) {
  if (entry.layout.n == 0 || entry.layout.k == 0)
    return;
  PackedCodes codes = file.codes(entry);
  volatile int64_t sink = codes.weightAt(0, 0);
  sink = codes.weightAt(entry.layout.n - 1, entry.layout.k - 1);
  (void)sink;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // The size in the header is made right, or nothing behind it is reached.
  auto buffer = copyOf(data, size);
  uint64_t bytes = size;
  if (size >= 40)
    std::memcpy(buffer->getBufferStart() + 32, &bytes, sizeof bytes);
  auto file = PackedFile::fromBuffer(std::move(buffer), false);
  if (isRefused(file))
    return 0;
  for (const std::string &key : file->keys()) {
    const PackedEntry &entry = *file->find(key);
    for (auto [blob, expected] : entry.blobsAndSizes())
      touch(file->bytes(blob));
    if (entry.kind != PackedEntry::Kind::Codes)
      continue;
    touchCorners(*file, entry);
    touch(file->scales(entry));
    touch(file->columnMax(entry));
  }
  return 0;
}
