//===- SpikeQuantOps.td - spikequant operations -----------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_OPS
#define SPIKEQUANT_OPS

include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantAttrs.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/DestinationStyleOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class SpikeQuant_Op<string opMnemonic, list<Trait> traits = []>
    : Op<SpikeQuant_Dialect, opMnemonic, traits>;

/// Chooses matrices of a stack: one number, or one for each leading slice.
def SpikeQuant_StackIndex : AnyTypeOf<[Index, 1DTensorOf<[I32]>, MemRefRankOf<[I32], [1]>],
                                      "index or a vector of i32">;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

def SpikeQuant_WeightsOp : SpikeQuant_Op<"weights", [Symbol]> {
  let summary = "declares a weight array that lives in the packed weights file";
  let description = [{
    A symbol for constant data. `type` is the logical shape as its users see it;
    for `codes` it is [output channels N, input channels K] of element type f32
    (the real weight that the codes stand for), or a stack [L, N, K] of such
    matrices, of which `integrate` chooses at run time. `source` names the array
    in the safetensors file. Either `permutation` maps it to the logical shape as
    `linalg.transpose` does, or `view` says which of its elements the logical
    array has; the packer applies them once, at compile time. A literal `value`
    serves tests and small data that passes produce.

    ```mlir
    spikequant.weights @up : tensor<1536x576xf32>
        format(#spikequant.codes<bits = 4, group = 32>) source("blk.0.ffn_up", [1, 0])
    spikequant.weights @up.in.bits : tensor<4xi8> format(#spikequant.real)
        value(dense<[4, 4, 8, 0]> : tensor<4xi8>)
    // The keys of a fused projection.
    spikequant.weights @key : tensor<64x64xf32>
        format(#spikequant.codes<bits = 4, group = 32>) source("qkv")
        view(<shape = [64, 192], offset = 64, sizes = [64, 64], strides = [1, 192]>)
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<AnyRankedTensor>:$type,
                       AnyAttr:$format, OptionalAttr<StrAttr>:$source,
                       OptionalAttr<DenseI64ArrayAttr>:$permutation,
                       OptionalAttr<SpikeQuant_ViewAttr>:$view,
                       OptionalAttr<ElementsAttr>:$value);
  let assemblyFormat = [{
    $sym_name `:` $type `format` `(` $format `)`
    (`source` `(` $source^ (`,` $permutation^)? `)`)? (`view` `(` $view^ `)`)?
    (`value` `(` $value^ `)`)? attr-dict
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::RankedTensorType getArrayType() {
      return ::llvm::cast<::mlir::RankedTensorType>(getType());
    }
  }];
}

def SpikeQuant_LoadWeightsOp : SpikeQuant_Op<"load_weights", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "the array behind a weights symbol, as a read-only tensor";
  let description = [{
    The real array of a `#spikequant.real` symbol. Becomes a constant offset
    into the mapped file; nothing is copied.

    ```mlir
    %w = spikequant.load_weights @norm : tensor<576xf32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$weights);
  let results = (outs AnyTypeOf<[AnyRankedTensor, AnyStridedMemRef]>:$result);
  let assemblyFormat = "$weights attr-dict `:` type($result)";
}

def SpikeQuant_LookupOp : SpikeQuant_Op<"lookup", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "rows of packed weights as real numbers";
  let description = [{
    `y[i][j] = f32(W[id_i][j]) * s_w[id_i]`, one rounding, with `id_i` clamped
    to [0, N-1]. A named island: the embedding enters the program here without a
    real-valued copy of the table.

    With `rates`, which name `#spikequant.rates` of the same weights, the rows
    enter as fixed-point numbers instead, integers only: what `grid` makes of
    `W[id_i][j]` with the rate of channel `id_i`.

    ```mlir
    %y = spikequant.lookup @embedding[%ids] : tensor<128xi32> -> tensor<128x576xf32>
    %g = spikequant.lookup @embedding[%ids] {rates = @embedding.grid}
        : tensor<128xi32> -> tensor<128x576xi32>
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$weights, RankedTensorOf<[I32, I64]>:$ids,
                       OptionalAttr<FlatSymbolRefAttr>:$rates);
  let results = (outs RankedTensorOf<[F32, I32]>:$result);
  let assemblyFormat = "$weights `[` $ids `]` attr-dict `:` type($ids) `->` type($result)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Neurons
//===----------------------------------------------------------------------===//

def SpikeQuant_EncodeOp : SpikeQuant_Op<"encode", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "activations to spike counts";
  let description = [{
    `v = (x * row_scale) * r_j + h_j` with `r_j = f32(a_j / step)` and
    `h_j = f32(1/2 - z_j r_j)`, each operation one f32 rounding;
    `n = clamp(floor(v), -32767, 32767)`, NaN gives 0. The last dimension is the
    channel. `bits` names an i8 array with the channel's bits b_j (0..8): counts
    beyond the window `L_j = 2^(b_j-1) - 1` (0 for b_j < 2) by at most
    `tolerance` saturate to +-L_j; farther ones are salient and kept exactly.
    Without `bits` every count is kept. `overflow = #spikequant.overflow<saturate>`
    saturates every count to its window, so that none is salient. `gains` (a_j)
    and `centres` (z_j) are f32 arrays, 1 and 0 by default. `code` chooses the
    spikes that carry the counts on a neuromorphic target; it changes no value.

    ```mlir
    %n = spikequant.encode %x {step = 0.125 : f32, site = "up.in", bits = @up.in.bits,
                               tolerance = 1 : i32}
        : tensor<128x576xf32> -> tensor<128x576xi16>
    %m = spikequant.encode %x row_scale(%r : tensor<128xf32>) {step = 1.0 : f32, site = "y"}
        : tensor<128x576xf32> -> tensor<128x576xi16>
    ```

    Fixed-point numbers, i32 in units of `unit` (a power of two), are encoded in
    integers only. With a `row_scale` q = m 2^e they are first scaled to numbers
    y of 2^-20, rounded and saturating at 2^31 - 1, by the integers m and e
    alone; without one they are y. Then
    `n = clamp(((y - Z_j) M_j + 2^(S_j-1)) >> S_j, -32767, 32767)`, where `rates`
    names the `#spikequant.count_rates` that hold gains and centres.

    ```mlir
    %c = spikequant.encode %g row_scale(%r : tensor<128xf32>)
        {step = 0.125 : f32, unit = 6.103515625e-05 : f32, rates = @up.in.rates, site = "up.in"}
        : tensor<128x576xi32> -> tensor<128x576xi16>
    ```
  }];
  let arguments = (ins RankedTensorOf<[F32, I32]>:$input,
                       Optional<RankedTensorOf<[F32]>>:$row_scale,
                       F32Attr:$step, StrAttr:$site,
                       OptionalAttr<FlatSymbolRefAttr>:$bits,
                       OptionalAttr<FlatSymbolRefAttr>:$gains,
                       OptionalAttr<FlatSymbolRefAttr>:$centres,
                       DefaultValuedAttr<I32Attr, "0">:$tolerance,
                       OptionalAttr<SpikeQuant_OverflowAttr>:$overflow,
                       OptionalAttr<SpikeQuant_CodeAttr>:$code,
                       OptionalAttr<F32Attr>:$unit,
                       OptionalAttr<FlatSymbolRefAttr>:$rates);
  let results = (outs RankedTensorOf<[I16]>:$counts);
  let builders = [OpBuilder<(ins "::mlir::Type":$counts, "::mlir::Value":$input,
      "::mlir::Value":$row_scale, "::mlir::FloatAttr":$step, "::mlir::StringAttr":$site,
      "::mlir::FlatSymbolRefAttr":$bits, "::mlir::FlatSymbolRefAttr":$gains,
      "::mlir::FlatSymbolRefAttr":$centres, "::mlir::IntegerAttr":$tolerance,
      "::mlir::spikequant::OverflowAttr":$overflow, "::mlir::spikequant::SpikeCodeAttr":$code), [{
        build($_builder, $_state, counts, input, row_scale, step, site, bits, gains, centres,
              tolerance, overflow, code, ::mlir::FloatAttr(), ::mlir::FlatSymbolRefAttr());
      }]>];
  let assemblyFormat = [{
    $input (`row_scale` `(` $row_scale^ `:` type($row_scale) `)`)? attr-dict
    `:` type($input) `->` type($counts)
  }];
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
  let extraClassDeclaration = [{
    bool saturates() { return getOverflow() == Overflow::Saturate; }
    /// Whether the input is fixed point.
    bool isInteger() { return getRates().has_value(); }
    /// How far outside its window a count still saturates: all the way if
    /// `overflow` says so.
    int32_t getReach();
  }];
}

