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
    tensor that reaches a contraction and has at least `min-weight-elements`, or
    is larger than `max-constant-bytes`, becomes a symbol with a literal
    value, named after its contents; splats stay. A transposition of a loaded weight becomes
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
           "other constants of up to so many bytes stay in the program">,
    Option<"minWeightElements", "min-weight-elements", "uint64_t", "64",
           "weights of contractions that are constants of fewer elements stay in the program">
  ];
  let dependentDialects = ["::mlir::spikequant::SpikeQuantDialect"];
}

def RotateValues : Pass<"spikequant-rotate-values", "::mlir::ModuleOp"> {
  let summary = "rotates the values of attentions where weights absorb it";
  let description = [{
    For each product of two activations (`P v`), asks whether the channels of a
    factor can be multiplied by an orthogonal matrix such that no result of the
    program changes: everything between the weights that make them and the
    weights that read them has to be linear along these channels (reshapes,
    transpositions, slices, the cache, sums) and the same for all of them. Then
    these weights are read rotated: by the Hadamard matrix of the largest power
    of two that divides the head's width. Rotated values have no channels that
    stand out, so that they take fewer bits; whether that pays is measured by
    calibrating both programs.

    The module gets `spikequant.rotations`, which the packer applies to the
    arrays of the weights file before it rounds them, and
    `spikequant.rotated_inputs`; the program is the same. A remark of category
    `spikequant-rotate-values` says for each product what turns, or what refused.
    Run `spikequant-weights-to-symbols` before, `spikequant-name-sites` after.

    ```mlir
    %v = linalg.matmul ins(%x, %wv ..
    %y = linalg.matmul ins(%p, %v ..
    %z = linalg.matmul ins(%y, %wo ..
    // the module then has, for weights of 16 values
    spikequant.rotated_inputs = ["o"],
    spikequant.rotations = {o = [array<i64: 0, 0, 16, 16>], v = [array<i64: 1, 0, 16, 16>]}
    ```
  }];
  let options = [
    Option<"minBlock", "min-block", "uint64_t", "8",
           "smaller powers of two are not worth it">
  ];
  let dependentDialects = ["::mlir::spikequant::SpikeQuantDialect"];
}

def NameSites : Pass<"spikequant-name-sites", "::mlir::ModuleOp"> {
  let summary = "finds the contractions with constant weights and names them";
  let description = [{
    A *site* is a contraction of an f32 activation with a weight that
    `spikequant.load_weights` provides, in any named or generic form of linalg:
    whatever the order and number of contracted dimensions, rows and outputs. A
    convolution contracts the windows of its activation.
    The weight may be transposed, reshaped, sliced, repeated and converted between
    f32, f16 and bf16 on the way (a rounding is left to the codes). Of a weight with batch dimensions, and of one from which slices
    are chosen at run time (one number in a loop over layers, one per token for
    experts), each slice is a matrix of a stack.

    A site gets `spikequant.site = "<key of its weight>"`, of a slice
    `<key>@begin:end,..`; a second use of the same weight in a function is
    `<key>.2`. Products of two activations stay real;
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

    With `probe`, each function gets a last argument of its own, named
    `probe_steps`, with a step for each of its sites: the sites' consumers then
    read the input rounded to multiples of that step (ties to even), or
    unchanged if the step is not positive. So the host can put the error of one
    site into the program and measure what it does. What is shown is the input
    before rounding.
  }];
  let options = [Option<"probe", "probe", "bool", "false",
      "an argument with a step per site, which its input is rounded to">];
  let dependentDialects = ["::mlir::spikequant::SpikeQuantDialect",
                           "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::tensor::TensorDialect"];
}

