// RUN: sq-opt %s -split-input-file -spikequant-insert-observers=probe | FileCheck %s

spikequant.weights @q : tensor<64x64xf32> format(#spikequant.real) source("q")
spikequant.weights @k : tensor<64x16xf32> format(#spikequant.real) source("k")
spikequant.weights @o : tensor<64x16xf32> format(#spikequant.real) source("o")

// A shared input is rounded once; who is no site reads it as it was.

// CHECK-LABEL: func.func @shared_input
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x64xf32>
// CHECK-SAME: %[[STEPS:[a-z0-9]+]]: tensor<2xf32> {spikequant.name = "probe_steps"}
// CHECK-SAME: spikequant.sites = ["q.in", "o.in"]
func.func @shared_input(%x: tensor<2x64xf32>, %a: tensor<2x64xf32>, %b: tensor<2x16xf32>)
    -> (tensor<2x16xf32>, tensor<2x16xf32>, tensor<2x64xf32>) {
  %wq = spikequant.load_weights @q : tensor<64x64xf32>
  %wk = spikequant.load_weights @k : tensor<64x16xf32>
  %wo = spikequant.load_weights @o : tensor<64x16xf32>
  // CHECK: spikequant.observe %[[X]] {site = "q.in"}
  // CHECK: %[[STEP:.*]] = tensor.extract %[[STEPS]][%c0{{.*}}]
  // CHECK: %[[ON:.*]] = arith.cmpf ogt, %[[STEP]], %{{.*}} : f32
  // CHECK: %[[Y:.*]] = linalg.generic {{.*}} ins(%[[X]] :
  // CHECK: %[[COUNT:.*]] = arith.divf %{{.*}}, %[[STEP]]
  // CHECK: %[[EVEN:.*]] = math.roundeven %[[COUNT]]
  // CHECK: %[[ROUNDED:.*]] = arith.mulf %[[EVEN]], %[[STEP]]
  // CHECK: %[[RESULT:.*]] = arith.select %[[ON]], %[[ROUNDED]], %{{.*}}
  // CHECK: linalg.yield %[[RESULT]]
  // CHECK: %[[Q:.*]] = linalg.matmul {spikequant.site = "q"} ins(%[[Y]],
  // CHECK: linalg.matmul {spikequant.site = "k"} ins(%[[Y]],
  // CHECK: spikequant.observe %[[Q]] {site = "o.in"}
  // CHECK: tensor.extract %[[STEPS]][%c1{{.*}}]
  // CHECK: %[[Z:.*]] = linalg.generic {{.*}} ins(%[[Q]] :
  // CHECK: linalg.matmul {spikequant.site = "o"} ins(%[[Z]],
  // CHECK: linalg.add ins(%[[X]], %[[Q]] :
  %q = linalg.matmul {spikequant.site = "q"} ins(%x, %wq : tensor<2x64xf32>, tensor<64x64xf32>)
      outs(%a : tensor<2x64xf32>) -> tensor<2x64xf32>
  %k = linalg.matmul {spikequant.site = "k"} ins(%x, %wk : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%b : tensor<2x16xf32>) -> tensor<2x16xf32>
  %o = linalg.matmul {spikequant.site = "o"} ins(%q, %wo : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%b : tensor<2x16xf32>) -> tensor<2x16xf32>
  %sum = linalg.add ins(%x, %q : tensor<2x64xf32>, tensor<2x64xf32>)
      outs(%a : tensor<2x64xf32>) -> tensor<2x64xf32>
  return %k, %o, %sum : tensor<2x16xf32>, tensor<2x16xf32>, tensor<2x64xf32>
}

// -----

// No argument without a site.

// CHECK-LABEL: func.func @no_sites() attributes {spikequant.sites = []}
func.func @no_sites() {
  return
}
