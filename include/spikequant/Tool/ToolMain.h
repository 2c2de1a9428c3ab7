//===- ToolMain.h - what every tool does around its job ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TOOL_TOOLMAIN_H
#define SPIKEQUANT_TOOL_TOOLMAIN_H

#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"

namespace mlir::spikequant {

/// To be called first in `main`: makes LLVM's fatal errors (a full disk, say)
/// messages "NAME: error: ..", after which files that are not complete are
/// removed and the process ends with 1. `name` must live as long.
void handleFatalErrors(const char *name);

/// Does `job` in a context that knows every dialect and how to translate it to
/// LLVM IR. Diagnostics go to standard error with file and line, the job's
/// error after "NAME: error: ". Returns the exit code: 0, or 1 after an error.
int runToolMain(const char *name,
                llvm::function_ref<llvm::Error(MLIRContext &)> job);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_TOOL_TOOLMAIN_H
