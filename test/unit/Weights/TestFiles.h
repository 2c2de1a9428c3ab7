//===- TestFiles.h - files in memory and on disk for tests ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_WEIGHTS_TESTFILES_H
#define SPIKEQUANT_TEST_UNIT_WEIGHTS_TESTFILES_H

#include "TemporaryDirectory.h"

#include "llvm/Support/Endian.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

#include <memory>
#include <string>

namespace spikequant::test {

inline std::string readBytes(const std::string &path) {
  return llvm::cantFail(llvm::errorOrToExpected(
                            llvm::MemoryBuffer::getFile(path, false, false)))
      ->getBuffer()
      .str();
}

inline void writeBytes(const std::string &path, llvm::StringRef bytes) {
  std::error_code code;
  llvm::raw_fd_ostream(path, code) << bytes;
}

/// A copy at a 64-byte boundary, as a memory map has it.
inline std::unique_ptr<llvm::MemoryBuffer> inMemory(llvm::StringRef bytes) {
  auto buffer = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(
      bytes.size(), "test", llvm::Align(64));
  std::copy(bytes.begin(), bytes.end(), buffer->getBufferStart());
  return buffer;
}

inline std::string safetensors(llvm::StringRef header, llvm::StringRef data) {
  std::string bytes(8, '\0');
  llvm::support::endian::write64le(bytes.data(), header.size());
  return bytes + header.str() + data.str();
}

} // namespace spikequant::test

#endif // SPIKEQUANT_TEST_UNIT_WEIGHTS_TESTFILES_H
