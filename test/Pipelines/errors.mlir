// Each error names what is wrong and what to do, and leaves nothing behind.
//
// RUN: rm -rf %t && mkdir %t
// RUN: not sq-compile %s --float -o %t/out 2>&1 | FileCheck %s --check-prefix=WEIGHTS
// WEIGHTS: error: weight 'w' comes from a safetensors file; give --weights
// RUN: not sq-compile %t/absent.mlir --float -o %t/out 2>&1 | FileCheck %s --check-prefix=ABSENT
// ABSENT: could not open input file
// RUN: not sq-compile %s %s --float -o %t/out 2>&1 | FileCheck %s --check-prefix=TWICE
// TWICE: errors.mlir:{{[0-9]+}}:{{[0-9]+}}: error: 'f' is defined in two files
// RUN: not sq-compile %s --float --mcpu nonsense -o %t/out 2>&1 | FileCheck %s --check-prefix=CPU
// CPU: error: unknown processor 'nonsense'
// RUN: not sq-compile %s --float --mcpu x86-64-v3 --isa vnni -o %t/out 2>&1 | FileCheck %s --check-prefix=VNNI
// VNNI: error: processor 'x86-64-v3' has no AVX-512 VNNI; use --isa auto
// RUN: not sq-compile %s --float --mtriple aarch64-linux-gnu --emit obj -o %t/out 2>&1 | FileCheck %s --check-prefix=FOREIGN
// FOREIGN: error: no 'native' processor of aarch64-unknown-linux-gnu here; name one with --mcpu
// RUN: not sq-compile %s --float --mtriple aarch64-linux-gnu --mcpu neoverse-n1 -o %t/out 2>&1 | FileCheck %s --check-prefix=LINK
// LINK: error: libraries are linked for this system only; --mtriple goes with --emit=obj
// RUN: not sq-compile %s --float --mtriple nowhere --mcpu neoverse-n1 --emit obj -o %t/out 2>&1 | FileCheck %s --check-prefix=TRIPLE
// TRIPLE: error: no code generator for nowhere
// RUN: not sq-compile %s -o %t/out 2>&1 | FileCheck %s --check-prefix=CALIBRATION
// CALIBRATION: option 'calibration' must name the file
// RUN: ls %t | count 0
//
// A folder that the compiler did not make is not replaced.
// RUN: mkdir %t/mine && touch %t/mine/file
// RUN: not sq-compile %S/../Integration/step.mlir --float -o %t/mine 2>&1 | FileCheck %s --check-prefix=MINE
// MINE: mine' exists and is no compiled model; choose another folder
// RUN: ls %t/mine | FileCheck %s --check-prefix=KEPT
// KEPT: file

func.func @f(%x: tensor<2x64xf32>, %w: tensor<64x8xf32> {spikequant.weight = "w"}) -> tensor<2x8xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2x8xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<2x8xf32>) -> tensor<2x8xf32>
  %y = linalg.matmul ins(%x, %w : tensor<2x64xf32>, tensor<64x8xf32>) outs(%i : tensor<2x8xf32>) -> tensor<2x8xf32>
  return %y : tensor<2x8xf32>
}
