// RUN: sq-opt %s --spikequant-add-graph-context --split-input-file --verify-diagnostics | FileCheck %s

spikequant.weights @norm : tensor<16xf32> format(#spikequant.real) source("norm") {spikequant.layout = {data = 192 : i64}}

// CHECK-LABEL: func.func @f
// CHECK-SAME: %{{.*}}: memref<4x16xf32>, %[[FILE:.*]]: memref<?xi8> {spikequant.weights_file}, %{{.*}}: memref<?xi8> {spikequant.arena}, %{{.*}}: memref<?xi64> {spikequant.salient}, %{{.*}}: !llvm.ptr {spikequant.call})
// CHECK-SAME: spikequant.sites = ["a", "b"]
// CHECK: %[[OFFSET:.*]] = arith.constant 192 : index
// CHECK: memref.view %[[FILE]][%[[OFFSET]]][] : memref<?xi8> to memref<16xf32>
// CHECK-NOT: spikequant.load_weights
func.func @f(%x: memref<4x16xf32>) {
  %w = spikequant.load_weights @norm : memref<16xf32>
  spikequant.observe %x {site = "a"} : memref<4x16xf32>
  spikequant.observe %w {site = "b"} : memref<16xf32>
  spikequant.observe %x {site = "a"} : memref<4x16xf32>
  return
}

// -----

spikequant.weights @norm : tensor<16xf32> format(#spikequant.real) source("norm")
func.func @unpacked() {
  // expected-error@+1 {{weights 'norm' have no place in the packed file}}
  %w = spikequant.load_weights @norm : memref<16xf32>
  return
}
