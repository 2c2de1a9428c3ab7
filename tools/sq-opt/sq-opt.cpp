//===- sq-opt.cpp - the opt driver with SpikeQuant's passes
//-------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  mlir::registerAllPasses();
  registry.insert<mlir::spikequant::SpikeQuantDialect>();
  mlir::spikequant::registerSpikeQuantTransformsPasses();
  mlir::spikequant::registerSpikeQuantCodegenPasses();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "SpikeQuant optimiser driver\n", registry));
}