def SpikeQuant_IntegrateOp : SpikeQuant_Op<"integrate", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "accumulates counts over integer weights into membranes";
  let description = [{
    `acc[..][o] = sum_j W[o][j] n[..][j]`, exact. The accumulator is i64 until
    a proof narrows it to i32; `bound` then states the proved limit of |acc|.

    A stack of weights [L, N, K] needs an `index`: a scalar chooses the matrix of
    all rows; a vector of P chooses one for each of the P leading slices of the
    counts. A number outside [0, L-1] is clamped.

    ```mlir
    %acc = spikequant.integrate %n, @up : tensor<128x576xi16> -> tensor<128x1536xi64>
    // The matrix of layer %i, in a loop over layers.
    %a = spikequant.integrate %n, @layers[%i : index]
        : tensor<128x576xi16> -> tensor<128x1536xi64>
    // Two experts for each of 128 tokens.
    %e = spikequant.integrate %m, @experts[%chosen : tensor<256xi32>]
        : tensor<256x576xi16> -> tensor<256x1536xi64>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I16]>:$counts, FlatSymbolRefAttr:$weights,
                       Optional<SpikeQuant_StackIndex>:$index,
                       OptionalAttr<I64Attr>:$bound);
  let results = (outs RankedTensorOf<[I32, I64]>:$membrane);
  let assemblyFormat = [{
    $counts `,` $weights (`[` $index^ `:` type($index) `]`)? attr-dict
    `:` type($counts) `->` type($membrane)
  }];
  let hasVerifier = 1;
}

def SpikeQuant_FireOp : SpikeQuant_Op<"fire", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "membranes to spike counts, integers only";
  let description = [{
    `n' = clamp((clamp(acc, T(lo+1) - 1, T(hi)) * M + B) >> shift, lo, hi)` with
    the ladder `T(k) = ceil((k 2^shift - B) / M)`: `n' >= k` iff `acc >= T(k)`.
    `multipliers` (M, 1..2^31-1) and `biases` (B) hold one value per channel or
    a single one for all. Where M, B and the shift depend on weights that are not
    packed yet, `thresholds` names them instead. `bits` and `tolerance` give each
    channel a window as `encode` does; `site` names the counts. `code` chooses the
    spikes that carry the counts on a neuromorphic target; it changes no value.

    ```mlir
    %n = spikequant.fire %acc {thresholds = @down.in.fire, lo = 0 : i32, hi = 32767 : i32,
                               site = "down.in", bits = @down.in.bits, tolerance = 1 : i32}
        : tensor<128x1536xi64> -> tensor<128x1536xi16>
    %m = spikequant.fire %acc {multipliers = array<i64: 3>, biases = array<i64: 512>,
                               shift = 10 : i32, lo = -7 : i32, hi = 7 : i32}
        : tensor<128x1536xi64> -> tensor<128x1536xi16>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I32, I64]>:$membrane,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$multipliers,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{}">:$biases,
                       DefaultValuedAttr<I32Attr, "0">:$shift, I32Attr:$lo, I32Attr:$hi,
                       OptionalAttr<SpikeQuant_CodeAttr>:$code,
                       OptionalAttr<FlatSymbolRefAttr>:$thresholds,
                       OptionalAttr<StrAttr>:$site,
                       OptionalAttr<FlatSymbolRefAttr>:$bits,
                       DefaultValuedAttr<I32Attr, "0">:$tolerance);
  let results = (outs RankedTensorOf<[I16]>:$counts);
  let assemblyFormat = "$membrane attr-dict `:` type($membrane) `->` type($counts)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def SpikeQuant_GridOp : SpikeQuant_Op<"grid", [
    Pure, SameOperandsAndResultShape, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "membranes to fixed-point numbers, integers only";
  let description = [{
    `y = clamp(((acc * M_o + 2^(S_o-1)) >> S_o) + b_o, -(2^31-1), 2^31-1)` in i64,
    arithmetic shift. M, S and b are the rows of `rates`, which names
    `#spikequant.rates`: y counts its `unit`, a step far below that of an encode
    and the same for all channels, so that sums and products of grids are exact
    integer arithmetic.

    ```mlir
    %g = spikequant.grid %acc, @gate.grid : tensor<128x1536xi64> -> tensor<128x1536xi32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I32, I64]>:$membrane, FlatSymbolRefAttr:$rates);
  let results = (outs RankedTensorOf<[I32]>:$result);
  let assemblyFormat = "$membrane `,` $rates attr-dict `:` type($membrane) `->` type($result)";
}

def SpikeQuant_ScaleRowsOp : SpikeQuant_Op<"scale_rows", [
    Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "fixed-point rows times a real factor each, integers only";
  let description = [{
    Numbers of `unit` (a power of two) times the factor q = m 2^e of their row,
    as numbers of 2^-20, rounded and saturating: what `encode` does to
    fixed-point rows, by the integers m and e alone.

    ```mlir
    %y = spikequant.scale_rows %x, %r {unit = 6.103515625e-05 : f32}
        : tensor<128x576xi32>, tensor<128xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I32]>:$input, RankedTensorOf<[F32]>:$row_scale,
                       F32Attr:$unit);
  let results = (outs RankedTensorOf<[I32]>:$result);
  let assemblyFormat = "$input `,` $row_scale attr-dict `:` type($input) `,` type($row_scale)";
  let hasVerifier = 1;
}

