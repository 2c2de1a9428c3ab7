//===- OutputFolder.cpp - a folder that appears when it is complete ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/OutputFolder.h"
#include "spikequant/Support/OutputFile.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/raw_ostream.h"

#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace llvm;

namespace mlir::spikequant {

static bool isEmptyFolder(StringRef path) {
  std::error_code code;
  return sys::fs::is_directory(path) &&
         sys::fs::directory_iterator(path, code) ==
             sys::fs::directory_iterator();
}

/// What a signal handler may read.
static char interruptedPath[4096];

/// Removes the files of an open folder. Only system calls: a signal handler may
/// not allocate, as opendir does.
static void unlinkFiles(int folder) {
  alignas(dirent64) char entries[4096];
  long size = 0;
  while ((size = syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0)
    for (long at = 0; at < size;) {
      auto *entry = reinterpret_cast<dirent64 *>(entries + at);
      unlinkat(folder, entry->d_name, 0);
      at += entry->d_reclen;
    }
}

/// Called by LLVM's signal handler. Other threads still write for a moment, so
/// one pass over the files may not be enough.
static void removeInterruptedFolder() {
  constexpr int mostTries = 100;
  for (int i = 0; i < mostTries && rmdir(interruptedPath) != 0; ++i) {
    int folder = open(interruptedPath, O_RDONLY | O_DIRECTORY);
    if (folder < 0)
      break;
    unlinkFiles(folder);
    close(folder);
    usleep(1000);
  }
  _exit(130);
}

static void removeOnSignal(StringRef path) {
  if (path.size() >= sizeof interruptedPath)
    return;
  std::memcpy(interruptedPath, path.data(), path.size());
  interruptedPath[path.size()] = 0;
  sys::SetInterruptFunction(removeInterruptedFolder);
}

/// Nothing that somebody else made is ever replaced.
static Error checkTarget(StringRef target, StringRef marker) {
  SmallString<256> inside(target);
  sys::path::append(inside, marker);
  if (!sys::fs::exists(target) || sys::fs::exists(inside) ||
      isEmptyFolder(target))
    return Error::success();
  return createStringError("'" + target +
                           "' exists and is no compiled model; choose another "
                           "folder");
}

Expected<std::unique_ptr<OutputFolder>> OutputFolder::create(StringRef target,
                                                             StringRef marker) {
  target = target.rtrim('/');
  if (target.empty())
    return createStringError("the name of the output folder is empty");
  if (Error failure = checkTarget(target, marker))
    return std::move(failure);
  SmallString<256> path;
  sys::fs::createUniquePath(target + ".%%%%%%%%.tmp", path,
                            /*MakeAbsolute=*/false);
  if (std::error_code code = sys::fs::create_directories(
          path, /*IgnoreExisting=*/false, sys::fs::all_all))
    return createStringError(code,
                             "cannot create '" + path + "': " + code.message());
  removeOnSignal(path);
  return std::unique_ptr<OutputFolder>(
      new OutputFolder(target.str(), path.str().str()));
}

OutputFolder::~OutputFolder() {
  if (!path.empty())
    sys::fs::remove_directories(path);
}

std::string OutputFolder::file(StringRef name) const {
  SmallString<256> full(path);
  sys::path::append(full, name);
  sys::RemoveFileOnSignal(full);
  return full.str().str();
}

Error OutputFolder::write(StringRef name, StringRef text) const {
  return ::spikequant::writeOutputFile(file(name),
                                       [&](raw_ostream &out) { out << text; });
}

Error OutputFolder::commit() {
  std::string old = path + ".old";
  bool replaces = sys::fs::exists(target);
  if (replaces)
    if (std::error_code code = sys::fs::rename(target, old))
      return createStringError(code, "cannot replace '" + target + "'");
  if (std::error_code code = sys::fs::rename(path, target)) {
    if (replaces)
      sys::fs::rename(old, target);
    return createStringError(code, "cannot write '" + target + "'");
  }
  path.clear();
  if (replaces)
    sys::fs::remove_directories(old);
  return Error::success();
}

} // namespace mlir::spikequant
