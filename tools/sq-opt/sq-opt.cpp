//===- sq-opt.cpp - the opt driver with SpikeQuant's passes ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Registration.h"
#include "spikequant/Energy/Passes.h"
#include "spikequant/Pipelines/Pipelines.h"
#include "spikequant/Tool/ToolMain.h"

#include "mlir/IR/DialectRegistry.h"
#include "mlir/InitAllPasses.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::spikequant::handleFatalErrors("sq-opt");
  mlir::DialectRegistry registry;
  mlir::spikequant::registerSpikeQuantDialects(registry);
  mlir::registerAllPasses();
  mlir::spikequant::registerSpikeQuantTransformsPasses();
  mlir::spikequant::registerSpikeQuantCodegenPasses();
  mlir::spikequant::registerSpikeQuantConversionPasses();
  mlir::spikequant::registerSpikeQuantEnergyPasses();
  mlir::spikequant::registerLoweringPipelines();
  return mlir::asMainReturnCode(
      mlir::MlirOptMain(argc, argv, "SpikeQuant optimiser driver\n", registry));
}
