//===- Passes.td - passes on the spikequant dialect -------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TRANSFORMS_PASSES
#define SPIKEQUANT_TRANSFORMS_PASSES

include "mlir/Pass/PassBase.td"

def WeightsToSymbols : Pass<"spikequant-weights-to-symbols", "::mlir::ModuleOp"> {
  let summary = "turns weight arguments and large constants into weights symbols";
  let description = [{
    Each argument of a public function that carries `spikequant.weight = "key"`
    becomes a `spikequant.load_weights` of the symbol `@key`; functions of one
    module share the symbols. Other arguments keep their attributes. A constant
    tensor larger than `max-constant-bytes` becomes a symbol with a literal
    value, named after its contents. A transposition of a loaded weight becomes
    a symbol of its own, a view of the same source. Unused symbols are erased.

    ```mlir
    func.func @f(%x: tensor<2x4xf32>, %w: tensor<4x8xf32> {spikequant.weight = "up"})
    // becomes
    spikequant.weights @up : tensor<4x8xf32> format(#spikequant.real) source("up")
    func.func @f(%x: tensor<2x4xf32>) {
      %w = spikequant.load_weights @up : tensor<4x8xf32>
    ```
  }];
  let options = [
    Option<"maxConstantBytes", "max-constant-bytes", "uint64_t", "65536",
           "constants of up to so many bytes stay in the program">
  ];
  let dependentDialects = ["::mlir::spikequant::SpikeQuantDialect"];
}

def NameSites : Pass<"spikequant-name-sites", "::mlir::ModuleOp"> {
  let summary = "finds the contractions with constant weights and names them";
  let description = [{
    A *site* is a contraction one operand of which is a weight. Each gets a
    `spikequant.site` attribute; a remark says for each contraction whether it
    was taken or left, and why.
  }];
}

#endif // SPIKEQUANT_TRANSFORMS_PASSES