def SpikeQuant_TableOp : SpikeQuant_Op<"table", [
    Pure, SameOperandsAndResultShape, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "a function of fixed-point numbers as a table with straight ends";
  let description = [{
    `c = clamp(x, lo, lo + E - 1)`,
    `y = clamp(T[c - lo] + ((slope * (x - c) + 2^23) >> 24), -(2^31-1), 2^31-1)` in
    i64: the function goes on straight beyond the E entries of the literal i32
    array `table`, with `low_slope` below and `high_slope` above, both in units of
    2^-24. So no input is out of range.

    ```mlir
    %y = spikequant.table %g, @silu {lo = -1024 : i32, high_slope = 67108864 : i32}
        : tensor<128x1536xi32> -> tensor<128x1536xi32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I32]>:$input, FlatSymbolRefAttr:$table, I32Attr:$lo,
                       DefaultValuedAttr<I32Attr, "0">:$low_slope,
                       DefaultValuedAttr<I32Attr, "0">:$high_slope);
  let results = (outs RankedTensorOf<[I32]>:$result);
  let assemblyFormat = "$input `,` $table attr-dict `:` type($input) `->` type($result)";
}

def SpikeQuant_ExponentOp : SpikeQuant_Op<"exponent", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "numerators of a softmax from scores, integers only";
  let description = [{
    Counts `N 2^-x` of the distance of each score from its row's maximum, with
    `x = 2^-12 ((((max - score) >> P) M + 2^(S-1)) >> S)` and a polynomial of
    degree 3 for the fraction of x (docs/spec.md). N is `largest`, P `preshift`, S
    `shift`; `multipliers` (M) has one number for all rows or one for each of
    its heads, which are successive slices of equally many rows. A score is at most its
    row's maximum and at most 2^30 in magnitude; a score that a mask hides is
    -2^31 and counts 0, unless all of its row are hidden: then all count N. A count is
    rounded to nearest, or after adding an offset per key: `offsets` names a real i32 array
    [keys] in units of 2^-G, G = 20 - (bits of N).

    ```mlir
    %n = spikequant.exponent %scores, %max {multipliers = array<i64: 385000>, preshift = 0 : i32,
                                            shift = 15 : i32, largest = 255 : i32, site = "v.pv.left"}
        : tensor<9x128x1024xi32>, tensor<9x128xi32> -> tensor<9x128x1024xi16>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I32]>:$scores, RankedTensorOf<[I32]>:$maximum,
                       DenseI64ArrayAttr:$multipliers, I32Attr:$preshift, I32Attr:$shift,
                       I32Attr:$largest, StrAttr:$site,
                       OptionalAttr<FlatSymbolRefAttr>:$offsets);
  let results = (outs RankedTensorOf<[I16]>:$counts);
  let assemblyFormat = [{
    $scores `,` $maximum attr-dict `:` type($scores) `,` type($maximum) `->` type($counts)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Numbers as lib/Kernel takes them; unsigned in the attribute's accessor.
    int32_t getLargestCount() { return static_cast<int32_t>(getLargest()); }
    int32_t getPreshiftBits() { return static_cast<int32_t>(getPreshift()); }
    int32_t getShiftBits() { return static_cast<int32_t>(getShift()); }
  }];
}