def Quantize : Pass<"spikequant-quantize", "::mlir::ModuleOp"> {
  let summary = "turns named sites into encode, integrate and decode";
  let description = [{
    Each value that named sites read is encoded once, under the name that
    `spikequant-insert-observers` gives it, with the step, the bits per channel
    and the tolerance that the allocation solver finds from the statistics in
    `calibration`; all graphs of a module get the same. Each site becomes an
    integrate over codes [N, K] and a decode. Weights that compute a result of
    the program, or that an embedding is gathered from, have `head-bits`, all
    others `weight-bits`, or, with `weight-budget`, bits and groups that are
    chosen for each of them so that the predicted loss is least (a remark each
    says which). Gathers of rows from such a table become
    `spikequant.lookup`. A contraction that does not start from zero adds its
    initial value after the decode.

    Products of two activations, which `spikequant-name-sites` named, are computed
    from counts of `attention-bits` that saturate; an operand that is a softmax
    over the contracted dimension becomes counts of its numerators in steps of
    1/255, and the result is divided by their sum. A state that only such
    products read, and that a step replaces rows of, holds counts (i8). With
    `cache-bits` below 8 these have a step per channel (and head, if the source is
    [.., heads, channels]), as gains of the encode; the other factor of a sum over
    the channels is encoded with the inverse gains, the result of another product is
    multiplied per channel. Counts of up to 4 bits share bytes. A product
    without statistics in `calibration` stays real, with a remark.

    With `method=rtn`, a baseline, each row of the input is scaled by
    `7 / max |x|` and rounded; nothing is calibrated.

    Unless `spikequant-name-sites` has run (the module then has the attribute
    `spikequant.sites_named`), it and `spikequant-weights-to-symbols` run first. A remark of category
    `spikequant-quantize` per encode site says what was chosen and why.

    ```mlir
    %y = linalg.matmul {spikequant.site = "up"} ins(%x, %w : tensor<2x64xf32>, ..
    // becomes
    %n = spikequant.encode %x {bits = @up.in.bits, site = "up.in", step = 0.1 : f32,
                               tolerance = 1 : i32} : tensor<2x64xf32> -> tensor<2x64xi16>
    %acc = spikequant.integrate %n, @up.codes : tensor<2x64xi16> -> tensor<2x8xi64>
    %y = spikequant.decode %acc, @up.codes {step = 0.1 : f32}
        : tensor<2x8xi64> -> tensor<2x8xf32>
    ```
  }];
  let options = [
    Option<"calibration", "calibration", "std::string", "\"\"",
           "file of statistics, see docs/Calibration.md">,
    Option<"method", "method", "std::string", "\"spike\"",
           "'spike', or the baseline 'rtn'">,
    Option<"rule", "rule", "std::string", "\"budget\"",
           "how steps come about: 'budget', 'mad' or 'percentile'">,
    Option<"bits", "bits", "double", "4.25",
           "mean bits per activation, events included, that rule 'budget' may spend">,
    Option<"budgetBy", "budget-by", "std::string", "\"values\"",
           "what 'bits' is a mean over: 'values', or 'macs', the outputs that they drive">,
    Option<"tolerance", "tolerance", "uint32_t", "1",
           "counts so far outside their window saturate: 0 or 1">,
    Option<"madFactor", "mad-factor", "double", "3.5",
           "rule 'mad': the step is so many medians of |x| over 7">,
    Option<"percentile", "percentile", "double", "0.95",
           "rule 'percentile': the step is this percentile of |x| over 7">,
    Option<"weightBits", "weight-bits", "unsigned", "4", "bits of a weight's code, 1 to 8">,
    Option<"group", "group", "unsigned", "32",
           "channels that share a multiplier and an offset; 0: the whole row">,
    Option<"weightBudget", "weight-budget", "double", "0",
           "mean stored bits per weight, multipliers, offsets and scales included: every matrix "
           "but heads gets a format of its own; 0: all the same">,
    Option<"weights", "weights", "std::string", "\"\"",
           "safetensors file with the sources' values, for weight-budget and centres">,
    Option<"centres", "centres", "bool", "true",
           "windows around a centre and biases for the means of errors, where the calibration "
           "has signs and the values of the weights are known">,
    Option<"fineCentres", "fine-centres", "bool", "false",
           "search each centre in eighths of a step: a lower predicted loss, half as long again">,
    Option<"headBits", "head-bits", "unsigned", "8",
           "bits of a code in the weights of the result and in embeddings">,
    Option<"attentionBits", "attention-bits", "unsigned", "8",
           "bits of the counts in products of two activations, 2 to 8; 0: such products stay real">,
    Option<"cacheBits", "cache-bits", "unsigned", "0",
           "bits of the counts that states hold, 2 to 8; 0: as attention-bits; below 8 "
           "with a step per channel, up to 4 two a byte">,
    Option<"lookupMinBytes", "lookup-min-bytes", "uint64_t", "4194304",
           "smaller tables that no site uses keep their real rows">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::spikequant::SpikeQuantDialect"];
}

def FoldScales : Pass<"spikequant-fold-scales", "::mlir::ModuleOp"> {
  let summary = "moves scales into the next threshold";
  let description = [{
    The input of an encode is often a real array times a factor per row (the
    reciprocal root of a norm), times a factor per channel (its weight), plus a
    value per channel (its bias). Those become the row scale, the gains and the
    centres of the encode, and the scaled array is never computed. The factors
    are found by an algebra of scales that looks through broadcasts, reshapes and
    slices of rows, products, quotients, sums and negations; values per channel must be
    known at compile time: constants, literal weights or those in the
    file `weights`. A gain whose rate is not finite and normal (a weight of 0) leaves the
    encode as it is. Counts are those of the unfolded program except where a value is
    within a few ulp of a threshold; a remark of category
    `spikequant-fold-scales` per site says what was moved and how many.

    ```mlir
    %y = linalg.generic .. ins(%x, %r, %w : tensor<2x8xf32>, tensor<2xf32>, tensor<8xf32>) {
      %s = arith.mulf %in, %in_0 : f32
      %t = arith.mulf %s, %in_1 : f32
    ..
    %n = spikequant.encode %y {site = "q.in", step = 5.000000e-01 : f32} : tensor<2x8xf32> -> tensor<2x8xi16>
    // becomes
    %n = spikequant.encode %x row_scale(%r : tensor<2xf32>) {gains = @w, site = "q.in",
                               step = 5.000000e-01 : f32} : tensor<2x8xf32> -> tensor<2x8xi16>
    ```
  }];
  let options = [
    Option<"weights", "weights", "std::string", "\"\"",
           "safetensors file with the values of weights">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect",
                           "::mlir::spikequant::SpikeQuantDialect"];
}

def FoldActivations : Pass<"spikequant-fold-activations", "::mlir::ModuleOp"> {
  let summary = "functions between matrices become integer tables";
  let description = [{
    The input of an encode that depends elementwise on one or two decoded arrays,
    as `f(gate) * up`, `gelu(fc)` or `relu(fc)`, is computed in integers: each
    decoded array becomes fixed-point numbers (`spikequant.grid`), a function of one
    array becomes a table with straight ends (`spikequant.table`, its entries evaluated
    here, in double precision), a product of two is exact in i64, and a `fire`
    whose threshold holds units, constants and step makes the counts. Any elementwise code
    of constants and one array is such a function. Units are powers of two: at most
    1/32 of the standard deviation of the array (estimated from its weights and the step
    before them) for arguments of functions, and at most `largest-unit`; 1/128 for other arrays. Numbers
    saturate beyond 2^31 units, functions go on straight beyond their tables. A
    product of two functions of one array that does not become straight, as a square, is
    computed as a product; another such function keeps its real form; a remark of
    category `spikequant-fold-scales` says so, or the error of the tables. Runs after
    `spikequant-fold-scales`.

    ```mlir
    %n = spikequant.encode %silu_times_up {step = 5.000000e-01 : f32, site = "down.in"}
    // becomes
    %g = spikequant.grid %a, @gate.grid : tensor<2x8xi64> -> tensor<2x8xi32>
    %f = spikequant.table %g, @function.0 {lo = -1024 : i32, high_slope = 67108864 : i32} ..
    %u = spikequant.grid %b, @up.grid : tensor<2x8xi64> -> tensor<2x8xi32>
    %p = linalg.generic .. arith.muli ..
    %n = spikequant.fire %p {multipliers = array<i64: 1073741824>, ..}
    ```
  }];
  let options = [
    Option<"weights", "weights", "std::string", "\"\"",
           "safetensors file with the values of weights">,
    Option<"largestUnit", "largest-unit", "double", "1.0 / 64",
           "of arguments of functions, at most">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect",
                           "::mlir::spikequant::SpikeQuantDialect"];
}

def FoldResidual : Pass<"spikequant-fold-residual", "::mlir::ModuleOp"> {
  let summary = "the residual stream counts units: sums, norms and thresholds of integers";
  let description = [{
    What decodes, looked-up rows and their sums make, and encodes read, becomes
    an array of i32 in units of a power of two, one unit for the module: a decode (with biases
    and scales per channel) becomes a `spikequant.grid`, a lookup gets rates,
    sums and differences are exact and saturate at 2^31 - 1 units. Sums of rows
    and of their squares, which norms are made of, are exact too; a mean is
    subtracted after rounding to a unit. Then the encode reads integers: the one
    real number per row that a norm needs acts through its mantissa and exponent,
    and a channel's gain and centre through an integer threshold. Real arrays that
    are added to such a stream are converted, real readers get real numbers back.

    The unit is 2^-12 of the least standard deviation of what is added (estimated from weights and
    steps), but at least 2^-17 of that of the sum. A remark of category
    `spikequant-fold-scales` per site has unit and limit, or why it stays real. Runs after
    `spikequant-fold-activations`.

    ```mlir
    %y = linalg.add ins(%e, %o : ..)            // lookup and decode, f32
    %n = spikequant.encode %y row_scale(%r : tensor<2xf32>) {gains = @norm, ..}
    // becomes
    %e = spikequant.lookup @embedding[%ids] {rates = @embedding.grid} ..
    %g = spikequant.grid %acc, @o.grid : tensor<2x8xi64> -> tensor<2x8xi32>
    %y = linalg.generic .. arith.addi ..
    %n = spikequant.encode %y row_scale(%r : tensor<2xf32>) {rates = @q.in.rates, unit = .., ..}
    ```
  }];
  let options = [
    Option<"weights", "weights", "std::string", "\"\"",
           "safetensors file with the values of weights">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::spikequant::SpikeQuantDialect"];
}

def FoldSoftmax : Pass<"spikequant-fold-softmax", "::mlir::ModuleOp"> {
  let summary = "masks, row maxima and exponents of a softmax in integers";
  let description = [{
    The numerators exp(x - max x) of a softmax whose scores x are a product of counts
    times constants become counts without real numbers in between: the membranes
    of the product keep their integers, a mask becomes a condition that hides
    them (as -2^31), the maximum is that of integers, and `spikequant.exponent`
    counts from the distance to it. A mask is a select, or a sum with an array,
    of two values that depend on a condition alone, 0 (or the score) and a number so
    negative that it hides what it is added to from every visible score. Where all scores of
    a row are hidden, all count the same, as in the real program; with a mask of
    -infinity that program has NaN there. Other biases of the scores stay real, with a
    remark of category `spikequant-fold-scales`.

    ```mlir
    %s = f32(%acc) * 1.000000e-03
    %x = select %visible, %s, -1.000000e+30
    %n = spikequant.encode exp(%x - max %x) {step = 0.00392156886 : f32, site = "v.pv.left"}
    // becomes
    %h = select %visible, %acc, -2147483648
    %m = maximum of %h
    %n = spikequant.exponent %h, %m {multipliers = array<i64: 387245>, preshift = 0 : i32,
                                     shift = 16 : i32, largest = 255 : i32, site = "v.pv.left"}
    ```
  }];
  let options = [
    Option<"weights", "weights", "std::string", "\"\"",
           "safetensors file with the values of weights">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect",
                           "::mlir::spikequant::SpikeQuantDialect"];
}

def FoldPositions : Pass<"spikequant-fold-positions", "::mlir::ModuleOp"> {
  let summary = "rotary embeddings and divided rows before an encode in integers";
  let description = [{
    The input of an encode that is linear in decoded arrays, with factors that depend on
    positions alone (the cosines and sines of a rotary embedding), becomes
    fixed-point: decoded arrays become numbers of one unit (`spikequant.grid`, at
    most 1/512 of the step), factors numbers of 2^-14 (literal arrays where they are weights),
    products and sums are exact in i64, slices and reshapes move integers, and a
    `spikequant.fire` makes the counts. So does a product with probabilities: its membranes
    times one real number per row act through the mantissa and exponent of that
    number. Runs after `spikequant-fold-softmax`; a remark of category
    `spikequant-fold-scales` has the error.

    ```mlir
    %a = spikequant.decode %acc, @q ..
    %y = %a0 * %cos - %a1 * %sin
    %n = spikequant.encode %y {step = 0.1 : f32, site = "v.qk.left", ..}
    // becomes
    %g = spikequant.grid %acc, @q.grid : tensor<2x8xi64> -> tensor<2x8xi32>
    %y = linalg.generic .. arith.muli, arith.subi ..
    %n = spikequant.fire %y {multipliers = array<i64: 1073741824>, ..}
    ```
  }];
  let options = [
    Option<"weights", "weights", "std::string", "\"\"",
           "safetensors file with the values of weights">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::math::MathDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::spikequant::SpikeQuantDialect"];
}

def ReportIslands : Pass<"spikequant-report-islands", "::mlir::ModuleOp"> {
  let summary = "lists where real numbers remain, and why";
  let description = [{
    An island is a connected set of real-valued operations that serve one
    purpose: the statistics of a norm's row, a softmax's exponent, an activation
    function, the residual stream. Per function and kind of island the pass
    writes the number of islands, operations and decodes, the real scalar
    operations per token, their ratio to integer accumulations, the share of
    bytes moved, why they are real, and where the first one is. Islands marked `*`
    are outside the named ones that an integer program may have: `norm row`,
    `softmax row`, `exponent`, `final logits`, `embedding`, `row scale`. A token is
    a row of the largest encode. Run it before `spikequant-expand-math`; after
    `spikequant-fuse-elementwise` broadcasts are no operations of their own.

    ```
    @f: per token 64 integer accumulations, 80 real operations; 1 decodes outside named islands
      island                     count     ops  decodes    real/token   real/acc    bytes  why
    * activation function            1       2        1          24.0    37.500%   31.58%  no threshold list or table stands for it, first at ..
    ```
  }];
  let options = [
    Option<"json", "json", "std::string", "\"\"",
           "write this JSON file ('-': standard output), with the place of each island, instead of the table">
  ];
}

def VerifyDequantFree : Pass<"spikequant-verify-dequant-free", "::mlir::ModuleOp"> {
  let summary = "real-valued operations are only in named islands";
  let description = [{
    An error for each island (see `spikequant-report-islands`) outside the named
    ones and those in `allow`, at its first operation, with a note per further
    operation.

    ```mlir
    // error: 'spikequant.decode' starts a real-valued island 'residual' of 2 operations: ..
    %y = spikequant.decode %acc, @w {step = 1.0 : f32} : tensor<2x8xi64> -> tensor<2x8xf32>
    %z = linalg.add ins(%x, %y : ..
    ```
  }];
  let options = [
    ListOption<"allow", "allow", "std::string", "further islands that may be there">,
    Option<"list", "list", "bool", "false", "warn and succeed">
  ];
}

#endif // SPIKEQUANT_TRANSFORMS_PASSES
