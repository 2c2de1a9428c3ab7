// RUN: sq-opt %s --convert-spikequant-to-reference | FileCheck %s
// RUN: sq-opt %s --convert-spikequant-to-reference=spike-planes | FileCheck %s --check-prefix=PLANES
// PLANES-NOT: @sq_ref_integrate(
// PLANES: call @sq_ref_integrate_planes(
// PLANES-NOT: @sq_ref_integrate(

spikequant.weights @w : tensor<4x16xf32> format(#spikequant.codes<bits = 4, group = 8>) source("w")
    {spikequant.layout = {codes = 128 : i64, offset_bits = 16 : i64,
                          scales = 448 : i64, column_max = 512 : i64, max_row_sum = 99 : i64}}
spikequant.weights @b : tensor<16xi8> format(#spikequant.real) source("b")
    {spikequant.layout = {data = 64 : i64}}

// CHECK: func.func private @sq_ref_encode(!llvm.ptr, !llvm.ptr, i64, i64, f32, !llvm.ptr, !llvm.ptr, !llvm.ptr, i32, !llvm.ptr, !llvm.ptr)
// The parts of the codes are symbols of their own.
// CHECK: spikequant.weights @w.codes : tensor<1xi8> format(#spikequant.real) {spikequant.layout = {data = 128 : i64}}
// CHECK: spikequant.weights @w.scales : tensor<1xi8> format(#spikequant.real) {spikequant.layout = {data = 448 : i64}}

// CHECK-LABEL: func.func @layer
// CHECK-SAME:    %[[X:.*]]: tensor<2x16xf32>
// CHECK-SAME:    spikequant.sites = ["w.in.counts"]
// CHECK:         %[[COUNTS:.*]] = memref.alloc() : memref<2x16xi16>
// CHECK:         bufferization.to_buffer %[[X]] read_only : tensor<2x16xf32> to memref<2x16xf32>
// CHECK:         spikequant.load_weights @b : memref<16xi8>
// CHECK:         call @sq_ref_encode
// CHECK:         %[[N:.*]] = bufferization.to_tensor %[[COUNTS]] restrict writable
// CHECK:         bufferization.to_buffer %[[N]] read_only
// CHECK:         call @sq_ref_observe
// CHECK-DAG:     spikequant.load_weights @w.codes : memref<1xi8>
// The form of the offsets.
// CHECK-DAG:     arith.constant 16 : i32
// CHECK:         call @sq_ref_integrate
// CHECK:         spikequant.load_weights @w.scales : memref<1xi8>
// CHECK:         call @sq_ref_decode
// CHECK-NOT:     spikequant.{{encode|integrate|decode|observe}}
func.func @layer(%x: tensor<2x16xf32>) -> tensor<2x4xf32> {
  %n = spikequant.encode %x {step = 0.5 : f32, site = "w.in", bits = @b}
      : tensor<2x16xf32> -> tensor<2x16xi16>
  spikequant.observe %n {site = "w.in.counts"} : tensor<2x16xi16>
  %a = spikequant.integrate %n, @w : tensor<2x16xi16> -> tensor<2x4xi64>
  %y = spikequant.decode %a, @w {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}

// CHECK-LABEL: func.func @contraction
// CHECK:         linalg.generic
// CHECK:         ^bb0(%[[A:.*]]: f32, %[[B:.*]]: f32, %[[ACC:.*]]: f32):
// CHECK-NEXT:      %[[R:.*]] = math.fma %[[A]], %[[B]], %[[ACC]] : f32
// CHECK-NEXT:      linalg.yield %[[R]]
func.func @contraction(%a: tensor<2x3xf32>, %b: tensor<3x4xf32>, %c: tensor<2x4xf32>) -> tensor<2x4xf32> {
  %d = linalg.matmul ins(%a, %b : tensor<2x3xf32>, tensor<3x4xf32>) outs(%c : tensor<2x4xf32>) -> tensor<2x4xf32>
  return %d : tensor<2x4xf32>
}

// The reduction of a vector of its own: no contraction of two inputs, no fma.
// CHECK-LABEL: func.func @sum
// CHECK-NOT:     math.fma
func.func @sum(%a: tensor<2x3xf32>, %c: tensor<2xf32>) -> tensor<2xf32> {
  %d = linalg.reduce { arith.addf } ins(%a : tensor<2x3xf32>) outs(%c : tensor<2xf32>) dimensions = [1]
  return %d : tensor<2xf32>
}

spikequant.weights @stack : tensor<3x4x16xf32> format(#spikequant.codes<bits = 4, group = 8>) source("stack")
    {spikequant.layout = {codes = 1024 : i64, offset_bits = 16 : i64,
                          scales = 2304 : i64, column_max = 2496 : i64, max_row_sum = 99 : i64}}

// A scalar becomes an array of one number, a vector is passed as it is.
// CHECK-LABEL: func.func @chosen
// CHECK-SAME:    index, %[[IDS:.*]]: tensor<2xi32>
// CHECK:         %[[ONE:.*]] = tensor.from_elements %{{.*}} : tensor<1xi32>
// CHECK:         bufferization.to_buffer %[[ONE]] read_only
// CHECK:         call @sq_ref_integrate_stack
// CHECK:         bufferization.to_buffer %[[IDS]] read_only
// CHECK:         call @sq_ref_decode_stack
func.func @chosen(%n: tensor<2x16xi16>, %i: index, %ids: tensor<2xi32>) -> tensor<2x4xf32> {
  %a = spikequant.integrate %n, @stack[%i : index] : tensor<2x16xi16> -> tensor<2x4xi64>
  %y = spikequant.decode %a, @stack[%ids : tensor<2xi32>] {step = 0.5 : f32} : tensor<2x4xi64> -> tensor<2x4xf32>
  return %y : tensor<2x4xf32>
}
