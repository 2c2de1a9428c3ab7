// RUN: sq-opt %s -spikequant-quantize="method=rtn weight-bits=3 group=0" \
// RUN:   --remarks-filter=spikequant-quantize 2> %t.remarks | FileCheck %s
// RUN: FileCheck %s --input-file=%t.remarks --check-prefix=REMARK

// Rows scaled by 7 / max |x|; the decoded rows get max |x| / 7 back.

// CHECK-NOT: spikequant.predicted
// CHECK: spikequant.weights @w.codes : tensor<4x8xf32> format(#spikequant.codes<bits = 3, group = 0>) source("w", [1, 0])
// CHECK-LABEL: func.func @rows
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x8xf32>
// CHECK-SAME: attributes {spikequant.sites = ["w.in"]}
func.func @rows(%x: tensor<2x8xf32>, %w: tensor<8x4xf32> {spikequant.weight = "w"}) -> tensor<2x4xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x4xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<2x4xf32>) -> tensor<2x4xf32>
  // CHECK: %[[MAX:.*]] = linalg.generic {{.*}}iterator_types = ["parallel", "reduction"]{{.*}} ins(%[[X]] :
  // CHECK: math.absf
  // CHECK: arith.maximumf
  // CHECK: %[[SEVEN:.*]] = arith.constant 7.000000e+00 : f32
  // CHECK: %[[SCALE:.*]] = linalg.generic {{.*}} ins(%[[MAX]] :
  // CHECK-NEXT: ^bb0(%[[IN:.*]]: f32,
  // CHECK: arith.cmpf olt, %[[IN]]
  // CHECK: arith.divf %[[SEVEN]], %[[IN]]
  // CHECK: arith.select
  // CHECK: %[[FACTOR:.*]] = linalg.generic {{.*}} ins(%[[MAX]] :
  // CHECK-NEXT: ^bb0(%[[IN2:.*]]: f32,
  // CHECK: arith.divf %[[IN2]], %[[SEVEN]]
  // CHECK: %[[N:.*]] = spikequant.encode %[[X]] row_scale(%[[SCALE]] : tensor<2xf32>) {site = "w.in", step = 1.000000e+00 : f32} : tensor<2x8xf32> -> tensor<2x8xi16>
  // REMARK: [Passed] encode-site {{.*}} Remark="site 'w.in': each row scaled by 7 / max |x|, 4 bits"
  // CHECK: %[[ACC:.*]] = spikequant.integrate %[[N]], @w.codes
  // CHECK: %[[D:.*]] = spikequant.decode %[[ACC]], @w.codes {step = 1.000000e+00 : f32}
  // CHECK: %[[Y:.*]] = linalg.generic {indexing_maps = [#[[MN:.*]], #[[M:.*]], #[[MN]]]{{.*}} ins(%[[D]], %[[FACTOR]] : tensor<2x4xf32>, tensor<2xf32>)
  // CHECK: arith.mulf
  // CHECK: %[[E:.*]] = math.exp %[[Y]]
  // CHECK: return %[[E]]
  %y = linalg.matmul ins(%x, %w : tensor<2x8xf32>, tensor<8x4xf32>)
      outs(%f : tensor<2x4xf32>) -> tensor<2x4xf32>
  %exp = math.exp %y : tensor<2x4xf32>
  return %exp : tensor<2x4xf32>
}
