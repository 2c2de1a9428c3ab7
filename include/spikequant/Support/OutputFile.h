//===- OutputFile.h - files that appear when they are complete --*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_SUPPORT_OUTPUTFILE_H
#define SPIKEQUANT_SUPPORT_OUTPUTFILE_H

#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

namespace spikequant {

/// Writes a file as a whole or not at all; devices and pipes are written to,
/// never replaced. Errors name the path and the reason. (llvm::writeToOutput
/// ends the process when the disk is full.)
llvm::Error
writeOutputFile(llvm::StringRef path,
                llvm::function_ref<void(llvm::raw_ostream &)> write);

} // namespace spikequant

#endif // SPIKEQUANT_SUPPORT_OUTPUTFILE_H
