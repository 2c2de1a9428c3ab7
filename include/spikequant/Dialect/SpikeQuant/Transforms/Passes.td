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
    A *site* is a contraction of an f32 activation with a weight of rank 2 that
    `spikequant.load_weights` provides, in any named or generic form of linalg.
    It gets `spikequant.site = "<key of its weight>"`; a second use of the same
    weight in a function is `<key>.2`. Products of two activations stay real;
    they get `spikequant.product = "<nearest site before>.qk"`, the next one
    `.pv`. A remark of category `spikequant-name-sites` says for each
    contraction whether it was taken or left, and why. Run
    `spikequant-weights-to-symbols` before.

    ```mlir
    %w = spikequant.load_weights @up : tensor<64x8xf32>
    %y = linalg.matmul ins(%x, %w : tensor<2x64xf32>, tensor<64x8xf32>) outs(%0 : tensor<2x8xf32>)
    // becomes
    %y = linalg.matmul {spikequant.site = "up"} ins(%x, %w : ..
    ```
  }];
  let options = [
    ListOption<"leave", "leave", "std::string",
               "regular expressions; sites whose weight's name matches one stay real">,
    Option<"minChannels", "min-channels", "int64_t", "8",
           "sites with fewer input channels stay real">
  ];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def InsertObservers : Pass<"spikequant-insert-observers", "::mlir::ModuleOp"> {
  let summary = "shows the input of every site to the host";
  let description = [{
    Puts a `spikequant.observe` before the first consumer of each value that a
    named site reads. The value is named after that consumer: `<site>.in`; an
    input shared by several sites is observed once. The function attribute
    `spikequant.sites` lists the names in order: the host is told their index.

    ```mlir
    spikequant.observe %x {site = "q.in"} : tensor<2x64xf32>
    %q = linalg.matmul {spikequant.site = "q"} ins(%x, %wq : ..
    %k = linalg.matmul {spikequant.site = "k"} ins(%x, %wk : ..
    ```
  }];
  let dependentDialects = ["::mlir::spikequant::SpikeQuantDialect"];
}

#endif // SPIKEQUANT_TRANSFORMS_PASSES
