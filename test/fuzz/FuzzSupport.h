//===- FuzzSupport.h - what the fuzz targets share --------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_FUZZ_FUZZSUPPORT_H
#define SPIKEQUANT_TEST_FUZZ_FUZZSUPPORT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstring>

/// A copy of exactly that size, so that a read behind its end is seen.
inline std::unique_ptr<llvm::WritableMemoryBuffer> copyOf(const uint8_t *data,
                                                          size_t size) {
  auto buffer = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(
      size, "fuzz", llvm::Align(64));
  std::memcpy(buffer->getBufferStart(), data, size);
  return buffer;
}

/// An error is a good answer, if it says something.
template <typename T> bool isRefused(llvm::Expected<T> &answer) {
  if (answer)
    return false;
  if (llvm::toString(answer.takeError()).empty())
    __builtin_trap();
  return true;
}

/// Reads every element.
template <typename T> void touch(llvm::ArrayRef<T> values) {
  volatile T sink;
  for (const T &value : values)
    sink = value;
  (void)sink;
}

#endif // SPIKEQUANT_TEST_FUZZ_FUZZSUPPORT_H
