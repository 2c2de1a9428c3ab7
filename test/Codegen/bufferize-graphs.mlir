// RUN: sq-opt %s --spikequant-bufferize-graphs --split-input-file --verify-diagnostics | FileCheck %s

// The state is updated in place, the other result goes to an argument; there is
// neither an allocation nor a copy.
// CHECK-LABEL: func.func @step
// CHECK-SAME: (%[[X:.*]]: memref<4xf32>, %[[S:.*]]: memref<8x4xf32> {spikequant.state = 1 : i64}, %[[Y:.*]]: memref<4xf32> {spikequant.result = 0 : i64}) {
// CHECK-NOT: memref.alloc
// CHECK-NOT: memref.copy
// CHECK: %[[ROW:.*]] = memref.subview %[[S]][3, 0] [1, 4] [1, 1]
// CHECK: memref.copy %[[X]], %[[ROW]]
// CHECK-NOT: memref.copy
// CHECK: linalg.add {{.*}} outs(%[[Y]]
// CHECK: return{{$}}
func.func @step(%x: tensor<4xf32>, %s: tensor<8x4xf32> {spikequant.state = 1 : i64}) -> (tensor<4xf32>, tensor<8x4xf32>) {
  %n = tensor.insert_slice %x into %s[3, 0] [1, 4] [1, 1] : tensor<4xf32> into tensor<8x4xf32>
  %r = tensor.extract_slice %n[2, 0] [1, 4] [1, 1] : tensor<8x4xf32> to tensor<4xf32>
  %e = tensor.empty() : tensor<4xf32>
  %y = linalg.add ins(%x, %r : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %y, %n : tensor<4xf32>, tensor<8x4xf32>
}

// -----

// A caller's input is never written: the update happens in a copy.
// CHECK-LABEL: func.func @input_is_read_only
// CHECK-SAME: (%[[X:.*]]: memref<4xf32>, %[[Y:.*]]: memref<4xf32> {spikequant.result = 0 : i64})
// CHECK-NOT: outs(%[[X]]
// CHECK: return{{$}}
func.func @input_is_read_only(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = linalg.exp ins(%x : tensor<4xf32>) outs(%x : tensor<4xf32>) -> tensor<4xf32>
  return %y : tensor<4xf32>
}

// -----

// A state that is computed anew is written where the old one was.
// CHECK-LABEL: func.func @new_state
// CHECK-SAME: (%[[X:.*]]: memref<4xf32>, %[[H:.*]]: memref<4xf32> {spikequant.state = 0 : i64})
// CHECK: linalg.add ins(%[[X]], %[[H]]
// CHECK: return{{$}}
func.func @new_state(%x: tensor<4xf32>, %h: tensor<4xf32> {spikequant.state = 0 : i64}) -> tensor<4xf32> {
  %e = tensor.empty() : tensor<4xf32>
  %n = linalg.add ins(%x, %h : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %n : tensor<4xf32>
}

// -----

// An argument that is a result, and one value that is two results.
// CHECK-LABEL: func.func @passed_through
// CHECK-SAME: (%[[X:.*]]: memref<4xf32>, %[[A:.*]]: memref<4xf32> {spikequant.result = 0 : i64}, %[[B:.*]]: memref<4xf32> {spikequant.result = 1 : i64})
// CHECK-DAG: memref.copy %[[X]], %[[A]]
// CHECK-DAG: memref.copy %[[X]], %[[B]]
func.func @passed_through(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  return %x, %x : tensor<4xf32>, tensor<4xf32>
}

// -----

// Observed arrays are dense.
// CHECK-LABEL: func.func @observed_slice
// CHECK: %[[D:.*]] = memref.alloc() {{.*}}memref<4x2xf32>
// CHECK: memref.copy %{{.*}}, %[[D]]
// CHECK: spikequant.observe %[[D]] {site = "s"} : memref<4x2xf32>
func.func @observed_slice(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %r = tensor.extract_slice %x[0, 2] [4, 2] [1, 1] : tensor<4x8xf32> to tensor<4x2xf32>
  spikequant.observe %r {site = "s"} : tensor<4x2xf32>
  return %x : tensor<4x8xf32>
}

// -----

// The old state is read after the update.
// expected-note@+1 {{its old value is still read after an update begins}}
func.func @old_state_is_read(%x: tensor<4xf32>, %s: tensor<8x4xf32> {spikequant.state = 1 : i64}) -> (tensor<8x4xf32>, tensor<8x4xf32>) {
  %n = tensor.insert_slice %x into %s[3, 0] [1, 4] [1, 1] : tensor<4xf32> into tensor<8x4xf32>
  %e = tensor.empty() : tensor<8x4xf32>
  %y = linalg.add ins(%n, %s : tensor<8x4xf32>, tensor<8x4xf32>) outs(%e : tensor<8x4xf32>) -> tensor<8x4xf32>
  // expected-error@+1 {{state argument 1 of 'old_state_is_read' cannot be updated in place}}
  return %y, %n : tensor<8x4xf32>, tensor<8x4xf32>
}

// -----

func.func @scalar_result(%x: tensor<4xf32>) -> f32 {
  %c0 = arith.constant 0 : index
  %y = tensor.extract %x[%c0] : tensor<4xf32>
  // expected-error@+1 {{result 0 has type 'f32'; only arrays of static shape can be results}}
  return %y : f32
}

// -----

// One value for two results: computed into the first, copied to the second.
// CHECK-LABEL: func.func @same_result_twice
// CHECK-SAME: %[[Y0:[a-z0-9]+]]: memref<4xf32> {spikequant.result = 0 : i64}
// CHECK-SAME: %[[Y1:[a-z0-9]+]]: memref<4xf32> {spikequant.result = 1 : i64}
// CHECK: linalg.add
// CHECK: memref.copy %{{.*}}, %[[Y1]]
func.func @same_result_twice(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %e = tensor.empty() : tensor<4xf32>
  %y = linalg.add ins(%x, %x : tensor<4xf32>, tensor<4xf32>) outs(%e : tensor<4xf32>) -> tensor<4xf32>
  return %y, %y : tensor<4xf32>, tensor<4xf32>
}

// -----

// The memory of a loop is planned: its next value must not move.
func.func @value_moves(%x: tensor<4xf32>, %y: tensor<4xf32>, %n: index) -> (tensor<4xf32>, tensor<4xf32>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  // expected-error@+1 {{a value of this loop does not stay in one place}}
  %r:2 = scf.for %i = %c0 to %n step %c1 iter_args(%a = %x, %b = %y) -> (tensor<4xf32>, tensor<4xf32>) {
    scf.yield %b, %a : tensor<4xf32>, tensor<4xf32>
  }
  return %r#0, %r#1 : tensor<4xf32>, tensor<4xf32>
}
