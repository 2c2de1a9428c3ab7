//===- ToolMain.cpp - what every tool does around its job -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Tool/ToolMain.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Registration.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/Signals.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>
#include <signal.h>

using namespace llvm;

static void reportFatalError(void *name, const char *reason, bool) {
  errs() << static_cast<const char *>(name) << ": error: " << reason << "\n";
  sys::RunInterruptHandlers();
  std::exit(1);
}

void mlir::spikequant::handleFatalErrors(const char *name) {
  install_fatal_error_handler(reportFatalError, const_cast<char *>(name));
  // A file that may not grow is then an error of the write, as a full disk is.
  // Blocked, as LLVM installs a handler of its own later.
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGXFSZ);
  pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
}

int mlir::spikequant::runToolMain(const char *name,
                                  function_ref<Error(MLIRContext &)> job) {
  handleFatalErrors(name);
  DialectRegistry registry;
  registerSpikeQuantDialects(registry);
  registerAllToLLVMIRTranslations(registry);
  MLIRContext context(registry);
  context.printOpOnDiagnostic(false);
  SourceMgr sources;
  SourceMgrDiagnosticHandler diagnostics(sources, &context);
  if (Error failure = job(context)) {
    errs() << name << ": error: " << toString(std::move(failure)) << "\n";
    return 1;
  }
  return 0;
}
