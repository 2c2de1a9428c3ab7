//===- Passes.td - conversions and code generation passes -------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_PASSES
#define SPIKEQUANT_CONVERSION_PASSES

include "mlir/Pass/PassBase.td"

def ConvertDot4ToLLVM : Pass<"convert-spikequant-dot4-to-llvm"> {
  let summary = "dot4 and dot2 to a processor's instructions or to vector operations";
  let description = [{
    `spikequant.dot4` and `spikequant.dot2` become calls of intrinsics; the
    processor that the code is made for must have the instructions, since the
    backend cannot expand them. With `portable` they become shifts, masks,
    products and additions of 16 lanes. All are equal to the bit.

    ```mlir
    %r = spikequant.dot4 %acc, %codes, %counts : vector<16xi32>, vector<64xi8>
    // becomes, with instructions=avx512-vnni
    %r = llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%acc, %codes, %counts)
        : (vector<16xi32>, vector<64xi8>, vector<64xi8>) -> vector<16xi32>
    ```

    `vpmaddubsw` adds two products in 16 bits and saturates. It is used where
    the codes are masked to at most 128, so that two products with -128 .. 127
    fit, and where they are multiples of 16, which a shift takes out and the next
    product puts back. Other codes are extended to 16 bits, for `vpmaddwd`.
    `sdot` knows signed codes only: larger ones have 128 subtracted, whose
    product with the counts is added again.
  }];
  let options = [
    Option<"instructions", "instructions", "::mlir::spikequant::DotInstructions",
           "::mlir::spikequant::DotInstructions::Portable", "of the processor",
           [{::llvm::cl::values(
             clEnumValN(::mlir::spikequant::DotInstructions::Portable, "portable", "any vectors"),
             clEnumValN(::mlir::spikequant::DotInstructions::Avx2, "avx2", "vpmaddubsw, vpmaddwd"),
             clEnumValN(::mlir::spikequant::DotInstructions::Avx512Bw, "avx512bw", "the same of 512 bits"),
             clEnumValN(::mlir::spikequant::DotInstructions::AvxVnni, "avxvnni", "vpdpbusd of 256 bits"),
             clEnumValN(::mlir::spikequant::DotInstructions::Avx512Vnni, "avx512vnni", "vpdpbusd"),
             clEnumValN(::mlir::spikequant::DotInstructions::NeonDot, "dotprod", "sdot"),
             clEnumValN(::mlir::spikequant::DotInstructions::NeonI8mm, "i8mm", "usdot"))}]>
  ];
  let dependentDialects = ["::mlir::LLVM::LLVMDialect", "::mlir::arith::ArithDialect",
                           "::mlir::vector::VectorDialect"];
}

