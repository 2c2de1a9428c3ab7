//===- Lowering.cpp - pass pipelines from linalg to LLVM ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/Passes.h"
#include "spikequant/Pipelines/Pipelines.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Func/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

namespace mlir::spikequant {

void buildFusionPipeline(OpPassManager &pm) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
  functions.addPass(createFuseElementwise());
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
}

void buildBufferizationPipeline(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createRematerializeDestinations());
  pm.addNestedPass<func::FuncOp>(createCarryInPlace());
  pm.addNestedPass<func::FuncOp>(createLimitLoops());
  pm.addPass(createBufferizeGraphs());
}

void buildKernelPipeline(OpPassManager &pm) {
  pm.addPass(createAddGraphContext());
  pm.addNestedPass<func::FuncOp>(createPlanArena());
  pm.addNestedPass<func::FuncOp>(createCSEPass());
  pm.addPass(createConvertSpikeQuantToVectorLoops());
  pm.addPass(createOutlineKernels());
  pm.addPass(func::createDuplicateFunctionEliminationPass());
  pm.addPass(createMergeKernels());
}

/// Memory addressing, control flow and arithmetic to the LLVM dialect.
static void addConversions(OpPassManager &pm) {
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createConvertVectorToSCFPass());
  functions.addPass(createSCFToControlFlowPass());
  functions.addPass(memref::createExpandStridedMetadataPass());
  functions.addPass(createLowerAffinePass());
  functions.addPass(createCSEPass());
  functions.addPass(createConvertVectorToLLVMPass());
  functions.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertMathToLibmPass());
  pm.addPass(createConvertToLLVMPass());
  // Functions are worked on in parallel.
  OpPassManager &code = pm.nest<LLVM::LLVMFuncOp>();
  code.addPass(createReconcileUnrealizedCastsPass());
  code.addPass(createCanonicalizerPass());
  code.addPass(createCSEPass());
}

void buildLLVMPipeline(OpPassManager &pm, const LoweringOptions &options) {
  pm.addNestedPass<func::FuncOp>(createConvertLinalgToVectorLoops());
  WorkshareOptions workshare;
  workshare.profile = options.profile;
  pm.addPass(createWorkshare(workshare));
  ConvertDot4ToLLVMOptions dot;
  dot.instructions = options.instructions;
  pm.addPass(createConvertDot4ToLLVM(dot));
  addConversions(pm);
  pm.addPass(createEraseMetadata());
}

void registerLoweringPipelines() {
  PassPipelineRegistration<LoweringOptions>(
      "spikequant-lower-to-llvm",
      "Tensors to the LLVM dialect: buffers, kernels, shared loops",
      [](OpPassManager &pm, const LoweringOptions &options) {
        buildBufferizationPipeline(pm);
        buildKernelPipeline(pm);
        buildLLVMPipeline(pm, options);
      });
}

} // namespace mlir::spikequant
