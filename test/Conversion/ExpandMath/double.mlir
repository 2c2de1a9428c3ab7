// RUN: sq-opt %s --spikequant-expand-math 2>/dev/null | FileCheck %s

// CHECK-LABEL: func.func @expm1
//  CHECK-SAME: (%[[X:.*]]: f64)
//       CHECK:   %[[U:.*]] = math.exp %[[X]] : f64
//       CHECK:   %[[LESS:.*]] = arith.subf %[[U]], %[[ONE:.*]] : f64
//       CHECK:   %[[PRODUCT:.*]] = arith.mulf %[[LESS]], %[[X]] : f64
//       CHECK:   %[[LOG:.*]] = math.log %[[U]] : f64
//       CHECK:   arith.divf %[[PRODUCT]], %[[LOG]] : f64
//   CHECK-NOT:   math.expm1
func.func @expm1(%x: f64) -> f64 {
  %y = math.expm1 %x : f64
  return %y : f64
}

// CHECK-LABEL: func.func @log1p
//  CHECK-SAME: (%[[X:.*]]: vector<4xf64>)
//       CHECK:   %[[U:.*]] = arith.addf %[[X]], %{{.*}} : vector<4xf64>
//       CHECK:   %[[LOG:.*]] = math.log %[[U]] : vector<4xf64>
//       CHECK:   %[[PRODUCT:.*]] = arith.mulf %[[LOG]], %[[X]] : vector<4xf64>
//       CHECK:   arith.divf %[[PRODUCT]], %{{.*}} : vector<4xf64>
//   CHECK-NOT:   math.log1p
func.func @log1p(%x: vector<4xf64>) -> vector<4xf64> {
  %y = math.log1p %x : vector<4xf64>
  return %y : vector<4xf64>
}
