// RUN: sq-opt %s --spikequant-outline-kernels --spikequant-merge-kernels --canonicalize | FileCheck %s

// Two layers that differ in bounds and a rate share a kernel; the shift, which is the same, stays in it. What two
// bounds of 32 bits clamp is known to have 32 bits.
// CHECK-LABEL: func.func @layers
// CHECK-DAG: %[[LOW0:.*]] = arith.constant -1000 : i32
// CHECK-DAG: %[[HIGH0:.*]] = arith.constant 1000 : i32
// CHECK-DAG: %[[RATE0:.*]] = arith.constant 77 : i32
// CHECK-DAG: %[[LOW1:.*]] = arith.constant -2000 : i32
// CHECK-DAG: %[[HIGH1:.*]] = arith.constant 2000 : i32
// CHECK-DAG: %[[RATE1:.*]] = arith.constant 99 : i32
// CHECK: call @[[KERNEL:.*]](%{{.*}}, %{{.*}}, %[[LOW0]], %[[HIGH0]], %[[RATE0]])
// CHECK: call @[[KERNEL]](%{{.*}}, %{{.*}}, %[[LOW1]], %[[HIGH1]], %[[RATE1]])
func.func @layers(%x: memref<8xi64>, %y: memref<8xi8>) {
  %l0 = arith.constant -1000 : i64
  %h0 = arith.constant 1000 : i64
  %m0 = arith.constant 77 : i64
  %l1 = arith.constant -2000 : i64
  %h1 = arith.constant 2000 : i64
  %m1 = arith.constant 99 : i64
  %s = arith.constant 12 : i64
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]} ins(%x : memref<8xi64>) outs(%y : memref<8xi8>) {
  ^bb0(%in: i64, %out: i8):
    %0 = arith.maxsi %in, %l0 : i64
    %1 = arith.minsi %0, %h0 : i64
    %2 = arith.muli %1, %m0 : i64
    %3 = arith.shrsi %2, %s : i64
    %4 = arith.trunci %3 : i64 to i8
    linalg.yield %4 : i8
  }
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]} ins(%x : memref<8xi64>) outs(%y : memref<8xi8>) {
  ^bb0(%in: i64, %out: i8):
    %0 = arith.maxsi %in, %l1 : i64
    %1 = arith.minsi %0, %h1 : i64
    %2 = arith.muli %1, %m1 : i64
    %3 = arith.shrsi %2, %s : i64
    %4 = arith.trunci %3 : i64 to i8
    linalg.yield %4 : i8
  }
  return
}

// Numbers that need 64 bits are passed so. A divisor stays a constant, which keeps its kernels apart.
// CHECK-LABEL: func.func @others
// CHECK-DAG: %[[A:.*]] = arith.constant 5000000000 : i64
// CHECK-DAG: %[[B:.*]] = arith.constant 6000000000 : i64
// CHECK: call @[[WIDE:.*]](%{{.*}}, %[[A]])
// CHECK: call @[[WIDE]](%{{.*}}, %[[B]])
// CHECK: call @[[THREE:.*]](%{{.*}}) : (memref<4xi32>) -> ()
// CHECK-NOT: call @[[THREE]](
// CHECK: return
func.func @others(%x: memref<4xi64>, %y: memref<4xi32>) {
  %a = arith.constant 5000000000 : i64
  %b = arith.constant 6000000000 : i64
  %three = arith.constant 3 : i32
  %five = arith.constant 5 : i32
  linalg.fill ins(%a : i64) outs(%x : memref<4xi64>)
  linalg.fill ins(%b : i64) outs(%x : memref<4xi64>)
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%y : memref<4xi32>) {
  ^bb0(%out: i32):
    %0 = arith.divui %out, %three : i32
    linalg.yield %0 : i32
  }
  linalg.generic {indexing_maps = [affine_map<(i) -> (i)>], iterator_types = ["parallel"]} outs(%y : memref<4xi32>) {
  ^bb0(%out: i32):
    %0 = arith.divui %out, %five : i32
    linalg.yield %0 : i32
  }
  return
}

// CHECK: func.func private @[[KERNEL]](%{{.*}}: memref<8xi64>, %{{.*}}: memref<8xi8>, %[[LOW:.*]]: i32, %[[HIGH:.*]]: i32, %[[RATE:.*]]: i32) attributes {spikequant.kernel}
// CHECK-DAG: %[[SHIFT:.*]] = arith.constant 12 : i64
// CHECK-DAG: %[[L:.*]] = arith.extsi %[[LOW]] : i32 to i64
// CHECK-DAG: %[[H:.*]] = arith.extsi %[[HIGH]] : i32 to i64
// CHECK-DAG: %[[R:.*]] = arith.extsi %[[RATE]] : i32 to i64
// CHECK: %[[RAISED:.*]] = arith.maxsi %{{.*}}, %[[L]]
// CHECK: %[[CLAMPED:.*]] = arith.minsi %[[RAISED]], %[[H]]
// CHECK: %[[SHORT:.*]] = arith.trunci %[[CLAMPED]] : i64 to i32
// CHECK: %[[LONG:.*]] = arith.extsi %[[SHORT]] : i32 to i64
// CHECK: arith.muli %[[LONG]], %[[R]]
// CHECK: arith.shrsi %{{.*}}, %[[SHIFT]]
