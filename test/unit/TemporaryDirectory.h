//===- TemporaryDirectory.h - a directory for one test ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_TEMPORARYDIRECTORY_H
#define SPIKEQUANT_TEST_UNIT_TEMPORARYDIRECTORY_H

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <string>

namespace spikequant::test {

/// A directory that vanishes with the object.
class TemporaryDirectory {
public:
  TemporaryDirectory() {
    if (llvm::sys::fs::createUniqueDirectory("spikequant-test", directory))
      llvm::report_fatal_error("cannot create a temporary directory");
  }
  ~TemporaryDirectory() { llvm::sys::fs::remove_directories(directory); }
  std::string path(llvm::StringRef name) const {
    llvm::SmallString<128> result = directory;
    llvm::sys::path::append(result, name);
    return result.str().str();
  }
  int files() const {
    std::error_code code;
    int count = 0;
    for (llvm::sys::fs::directory_iterator it(directory, code), end;
         it != end && !code; it.increment(code))
      ++count;
    return count;
  }

private:
  llvm::SmallString<128> directory;
};

} // namespace spikequant::test

#endif // SPIKEQUANT_TEST_UNIT_TEMPORARYDIRECTORY_H
