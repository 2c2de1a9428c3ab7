// Thresholds are T(k) = ceil((8 k - 4) / M) for k = -6..7: 8 k - 4 for M = 1.
// RUN: sq-translate --spikequant-to-json %S/Inputs/one-layer.mlir | FileCheck %s
// CHECK: "format": "spikequant-network"
// CHECK: "code": "count"
// CHECK: "overflow": "saturate"
// CHECK: "rates": [2,2]
// CHECK: "windows": [7,3]
// CHECK: "weights": [
// CHECK-NEXT: [7,-7],
// CHECK-NEXT: [0,0]
// CHECK: "thresholds": [
// CHECK-NEXT: [-52,-44,-36,-28,-20,-12,-4,4,12,20,28,36,44,52],
// CHECK-NEXT: [-26,-22,-18,-14,-10,-6,-2,2,6,10,14,18,22,26]
// CHECK: "membrane_bounds": [70,0]
// CHECK-NOT: "spiking"