def ConvertSpikeQuantToProcessor
    : Pass<"convert-spikequant-to-processor", "::mlir::ModuleOp"> {
  let summary = "encode, integrate, decode and lookup to the processor's containers";
  let description = [{
    Counts become an int8 array, sums per group and a list of overflow entries
    (`encode_split`, one per distinct group size of its consumers, with a
    `tally` of the salient counts); `integrate` and its `decode` become one
    `integrate_decode`; `lookup` becomes `lookup_rows`; `fire` becomes integer
    arithmetic in a `linalg.generic`. Counts and membranes that have other users
    (observers above all) are extra outputs of the same operations, so those
    users see the exact integers. Leading dimensions are collapsed into rows.
    Shapes must be static.

    ```mlir
    %n = spikequant.encode %x {step = 0.125 : f32, site = "up.in"}
        : tensor<128x576xf32> -> tensor<128x576xi16>
    %acc = spikequant.integrate %n, @up : tensor<128x576xi16> -> tensor<128x1536xi64>
    %y = spikequant.decode %acc, @up {step = 0.125 : f32}
        : tensor<128x1536xi64> -> tensor<128x1536xf32>
    // becomes
    %d, %s, %o = spikequant.encode_split {group = 32 : i64, site = "up.in", step = 0.125 : f32}
        ins(%x : tensor<128x576xf32>) outs(..)
    spikequant.tally %o {site = "up.in"} : tensor<128x1154xi32>
    %y = spikequant.integrate_decode {step = 0.125 : f32, weights = @up}
        ins(%d, %s, %o : ..) outs(..)
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::linalg::LinalgDialect",
                           "::mlir::tensor::TensorDialect",
                           "::mlir::spikequant::SpikeQuantDialect"];
}

def ConvertSpikeQuantToVectorLoops
    : Pass<"convert-spikequant-to-vector-loops", "::mlir::ModuleOp"> {
  let summary = "processor operations on buffers to calls of generated kernels";
  let description = [{
    Each `encode_split`, `integrate_decode`, `lookup_rows` and `tally` on buffers
    becomes a call of a private function marked `spikequant.kernel`, which is
    shared by all operations of the same shapes and format. Parts of the packed
    weights are views of the function's `spikequant.weights_file` argument at the
    offsets that `spikequant.layout` on the weights gives; counters of salient
    counts are in its `spikequant.salient` argument. A kernel has one outermost
    `scf.parallel`, for the threads to share, which contains all of its writes.

    ```mlir
    spikequant.tally %o {site = "up.in"} : memref<128x1154xi32>
    // becomes
    call @sq_tally_m128(%o, %salient, %c0)
        : (memref<128x1154xi32>, memref<?xi64>, index) -> ()
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect",
                           "::mlir::math::MathDialect", "::mlir::memref::MemRefDialect",
                           "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def ExpandMath : Pass<"spikequant-expand-math"> {
  let summary = "defines every real operation: the strict float profile";
  let description = [{
    Rewrites elementary functions of f32 values to additions, multiplications,
    fused multiply-adds and comparisons, so that their bits are the same on every
    processor (docs/FloatProfile.md states their accuracy), and reductions over
    the innermost dimension to 16 partial results (lane = index mod 16, indices
    ascending) that a tree of 8, 4, 2 and 1 combines. Works inside linalg bodies
    and on scalars, vectors and tensors. Fast-math flags are removed.
    Contractions (a product of two inputs added up) keep their form: they are one
    chain of fused multiply-adds. Other reductions stay chains in loop order.

    ```mlir
    %y = math.rsqrt %x : f32
    ```

    becomes

    ```mlir
    %0 = math.sqrt %x : f32
    %y = arith.divf %cst, %0 : f32
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::math::MathDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def SpikeQuantCanonicalizeContractions
    : Pass<"spikequant-canonicalize-contractions", "::mlir::func::FuncOp"> {
  let summary = "give contractions an operand that is contiguous along the columns";
  let description = [{
    A contraction on tensors whose innermost output loop is not the innermost
    dimension of the operand that has it gets a `linalg.transpose` of that
    operand. Afterwards `convert-linalg-to-vector-loops` finds contiguous vectors
    everywhere. Values do not change. For example `y[m, n] += x[m, k] w[n, k]`
    becomes

    ```mlir
    %t = linalg.transpose ins(%w : tensor<7x5xf32>) outs(%e : tensor<5x7xf32>)
           permutation = [1, 0]
    linalg.generic ... // y[m, n] += x[m, k] t[k, n]
    ```
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def ConvertLinalgToVectorLoops
    : Pass<"convert-linalg-to-vector-loops", "::mlir::func::FuncOp"> {
  let summary = "linalg on buffers to one work-shared loop of vector code per operation";
  let description = [{
    Replaces every linalg operation on memrefs, and every `memref.copy`, by an
    outermost `scf.parallel` of one dimension (which may have a single iteration)
    that holds `scf.for` loops and vector operations. All memory writes are inside
    it. Do not canonicalise between this pass and the one that shares the work:
    loops with one iteration would be inlined.

    Values equal those of a scalar loop nest in iteration order bit for bit; a
    multiply-add contraction on f32 or f64 is one chain of fused multiply-adds per
    element, k ascending. A contraction of i8 with i8 into i32 becomes
    `spikequant.dot4` where one factor is contiguous along the contracted
    dimension, the other along the result's last. Operations with dynamic shapes become scalar loops.

    ```mlir
    linalg.add ins(%a, %b : memref<64xf32>, memref<64xf32>) outs(%c : memref<64xf32>)
    ```

    becomes

    ```mlir
    scf.parallel (%i) = (%c0) to (%c1) step (%c1) {
      scf.for %j = %c0 to %c64 step %c16 {
        %x = vector.load %a[%j] : memref<64xf32>, vector<16xf32>
        %y = vector.load %b[%j] : memref<64xf32>, vector<16xf32>
        %z = arith.addf %x, %y : vector<16xf32>
        vector.store %z, %c[%j] : memref<64xf32>, vector<16xf32>
      }
    }
    ```
  }];
  let options = [
    Option<"vectorBits", "vector-bits", "int64_t", "512",
           "width of a vector register: 512, 256 or 128; changes speed only">
  ];
  let dependentDialects = ["::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::math::MathDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
                           "::mlir::spikequant::SpikeQuantDialect",
                           "::mlir::vector::VectorDialect"];
}

def SpikeQuantInsertTaps : Pass<"spikequant-insert-taps"> {
  let summary = "shows the integers of every site to the host";
  let description = [{
    After each `encode` the counts are observed under the name "<site>.counts",
    after each `integrate` the membrane under "<weights>.acc"; with `inputs` also
    what the encode read, "<site>.x" and "<site>.row_scale". Recorded by two
    programs they can be compared; `sq-run --replay` recomputes the integers from
    the recorded inputs.

    ```mlir
    %n = spikequant.encode %x {step = 0.5 : f32, site = "up.in"}
        : tensor<2x8xf32> -> tensor<2x8xi16>
    ```

    becomes

    ```mlir
    spikequant.observe %x {site = "up.in.x"} : tensor<2x8xf32>
    %n = spikequant.encode %x {site = "up.in", step = 5.000000e-01 : f32}
        : tensor<2x8xf32> -> tensor<2x8xi16>
    spikequant.observe %n {site = "up.in.counts"} : tensor<2x8xi16>
    ```
  }];
  let options = [
    Option<"inputs", "inputs", "bool", "true", "also show what each encode reads">
  ];
}

def ConvertSpikeQuantToReference
    : Pass<"convert-spikequant-to-reference", "::mlir::ModuleOp"> {
  let summary = "spikequant operations to calls of their scalar definitions";
  let description = [{
    Each operation becomes a call of the function of
    `spikequant/Kernel/Reference.h` that defines it, on buffers; weights need their
    place in the packed file (`spikequant.layout`). `observe` becomes a call of
    `sq_ref_observe(site, data, element type, rows, channels)`, the site being an
    index of the function's `spikequant.sites`. Bodies of contractions become
    `math.fma`. Bufferise afterwards. With `spike-planes`, `integrate` becomes a call of
    `sq_ref_integrate_planes`: the same integers by additions over binary spikes.

    ```mlir
    %n = spikequant.encode %x {step = 0.5 : f32, site = "up.in"}
        : tensor<2x8xf32> -> tensor<2x8xi16>
    ```

    becomes

    ```mlir
    %b = bufferization.to_buffer %x read_only : tensor<2x8xf32> to memref<2x8xf32>
    %a = memref.alloc() : memref<2x8xi16>
    func.call @sq_ref_encode(%b's address, .., %a's address, ..)
    %n = bufferization.to_tensor %a restrict writable
    ```
  }];
  let options = [
    Option<"spikePlanes", "spike-planes", "bool", "false",
           "integrate by additions over binary spike planes, without a multiplication">
  ];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::bufferization::BufferizationDialect",
    "::mlir::func::FuncDialect", "::mlir::linalg::LinalgDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::math::MathDialect",
    "::mlir::memref::MemRefDialect", "::mlir::tensor::TensorDialect"];
}

#endif // SPIKEQUANT_CONVERSION_PASSES
