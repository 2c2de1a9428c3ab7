//===- Passes.td - passes on the spikequant dialect -------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TRANSFORMS_PASSES
#define SPIKEQUANT_TRANSFORMS_PASSES

include "mlir/Pass/PassBase.td"

def NameSites : Pass<"spikequant-name-sites", "::mlir::ModuleOp"> {
  let summary = "finds the contractions with constant weights and names them";
  let description = [{
    A *site* is a contraction one operand of which is a weight. Each gets a
    `spikequant.site` attribute; a remark says for each contraction whether it
    was taken or left, and why.
  }];
}

#endif // SPIKEQUANT_TRANSFORMS_PASSES