def SpikeQuant_DecodeOp : SpikeQuant_Op<"decode", [
    Pure, DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "membranes to real numbers: the border of the integer program";
  let description = [{
    `y = f32(acc) * d_o`, `d_o = f32(step * s_w[o])`: conversion to nearest even,
    one rounding per multiplication. Every decode is an island boundary. What was
    integrated over a stack of weights is decoded with the same `index`.

    ```mlir
    %y = spikequant.decode %acc, @up {step = 0.125 : f32}
        : tensor<128x1536xi64> -> tensor<128x1536xf32>
    ```
  }];
  let arguments = (ins RankedTensorOf<[I32, I64]>:$membrane, FlatSymbolRefAttr:$weights,
                       Optional<SpikeQuant_StackIndex>:$index, F32Attr:$step);
  let results = (outs RankedTensorOf<[F32]>:$result);
  let assemblyFormat = [{
    $membrane `,` $weights (`[` $index^ `:` type($index) `]`)? attr-dict
    `:` type($membrane) `->` type($result)
  }];
  let hasVerifier = 1;
}

def SpikeQuant_ObserveOp : SpikeQuant_Op<"observe", [
    MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "hands an array to the host while the program runs";
  let description = [{
    Calls the host's observer with the array, flattened to [rows, last
    dimension], under the index of `site` in the graph's table of sites. The
    memory write keeps it from being dropped or merged.

    ```mlir
    spikequant.observe %x {site = "up.in"} : tensor<128x576xf32>
    ```
  }];
  let arguments = (ins AnyTypeOf<[AnyRankedTensor, AnyStridedMemRef]>:$input, StrAttr:$site);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Processor form: destination style, on tensors before and buffers after
