// RUN: sq-opt %s --spikequant-erase-metadata | FileCheck %s

// CHECK-NOT: spikequant
// CHECK: llvm.func @f(%{{.*}}: !llvm.ptr {llvm.noundef})
// CHECK-NOT: spikequant
spikequant.weights @w : tensor<4xf32> format(#spikequant.real) source("w")
llvm.func @f(%a: !llvm.ptr {llvm.noundef, spikequant.call}) attributes {spikequant.arena_bytes = 64 : i64} {
  llvm.return
}
