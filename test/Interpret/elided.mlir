// RUN: not sq-run %s 2>&1 | FileCheck %s
// CHECK: sq-run: error: '{{.*}}elided.mlir' was printed without its large constants
func.func @lost() -> tensor<4xf32> {
  %x = arith.constant dense_resource<__elided__> : tensor<4xf32>
  return %x : tensor<4xf32>
}
