//===- SpikeQuantAttrs.td - weight formats and spike codes ------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ATTRS
#define SPIKEQUANT_ATTRS

include "mlir/IR/EnumAttr.td"
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

def SpikeQuant_ViewAttr : SpikeQuant_Attr<"View", "view"> {
  let summary = "elements of an array, in the order of a logical array";
  let description = [{
    Element (i_0, i_1, ..) of the index space `sizes`, in row-major order, is
    element `offset + sum_d i_d strides_d` of an array of shape `shape`, which is
    row-major and dense. So the elements of a logical array are found whatever
    transpositions, reshapes, slices and broadcasts (stride 0) led to it.
    Neighbouring dimensions that one stride describes are merged.

    ```mlir
    // Columns 64 to 127 of a [64, 192] array, transposed.
    #spikequant.view<shape = [64, 192], offset = 64, sizes = [64, 64], strides = [1, 192]>
    ```
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape, "int64_t":$offset,
                        ArrayRefParameter<"int64_t">:$sizes,
                        ArrayRefParameter<"int64_t">:$strides);
  let assemblyFormat = [{
    `<` `shape` `=` `[` $shape `]` `,` `offset` `=` $offset `,`
        `sizes` `=` `[` $sizes `]` `,` `strides` `=` `[` $strides `]` `>`
  }];
  let genVerifyDecl = 1;
}

def SpikeQuant_ThresholdsAttr : SpikeQuant_Attr<"Thresholds", "thresholds"> {
  let summary = "thresholds of a fire, computed when its weights are packed";
  let description = [{
    The scales s_w of `weights` are known once they are rounded, so this array
    [5, N] of i64 is filled by the packer: rows T(lo + 1) - 1, T(hi), M, B and S
    of the threshold that fires

    `n = floor((acc * step * s_w[o] * gains[o] + biases[o]) / output + 1/2)`

    `gains` and `biases` are literal f32 arrays [N], 1 and 0 by default; gains
    are positive. M, B and S are the nearest of the largest shift whose
    arithmetic fits (docs/spec.md); the largest relative error of a threshold is
    a remark.

    ```mlir
    #spikequant.thresholds<weights = @up.codes, step = 1.000000e-01 : f32, output = 5.000000e-01 : f32,
                           biases = @down.in.biases, lo = 0, hi = 32767>
    ```
  }];
  let parameters = (ins "::mlir::FlatSymbolRefAttr":$weights, "::mlir::FloatAttr":$step,
                        "::mlir::FloatAttr":$output,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$gains,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$biases,
                        "int32_t":$lo, "int32_t":$hi);
  let assemblyFormat = "`<` struct(params) `>`";
}

def SpikeQuant_RatesAttr : SpikeQuant_Attr<"Rates", "rates"> {
  let summary = "rates of a grid, computed when its weights are packed";
  let description = [{
    Like `thresholds`, for membranes that become fixed-point numbers instead of
    counts: an array [3, N] of i32 that the packer fills with M, S and b of

    `y = ((acc * M[o] + 2^(S[o]-1)) >> S[o]) + b[o]`

    which is `(acc * step * s_w[o] * gains[o] + biases[o]) / unit` rounded.
    `gains` and `biases` are literal f32 arrays [N], 1 and 0 by default. Without
    `weights`, `acc` counts units of `step`: s_w is 1.

    ```mlir
    #spikequant.rates<weights = @gate.codes, step = 1.000000e-01 : f32, unit = 1.562500e-02 : f32>
    ```
  }];
  let parameters = (ins OptionalParameter<"::mlir::FlatSymbolRefAttr">:$weights,
                        "::mlir::FloatAttr":$step, "::mlir::FloatAttr":$unit,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$gains,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$biases);
  let assemblyFormat = "`<` struct(params) `>`";
}

def SpikeQuant_CountRatesAttr : SpikeQuant_Attr<"CountRates", "count_rates"> {
  let summary = "thresholds of an encode of fixed-point numbers, per channel";
  let description = [{
    An array [3, K] of i32 that the packer fills with M, S and Z of

    `n = ((y - Z[j]) * M[j] + 2^(S[j]-1)) >> S[j]`

    which is `floor((y unit - centres[j]) gains[j] / step + 1/2)`. `gains` and
    `centres` are real f32 arrays [K], 1 and 0 by default.

    ```mlir
    #spikequant.count_rates<unit = 9.53674316E-7 : f32, step = 1.000000e-01 : f32, gains = @norm>
    ```
  }];
  let parameters = (ins "::mlir::FloatAttr":$unit, "::mlir::FloatAttr":$step,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$gains,
                        OptionalParameter<"::mlir::FlatSymbolRefAttr">:$centres);
  let assemblyFormat = "`<` struct(params) `>`";
}

def SpikeQuant_SpikeCode : I32EnumAttr<"SpikeCode", "how a count travels as spikes", [
    I32EnumAttrCase<"Count", 0, "count">,
    I32EnumAttrCase<"Ladder", 1, "ladder">,
    I32EnumAttrCase<"Gated", 2, "gated">]> {
  let cppNamespace = "::mlir::spikequant";
  let genSpecializedAttr = 0;
}

def SpikeQuant_CodeAttr : EnumAttr<SpikeQuant_Dialect, SpikeQuant_SpikeCode, "code"> {
  let summary = "the spike code that carries a count: same meaning, other costs";
  let description = [{
    `count`: the integer itself, a graded spike. `ladder`: one neuron per level
    and one step per layer. `gated`: one neuron per rail and as many steps as
    the window is long. The integers are the same (docs/Neuromorphic.md).

    ```mlir
    #spikequant.code<ladder>
    ```
  }];
  let assemblyFormat = "`<` $value `>`";
}

def SpikeQuant_Overflow : I32EnumAttr<"Overflow", "what happens to counts outside the window", [
    I32EnumAttrCase<"Salient", 0, "salient">,
    I32EnumAttrCase<"Saturate", 1, "saturate">]> {
  let cppNamespace = "::mlir::spikequant";
  let genSpecializedAttr = 0;
}

def SpikeQuant_OverflowAttr : EnumAttr<SpikeQuant_Dialect, SpikeQuant_Overflow, "overflow"> {
  let summary = "keep salient counts exactly, or saturate them to the window";
  let description = [{
    `salient` carries counts beyond the window and its tolerance exactly, as
    events. `saturate` limits every count to the window, for targets that have
    no events.

    ```mlir
    #spikequant.overflow<saturate>
    ```
  }];
  let assemblyFormat = "`<` $value `>`";
}

#endif // SPIKEQUANT_ATTRS
