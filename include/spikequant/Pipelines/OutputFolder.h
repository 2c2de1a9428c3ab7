//===- OutputFolder.h - a folder that appears complete --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_OUTPUTFOLDER_H
#define SPIKEQUANT_PIPELINES_OUTPUTFOLDER_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>

namespace mlir::spikequant {

/// Collects the files of a compiled model in a folder beside the target, which
/// vanishes with this object, or when a signal ends the process; `commit`
/// renames it to the target. One at a time.
class OutputFolder {
public:
  /// Errors: the target cannot be made, or exists and is something else than a
  /// compiled model (a folder with `marker` in it) or an empty folder.
  static llvm::Expected<std::unique_ptr<OutputFolder>>
  create(llvm::StringRef target, llvm::StringRef marker);
  ~OutputFolder();

  /// Path of a file of the folder.
  std::string file(llvm::StringRef name) const;
  llvm::Error write(llvm::StringRef name, llvm::StringRef text) const;
  /// Replaces the target by this folder.
  llvm::Error commit();

private:
  OutputFolder(std::string target, std::string path)
      : target(std::move(target)), path(std::move(path)) {}
  std::string target, path;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_OUTPUTFOLDER_H
