// RUN: sq-opt %s -split-input-file -spikequant-insert-observers | FileCheck %s

spikequant.weights @q : tensor<64x64xf32> format(#spikequant.real) source("q")
spikequant.weights @k : tensor<64x16xf32> format(#spikequant.real) source("k")
spikequant.weights @o : tensor<64x16xf32> format(#spikequant.real) source("o")

// Shared input once, before its first consumer; unnamed contractions never.

// CHECK-LABEL: func.func @shared_input
// CHECK-SAME: %[[X:[a-z0-9]+]]: tensor<2x64xf32>
// CHECK-SAME: attributes {spikequant.sites = ["q.in", "o.in"]}
func.func @shared_input(%x: tensor<2x64xf32>, %a: tensor<2x64xf32>, %b: tensor<2x16xf32>)
    -> (tensor<2x16xf32>, tensor<2x16xf32>, tensor<2x16xf32>) {
  %wq = spikequant.load_weights @q : tensor<64x64xf32>
  %wk = spikequant.load_weights @k : tensor<64x16xf32>
  %wo = spikequant.load_weights @o : tensor<64x16xf32>
  // CHECK: spikequant.observe %[[X]] {site = "q.in"} : tensor<2x64xf32>
  // CHECK-NEXT: %[[Q:.*]] = linalg.matmul {spikequant.site = "q"}
  // CHECK-NEXT: linalg.matmul {spikequant.site = "k"}
  // CHECK-NEXT: spikequant.observe %[[Q]] {site = "o.in"} : tensor<2x64xf32>
  // CHECK-NEXT: linalg.matmul {spikequant.site = "o"}
  // CHECK-NOT: spikequant.observe
  %q = linalg.matmul {spikequant.site = "q"} ins(%x, %wq : tensor<2x64xf32>, tensor<64x64xf32>)
      outs(%a : tensor<2x64xf32>) -> tensor<2x64xf32>
  %k = linalg.matmul {spikequant.site = "k"} ins(%x, %wk : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%b : tensor<2x16xf32>) -> tensor<2x16xf32>
  %o = linalg.matmul {spikequant.site = "o"} ins(%q, %wo : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%b : tensor<2x16xf32>) -> tensor<2x16xf32>
  %p = linalg.matmul ins(%a, %wo : tensor<2x64xf32>, tensor<64x16xf32>)
      outs(%b : tensor<2x16xf32>) -> tensor<2x16xf32>
  return %k, %o, %p : tensor<2x16xf32>, tensor<2x16xf32>, tensor<2x16xf32>
}

// CHECK-LABEL: func.func @no_sites() attributes {spikequant.sites = []}
func.func @no_sites() {
  return
}
