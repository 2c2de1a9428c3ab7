// RUN: sq-opt %s --spikequant-expand-math | FileCheck %s

// f64 to bf16 through f32 that is rounded to odd: one step towards zero if f32 is too large, the last bit set if
// it is not exact. Conversions that processors have stay.

// CHECK-LABEL: func.func @narrow
// CHECK-SAME: %[[X:.*]]: f64
// CHECK: %[[F:.*]] = arith.truncf %[[X]] : f64 to f32
// CHECK: %[[BACK:.*]] = arith.extf %[[F]] : f32 to f64
// CHECK-DAG: %[[A:.*]] = math.absf %[[BACK]]
// CHECK-DAG: %[[B:.*]] = math.absf %[[X]]
// CHECK-DAG: %[[ABOVE:.*]] = arith.cmpf ogt, %[[A]], %[[B]]
// CHECK-DAG: %[[INEXACT:.*]] = arith.cmpf one, %[[BACK]], %[[X]]
// CHECK-DAG: %[[BITS:.*]] = arith.bitcast %[[F]] : f32 to i32
// CHECK-DAG: %[[STEP:.*]] = arith.extui %[[ABOVE]] : i1 to i32
// CHECK-DAG: %[[LAST:.*]] = arith.extui %[[INEXACT]] : i1 to i32
// CHECK-DAG: %[[TOWARDS:.*]] = arith.subi %[[BITS]], %[[STEP]]
// CHECK-DAG: %[[ODD:.*]] = arith.ori %[[TOWARDS]], %[[LAST]]
// CHECK: %[[G:.*]] = arith.bitcast %[[ODD]] : i32 to f32
// CHECK: arith.truncf %[[G]] : f32 to bf16
func.func @narrow(%x: f64) -> bf16 {
  %y = arith.truncf %x : f64 to bf16
  return %y : bf16
}

// CHECK-LABEL: func.func @kept
// CHECK-NEXT: arith.truncf %{{.*}} : f64 to f32
// CHECK-NEXT: arith.truncf %{{.*}} : f32 to f16
// CHECK-NEXT: return
func.func @kept(%x: f64, %z: f32) -> (f32, f16) {
  %y = arith.truncf %x : f64 to f32
  %h = arith.truncf %z : f32 to f16
  return %y, %h : f32, f16
}
