//===- OutputFile.cpp - files that appear when they are complete ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Support/OutputFile.h"

#include "llvm/Support/FileSystem.h"

using namespace llvm;

static Error failedToWrite(StringRef path, const Twine &reason) {
  return createStringError("cannot write '" + path + "': " + reason);
}

/// A stream that still has its error when it dies ends the process.
static std::error_code finish(raw_fd_ostream &out) {
  out.flush();
  std::error_code code = out.error();
  out.clear_error();
  return code;
}

static std::error_code writeThrough(StringRef path,
                                    function_ref<void(raw_ostream &)> write) {
  std::error_code code;
  raw_fd_ostream out(path, code);
  if (code)
    return code;
  write(out);
  return finish(out);
}

Error spikequant::writeOutputFile(StringRef path,
                                  function_ref<void(raw_ostream &)> write) {
  if (sys::fs::exists(path) && !sys::fs::is_regular_file(path)) {
    std::error_code code = writeThrough(path, write);
    return code ? failedToWrite(path, code.message()) : Error::success();
  }
  Expected<sys::fs::TempFile> file = sys::fs::TempFile::create(
      path + ".%%%%%%%%.tmp", sys::fs::all_read | sys::fs::all_write);
  if (!file)
    return failedToWrite(path, toString(file.takeError()));
  std::error_code code;
  {
    raw_fd_ostream out(file->FD, /*shouldClose=*/false);
    write(out);
    code = finish(out);
  }
  if (code) {
    consumeError(file->discard());
    return failedToWrite(path, code.message());
  }
  // A failing `keep` removes the temporary file itself.
  if (Error failure = file->keep(path))
    return failedToWrite(path, toString(std::move(failure)));
  return Error::success();
}
