// RUN: sq-opt %s --spikequant-insert-taps | FileCheck %s
// RUN: sq-opt %s --spikequant-insert-taps=inputs=false | FileCheck %s --check-prefix=INTEGERS

spikequant.weights @up : tensor<4x8xf32> format(#spikequant.codes<bits = 4, group = 8>) source("up")

// CHECK-LABEL: func.func @layer
// CHECK-SAME:    %[[X:.*]]: tensor<2x8xf32>, %[[R:.*]]: tensor<2xf32>
// CHECK-NEXT:    spikequant.observe %[[X]] {site = "up.in.x"} : tensor<2x8xf32>
// CHECK-NEXT:    spikequant.observe %[[R]] {site = "up.in.row_scale"} : tensor<2xf32>
// CHECK-NEXT:    %[[N:.*]] = spikequant.encode
// CHECK-NEXT:    spikequant.observe %[[N]] {site = "up.in.counts"} : tensor<2x8xi16>
// CHECK-NEXT:    %[[A:.*]] = spikequant.integrate %[[N]], @up
// CHECK-NEXT:    spikequant.observe %[[A]] {site = "up.acc"} : tensor<2x4xi64>
// INTEGERS-NOT:  ".x"
// INTEGERS-NOT:  row_scale"
// INTEGERS:      spikequant.observe %{{.*}} {site = "up.in.counts"}
// INTEGERS:      spikequant.observe %{{.*}} {site = "up.acc"}
func.func @layer(%x: tensor<2x8xf32>, %r: tensor<2xf32>) -> tensor<2x4xi64> {
  %n = spikequant.encode %x row_scale(%r : tensor<2xf32>) {step = 0.5 : f32, site = "up.in"}
      : tensor<2x8xf32> -> tensor<2x8xi16>
  %a = spikequant.integrate %n, @up : tensor<2x8xi16> -> tensor<2x4xi64>
  return %a : tensor<2x4xi64>
}
