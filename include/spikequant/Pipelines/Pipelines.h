//===- Pipelines.h - the stages between linalg and LLVM ------- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_PIPELINES_H
#define SPIKEQUANT_PIPELINES_PIPELINES_H

#include "spikequant/Conversion/DotInstructions.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace mlir::spikequant {

struct LoweringOptions : PassPipelineOptions<LoweringOptions> {
  /// Of dot products; the target must have them. Not an option of the text
  /// form.
  DotInstructions instructions = DotInstructions::Portable;
  PassOptions::Option<bool> profile{
      *this, "profile", llvm::cl::init(false),
      llvm::cl::desc("Measure the time of each kernel")};
};

/// What every stage expects of a graph: helper functions inlined, elementwise
/// operations fused. Tensors in, tensors out.
void buildFusionPipeline(OpPassManager &pm);

/// Tensors to buffers: state in place, results to out arguments. The reference
/// program uses it too.
void buildBufferizationPipeline(OpPassManager &pm);

/// Buffers to kernels: the graph's context, one arena, one function per kernel
/// shape. Weights need their place in the packed file.
void buildKernelPipeline(OpPassManager &pm);

/// Kernels to vector loops, loops to shared loops, everything to LLVM.
void buildLLVMPipeline(OpPassManager &pm, const LoweringOptions &options);

/// `--spikequant-lower-to-llvm`: the last three in a row.
void registerLoweringPipelines();

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_PIPELINES_H