// bufferisation
//===----------------------------------------------------------------------===//

class SpikeQuant_DestinationOp<string opMnemonic, list<Trait> traits = []>
    : SpikeQuant_Op<opMnemonic, traits # [
        DestinationStyleOpInterface, AttrSizedOperandSegments,
        DeclareOpInterfaceMethods<MemoryEffectsOpInterface>,
        DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let assemblyFormat = [{
    attr-dict `ins` `(` $inputs `:` type($inputs) `)`
    `outs` `(` $outputs `:` type($outputs) `)` (`->` type($results)^)?
  }];
  let results = (outs Variadic<AnyRankedTensor>:$results);
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::mlir::MutableOperandRange getDpsInitsMutable() { return getOutputsMutable(); }
  }];
}

def SpikeQuant_EncodeSplitOp : SpikeQuant_DestinationOp<"encode_split"> {
  let summary = "encode into the processor's containers";
  let description = [{
    Same counts as `encode`, split for an int8 dot product. Inputs: x [M, K] f32,
    or i32 with `unit` and `rates`, optionally row_scale [M] f32. Outputs:
    - dense [M, Kpad] i8, Kpad = K rounded up to 8: the count, or 0 where
      |n| > 127 (and in the padding);
    - sums [M, G] i32: sums of the dense counts per group of `group` channels,
      G = ceil(K / group);
    - overflow [M, 2 + 2K] i32: entry 0 is the number of counts with |n| > 127,
      entry 1 the number of salient ones, then (channel, count) pairs;
    - optionally counts [M, K] i16, all of them, for taps.

    ```mlir
    %d, %s, %o = spikequant.encode_split {step = 0.125 : f32, site = "up.in", group = 32 : i64}
        ins(%x : tensor<128x576xf32>)
        outs(%0, %1, %2 : tensor<128x576xi8>, tensor<128x18xi32>, tensor<128x1154xi32>)
        -> tensor<128x576xi8>, tensor<128x18xi32>, tensor<128x1154xi32>
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs,
                       F32Attr:$step, StrAttr:$site, I64Attr:$group,
                       OptionalAttr<FlatSymbolRefAttr>:$bits,
                       OptionalAttr<FlatSymbolRefAttr>:$gains,
                       OptionalAttr<FlatSymbolRefAttr>:$centres,
                       DefaultValuedAttr<I32Attr, "0">:$tolerance,
                       OptionalAttr<F32Attr>:$unit,
                       OptionalAttr<FlatSymbolRefAttr>:$rates);
}

def SpikeQuant_IntegrateDecodeOp : SpikeQuant_DestinationOp<"integrate_decode"> {
  let summary = "integrate and decode on the processor's containers";
  let description = [{
    Inputs: dense, sums, overflow as `encode_split` gives them. Outputs: y [M, N]
    f32 = f32(acc) * f32(step * s_w[o]), and optionally acc [M, N] i64 for taps.
    `index` chooses matrices of a stack of weights [L, N, K]: a scalar one for all
    rows, a vector of P one for each M / P successive rows; numbers are clamped.

    ```mlir
    %y = spikequant.integrate_decode {weights = @up, step = 0.125 : f32}
        ins(%d, %s, %o : tensor<128x576xi8>, tensor<128x18xi32>, tensor<128x1154xi32>)
        outs(%0 : tensor<128x1536xf32>) -> tensor<128x1536xf32>
    %z = spikequant.integrate_decode {weights = @layers, step = 0.125 : f32}
        ins(%d, %s, %o : tensor<128x576xi8>, tensor<128x18xi32>, tensor<128x1154xi32>)
        index(%i : index) outs(%1 : tensor<128x1536xf32>) -> tensor<128x1536xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Optional<SpikeQuant_StackIndex>:$index,
                       Variadic<AnyShaped>:$outputs, FlatSymbolRefAttr:$weights,
                       F32Attr:$step);
  let assemblyFormat = [{
    attr-dict `ins` `(` $inputs `:` type($inputs) `)`
    (`index` `(` $index^ `:` type($index) `)`)?
    `outs` `(` $outputs `:` type($outputs) `)` (`->` type($results)^)?
  }];
}

def SpikeQuant_LookupRowsOp : SpikeQuant_DestinationOp<"lookup_rows"> {
  let summary = "lookup in destination style";
  let description = [{
    Inputs: ids [M] i32 or i64. Outputs: y [M, K] f32, or i32 with `rates`.

    ```mlir
    %y = spikequant.lookup_rows {weights = @embedding} ins(%ids : tensor<128xi32>)
        outs(%0 : tensor<128x576xf32>) -> tensor<128x576xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyShaped>:$inputs, Variadic<AnyShaped>:$outputs,
                       FlatSymbolRefAttr:$weights,
                       OptionalAttr<FlatSymbolRefAttr>:$rates);
}

def SpikeQuant_TallyOp : SpikeQuant_Op<"tally", [MemoryEffects<[MemRead, MemWrite]>]> {
  let summary = "adds the salient counts of an encode to the site's counter";
  let description = [{
    Adds the sum of column 1 of `overflow` to the graph's salience counter of
    `site`.

    ```mlir
    spikequant.tally %o {site = "up.in"} : tensor<128x1154xi32>
    ```
  }];
  let arguments = (ins AnyTypeOf<[AnyRankedTensor, AnyStridedMemRef]>:$overflow, StrAttr:$site);
  let assemblyFormat = "$overflow attr-dict `:` type($overflow)";
  let hasVerifier = 1;
}

def SpikeQuant_Dot4Op : SpikeQuant_Op<"dot4", [
    Pure, AllTypesMatch<["acc", "result"]>, AllTypesMatch<["codes", "counts"]>]> {
  let summary = "sixteen lanes of four products of unsigned codes and signed counts";
  let description = [{
    `acc[i] + sum_{j<4} u8(codes[4i+j]) * s8(counts[4i+j])`, i32, wrapping. One
    instruction with AVX-512 VNNI; an expansion in vector operations elsewhere.

    ```mlir
    %r = spikequant.dot4 %acc, %codes, %counts : vector<16xi32>, vector<64xi8>
    ```
  }];
  let arguments = (ins VectorOfLengthAndType<[16], [I32]>:$acc,
                       VectorOfLengthAndType<[64], [I8]>:$codes,
                       VectorOfLengthAndType<[64], [I8]>:$counts);
  let results = (outs VectorOfLengthAndType<[16], [I32]>:$result);
  let assemblyFormat =
      "$acc `,` $codes `,` $counts attr-dict `:` type($acc) `,` type($codes)";
}

def SpikeQuant_Dot2Op : SpikeQuant_Op<"dot2", [
    Pure, AllTypesMatch<["acc", "result"]>, AllTypesMatch<["lhs", "rhs"]>]> {
  let summary = "sixteen lanes of two products of signed 16-bit numbers";
  let description = [{
    `acc[i] + sum_{j<2} lhs[2i+j] * rhs[2i+j]`, i32, wrapping: offsets of two
    groups of weights and the sums of their counts. One instruction with AVX-512
    VNNI; an expansion in vector operations elsewhere.

    ```mlir
    %r = spikequant.dot2 %acc, %offsets, %sums : vector<16xi32>, vector<32xi16>
    ```
  }];
  let arguments = (ins VectorOfLengthAndType<[16], [I32]>:$acc,
                       VectorOfLengthAndType<[32], [I16]>:$lhs,
                       VectorOfLengthAndType<[32], [I16]>:$rhs);
  let results = (outs VectorOfLengthAndType<[16], [I32]>:$result);
  let assemblyFormat =
      "$acc `,` $lhs `,` $rhs attr-dict `:` type($acc) `,` type($lhs)";
}

#endif // SPIKEQUANT_OPS
