//===- SpikeQuantBase.td - the spikequant dialect ---------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_BASE
#define SPIKEQUANT_BASE

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"

def SpikeQuant_Dialect : Dialect {
  let name = "spikequant";
  let cppNamespace = "::mlir::spikequant";
  let summary = "Spiking quantisation: encode, integrate, fire, decode";
  let description = [{
    A linear layer of a quantised network is read as a layer of
    integrate-and-fire neurons. A real activation becomes a spike count
    (`encode`), counts are accumulated into a membrane over integer weights
    (`integrate`), and a membrane becomes a count again (`fire`) or, at the
    border of the integer program, a real number (`decode`). The quantisation
    scale is the neuron's threshold, so no value is dequantised on the way.

    Exact semantics and the numbered constraints (ENC-C1 ..) are in
    `docs/spec.md`; the verifiers cite the same numbers.

    ```mlir
    spikequant.weights @up : tensor<1536x576xf32>
        format(#spikequant.codes<bits = 4, group = 32>) source("blk.0.ffn_up", [1, 0])
    %n = spikequant.encode %x {step = 0.125 : f32, site = "blk.0.ffn_up.in"}
        : tensor<128x576xf32> -> tensor<128x576xi16>
    %acc = spikequant.integrate %n, @up : tensor<128x576xi16> -> tensor<128x1536xi64>
    %y = spikequant.decode %acc, @up {step = 0.125 : f32}
        : tensor<128x1536xi64> -> tensor<128x1536xf32>
    ```
  }];
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 1;
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
}

class SpikeQuant_Attr<string name, string attrMnemonic, list<Trait> traits = []>
    : AttrDef<SpikeQuant_Dialect, name, traits> {
  let mnemonic = attrMnemonic;
}

#endif // SPIKEQUANT_BASE
