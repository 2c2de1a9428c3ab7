//===- sq-lsp-server.cpp - the language server for editors ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Registration.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Support/LLVM.h"
#include "mlir/Tools/mlir-lsp-server/MlirLspServerMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::spikequant::registerSpikeQuantDialects(registry);
  return mlir::failed(mlir::MlirLspServerMain(argc, argv, registry));
}
