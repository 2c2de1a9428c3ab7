// RUN: sq-opt %s --spikequant-expand-math --split-input-file | FileCheck %s
// RUN: sq-opt %s --spikequant-expand-math --split-input-file | FileCheck %s --check-prefix=NONE

// Nothing that a C library or a fast-math flag decides is left.
// NONE-NOT: math.{{exp|log|tanh|erf|sin|cos|rsqrt|pow|cbrt|round}}
// NONE-NOT: fastmath

// CHECK-LABEL: func.func @rsqrt(
// CHECK-SAME:    %[[X:.*]]: f32
// CHECK-DAG:     %[[ONE:.*]] = arith.constant 1.000000e+00 : f32
// CHECK-DAG:     %[[R:.*]] = math.sqrt %[[X]] : f32
// CHECK:         %[[Y:.*]] = arith.divf %[[ONE]], %[[R]] : f32
// CHECK:         return %[[Y]]
func.func @rsqrt(%x: f32) -> f32 {
  %y = math.rsqrt %x : f32
  return %y : f32
}

// -----

// The same code for a vector; the maximum keeps its rule for NaN.
// CHECK-LABEL: func.func @exp_vector
// CHECK:         arith.maximumf %{{.*}}, %{{.*}} : vector<16xf32>
// CHECK:         math.fma %{{.*}}, %{{.*}}, %{{.*}} : vector<16xf32>
// CHECK:         arith.bitcast %{{.*}} : vector<16xi32> to vector<16xf32>
func.func @exp_vector(%x: vector<16xf32>, %z: vector<16xf32>) -> vector<16xf32> {
  %m = arith.maximumf %x, %z : vector<16xf32>
  %y = math.exp %m fastmath<fast> : vector<16xf32>
  return %y : vector<16xf32>
}

// -----

// Narrow types go through f32.
// CHECK-LABEL: func.func @tanh_bf16
// CHECK:         arith.extf %{{.*}} : bf16 to f32
// CHECK:         arith.truncf %{{.*}} : f32 to bf16
func.func @tanh_bf16(%x: bf16) -> bf16 {
  %y = math.tanh %x : bf16
  return %y : bf16
}

// -----

// Inside a linalg body: only the body changes.
// CHECK-LABEL: func.func @body
// CHECK:         linalg.generic
// CHECK:           math.fma
// CHECK:           linalg.yield
#id = affine_map<(d0) -> (d0)>
func.func @body(%x: tensor<8xf32>, %o: tensor<8xf32>) -> tensor<8xf32> {
  %y = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
      ins(%x : tensor<8xf32>) outs(%o : tensor<8xf32>) {
  ^bb0(%in: f32, %out: f32):
    %e = math.exp %in : f32
    linalg.yield %e : f32
  } -> tensor<8xf32>
  return %y : tensor<8xf32>
}

// -----

// Composed functions become their parts first.
// CHECK-LABEL: func.func @composed
// CHECK:         math.fma
func.func @composed(%x: f32, %y: f32) -> f32 {
  %0 = math.sinh %x : f32
  %1 = math.tan %0 : f32
  %2 = math.powf %1, %y : f32
  %3 = math.log %2 fastmath<nnan> : f32
  return %3 : f32
}
