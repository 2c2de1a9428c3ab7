//===- SpikeQuantAttrs.td - weight formats and spike codes ------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ATTRS
#define SPIKEQUANT_ATTRS

include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantBase.td"

def SpikeQuant_CodesAttr : SpikeQuant_Attr<"Codes", "codes"> {
  let summary = "integer weight codes with a multiplier and an offset per group";
  let description = [{
    Weight format `W[o][j] = m[o][j/group] u[o][j] + c[o][j/group]`, real value
    `s_w[o] W[o][j]`. Codes `u` have `bits` bits (1..8) and are unsigned; `group`
    input channels (a multiple of 8, or 0 for the whole row) share a multiplier
    `m` (1..255) and an offset `c` (i16); `s_w` is one f32 per output channel.
    `symmetric` fixes `m = 1` and `c = -2^(bits-1)`.

    ```mlir
    #spikequant.codes<bits = 4, group = 32>
    #spikequant.codes<bits = 8, group = 0, symmetric = true>
    ```
  }];
  let parameters = (ins "unsigned":$bits, DefaultValuedParameter<"unsigned", "32">:$group,
                        DefaultValuedParameter<"bool", "false">:$symmetric);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def SpikeQuant_RealAttr : SpikeQuant_Attr<"Real", "real"> {
  let summary = "weights kept as they are, a raw row-major array";
  let description = [{
    The packed file holds the array of the symbol's element type, row-major.

    ```mlir
    #spikequant.real
    ```
  }];
}

#endif // SPIKEQUANT_ATTRS
