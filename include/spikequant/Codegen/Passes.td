//===- Passes.td - from tensors to threaded loops over one arena -*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CODEGEN_PASSES
#define SPIKEQUANT_CODEGEN_PASSES

include "mlir/Pass/PassBase.td"

def FuseElementwise : Pass<"spikequant-fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "fuses elementwise operations, leaves contractions alone";
  let description = [{
    Generalises named elementwise linalg operations and fuses producers into
    their consumers. A producer with several consumers is copied into each only
    if it computes nothing (a broadcast, a constant). Contractions and fills stay
    as they are: code generation recognises them by name. No operation is
    reassociated, so results keep every bit.

    ```mlir
    // before: two loops                       after: one
    %s = linalg.add ins(%a, %b) ..             %p = linalg.generic .. {
    %p = linalg.mul ins(%s, %c) ..               %s = arith.addf ..
                                                 %p = arith.mulf ..
    ```
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::affine::AffineDialect", "::mlir::arith::ArithDialect"];
}

def RematerializeDestinations
    : Pass<"spikequant-rematerialize-destinations", "::mlir::func::FuncOp"> {
  let summary = "one tensor.empty and one linalg.fill per use";
  let description = [{
    Common subexpression elimination merges destinations that have nothing to do
    with each other; bufferisation would then copy to keep them apart. Every use
    of a `tensor.empty`, and of the result of a `linalg.fill` of one, gets its own.

    ```mlir
    %e = tensor.empty()                        %e0 = tensor.empty()
    %x = linalg.generic .. outs(%e)      ->    %x = linalg.generic .. outs(%e0)
    %y = linalg.generic .. outs(%e)            %e1 = tensor.empty()
                                               %y = linalg.generic .. outs(%e1)
    ```
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def LimitLoops : Pass<"spikequant-limit-loops", "::mlir::func::FuncOp"> {
  let summary = "lets loops stop where a mask hides the rest";
  let description = [{
    Attention computes a product for every place of the cache and then hides
    those that are not written yet: `select(column <= start + row, product,
    -1e30)`. After the softmax they are 0. A sum or a maximum over the columns may
    stop at `start + rows`, and so may everything that only such operations read.

    An operation that may stop gets the attribute `spikequant.limit`: of its loop
    `dim`, iterations from `(argument + addend) / divisor` on are not needed,
    where `argument` is an integer scalar argument of the graph. Kernels stop at
    the next multiple of 64 elements, or run to the end if the argument is
    negative.

    Results keep every bit as long as real numbers stay below 1e28 in magnitude
    and the array behind the mask holds no infinities or NaN.

    ```mlir
    // Hidden columns are those from start + 1 on: limit = [2, 1, 1, 1, 256].
    %s = linalg.batch_matmul ins(%q, %k) outs(..) -> tensor<3x3x256xf32>
    %m = linalg.generic .. { select(%column <= %start), %s, -1e30 }
    ```
  }];
}

def CarryInPlace : Pass<"spikequant-carry-in-place", "::mlir::func::FuncOp"> {
  let summary = "writes the next value of a loop to the place of the current one";
  let description = [{
    The memory of a graph is planned before it runs, so what an `scf.for` or
    `scf.while` carries from one iteration to the next must stay in one buffer. A
    value that is no update in place of its current version is written to the
    place of that version at the end of the body. If its memory could hold another
    value of the loop (values change places, a view), it is copied first.

    ```mlir
    scf.for .. iter_args(%a, %b) {             scf.for .. iter_args(%a, %b) {
      scf.yield %b, %a                    ->     %c = bufferization.alloc_tensor() copy(%b)
    }                                            %d = bufferization.alloc_tensor() copy(%a)
                                                 %e = bufferization.materialize_in_destination %c in %a
                                                 %f = bufferization.materialize_in_destination %d in %b
                                                 scf.yield %e, %f
                                               }
    ```
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect"];
}

def BufferizeGraphs : Pass<"spikequant-bufferize-graphs", "::mlir::ModuleOp"> {
  let summary = "tensors to buffers, state in place, results to out arguments";
  let description = [{
    Bufferises every function. Of the arguments of a public function only those
    with `spikequant.state = j` may be written: the new value, result j, is
    written in place. Every other result becomes an argument with the attribute
    `spikequant.result = j` after the others, into which the program writes.
    Functions return nothing afterwards. It is an error if a state that is
    updated in part (insert_slice into the argument) would need a copy.

    ```mlir
    func.func @step(%x: tensor<4xf32>, %s: tensor<8x4xf32> {spikequant.state = 1 : i64})
        -> (tensor<4xf32>, tensor<8x4xf32>)
    // becomes
    func.func @step(%x: memref<4xf32>, %s: memref<8x4xf32> {spikequant.state = 1 : i64},
                    %y: memref<4xf32> {spikequant.result = 0 : i64})
    ```
  }];
  let dependentDialects = ["::mlir::bufferization::BufferizationDialect",
                           "::mlir::memref::MemRefDialect", "::mlir::linalg::LinalgDialect"];
}

def AddGraphContext : Pass<"spikequant-add-graph-context", "::mlir::ModuleOp"> {
  let summary = "gives graph functions the weights file, the arena, counters and the call";
  let description = [{
    Appends the four arguments of `spikequant/Conversion/GraphContext.h` to every
    public function, lists the function's sites in `spikequant.sites`, and turns
    `spikequant.load_weights` into a view of the weights file at the offset that
    the symbol's `spikequant.layout` holds.

    ```mlir
    %w = spikequant.load_weights @norm : memref<576xf32>
    // becomes
    %w = memref.view %weights_file[%c64][] : memref<?xi8> to memref<576xf32>
    ```
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect",
                           "::mlir::LLVM::LLVMDialect"];
}

def PlanArena : Pass<"spikequant-plan-arena", "::mlir::func::FuncOp"> {
  let summary = "places every allocation of a graph in one arena";
  let description = [{
    Buffers whose lives do not overlap share memory. A life spans the operations
    of the function's body from the first to the last use of the buffer or of a
    view of it; offsets are multiples of 64 and chosen first-fit, largest buffer
    first. Each `memref.alloc` becomes a `memref.view` of the arena argument; the
    size goes to the attribute `spikequant.arena_bytes`.
  }];
  let dependentDialects = ["::mlir::memref::MemRefDialect", "::mlir::arith::ArithDialect"];
}

def OutlineKernels : Pass<"spikequant-outline-kernels", "::mlir::ModuleOp"> {
  let summary = "moves every operation that touches arrays into a function of its own";
  let description = [{
    Each linalg operation, memref.copy and memref.store of a public function
    becomes a call of a private function marked `spikequant.kernel`, and so does
    an `scf.for` that does nothing but scalar work on memory. Constants
    are cloned into it, everything else is an argument; static offsets of strided
    operands become dynamic. Equal kernels of all graphs and layers are one
    function, so that code size depends on the number of shapes, not of layers.

    ```mlir
    linalg.fill ins(%zero : f32) outs(%m : memref<4xf32>)
    // becomes
    call @fill_4(%m) : (memref<4xf32>) -> ()
    ```
  }];
  let dependentDialects = ["::mlir::func::FuncDialect", "::mlir::memref::MemRefDialect"];
}

def MergeKernels : Pass<"spikequant-merge-kernels", "::mlir::ModuleOp"> {
  let summary = "kernels that differ in numbers become one";
  let description = [{
    Outlined kernels that are equal but for scalar constants become one function;
    constants that differ become its last arguments. Integers of 64 bits that
    fit 32 in all of them are passed so, and what two of them clamp is truncated
    and extended again, which changes nothing: the code generator then knows that
    a product of such numbers needs 32 bits of each, as it knew from the constants.
    Divisors stay constants.

    ```mlir
    call @generic_8(%a) : (memref<8xi32>) -> ()    // %0 = arith.muli %in, %c3
    call @generic_8_0(%b) : (memref<8xi32>) -> ()  // %0 = arith.muli %in, %c5
    // becomes
    call @generic_8(%a, %c3) : (memref<8xi32>, i32) -> ()
    call @generic_8(%b, %c5) : (memref<8xi32>, i32) -> ()
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::func::FuncDialect"];
}

def Workshare : Pass<"spikequant-workshare", "::mlir::ModuleOp"> {
  let summary = "parallel loops of kernels to loops shared by the running threads";
  let description = [{
    All threads of one parallel region run a graph from beginning to end. In
    kernels the outermost `scf.parallel` becomes an orphaned `omp.wsloop` with its
    barrier. A *serial* kernel (its loops have one iteration, or it writes outside
    of them) is run by the first thread (`omp.masked`), and so is
    `spikequant.observe`, a call of the runtime; one barrier follows each run of
    serial kernels, not each kernel. A scalar read of memory that the graph may
    write is followed by a barrier too, so that no thread overwrites it before all
    have read it.

    ```mlir
    scf.parallel (%i) = (%c0) to (%c8) step (%c1) { .. }
    // becomes
    omp.wsloop { omp.loop_nest (%i) : index = (%c0) to (%c8) step (%c1) { .. omp.yield } }
    ```

    With `profile` the runtime reads the clock at the start of the graph and after
    each kernel, its barrier included, under the kernel's name.
  }];
  let options = [
    Option<"profile", "profile", "bool", /*default=*/"false",
           "Tell the runtime about the end of each kernel">
  ];
  let dependentDialects = ["::mlir::omp::OpenMPDialect", "::mlir::LLVM::LLVMDialect",
                           "::mlir::arith::ArithDialect", "::mlir::memref::MemRefDialect"];
}

def EraseMetadata : Pass<"spikequant-erase-metadata", "::mlir::ModuleOp"> {
  let summary = "removes what only earlier stages read";
  let description = [{
    Erases `spikequant.weights` symbols and all `spikequant.` attributes: the
    translation to LLVM IR knows neither.

    ```mlir
    llvm.func @f(%a: !llvm.ptr {spikequant.call}) attributes {spikequant.arena_bytes = 64 : i64}
    // becomes
    llvm.func @f(%a: !llvm.ptr)
    ```
  }];
}

#endif // SPIKEQUANT_CODEGEN_PASSES
