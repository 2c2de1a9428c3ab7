// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm=vnni=true | FileCheck %s --check-prefix=VNNI
// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm | FileCheck %s --check-prefix=PORTABLE

// VNNI-LABEL: func @dot4_unsigned_codes_first
// VNNI-SAME: (%[[ACC:.*]]: vector<16xi32>, %[[CODES:.*]]: vector<64xi8>, %[[COUNTS:.*]]: vector<64xi8>)
// VNNI: %[[R:.*]] = llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%[[ACC]], %[[CODES]], %[[COUNTS]])
// VNNI: return %[[R]]

// PORTABLE-LABEL: func @dot4_unsigned_codes_first
// PORTABLE-SAME: (%[[ACC:.*]]: vector<16xi32>, %[[CODES8:.*]]: vector<64xi8>, %[[COUNTS8:.*]]: vector<64xi8>)
// PORTABLE-NOT: llvm.call_intrinsic
// PORTABLE-DAG: %[[CODES:.*]] = vector.bitcast %[[CODES8]] : vector<64xi8> to vector<16xi32>
// PORTABLE-DAG: %[[COUNTS:.*]] = vector.bitcast %[[COUNTS8]] : vector<64xi8> to vector<16xi32>
// The codes' bytes are extended with zeros, the counts' with their sign.
// PORTABLE: %[[U:.*]] = arith.andi %{{.*}}, %{{.*}} : vector<16xi32>
// PORTABLE: %[[LEFT:.*]] = arith.shli %[[COUNTS]], %{{.*}} : vector<16xi32>
// PORTABLE: %[[S:.*]] = arith.shrsi %[[LEFT]], %{{.*}} : vector<16xi32>
// PORTABLE: %[[P:.*]] = arith.muli %[[U]], %[[S]] : vector<16xi32>
// PORTABLE: arith.addi %[[ACC]], %[[P]] : vector<16xi32>
// PORTABLE-COUNT-3: arith.muli
// PORTABLE-NOT: arith.muli
func.func @dot4_unsigned_codes_first(%acc: vector<16xi32>, %codes: vector<64xi8>,
                                     %counts: vector<64xi8>) -> vector<16xi32> {
  %r = spikequant.dot4 %acc, %codes, %counts : vector<16xi32>, vector<64xi8>
  return %r : vector<16xi32>
}

// VNNI-LABEL: func @dot2
// VNNI: llvm.call_intrinsic "llvm.x86.avx512.vpdpwssd.512"(%{{.*}}, %{{.*}}, %{{.*}}) : (vector<16xi32>, vector<32xi16>, vector<32xi16>) -> vector<16xi32>
// PORTABLE-LABEL: func @dot2
// PORTABLE-NOT: llvm.call_intrinsic
// PORTABLE-COUNT-2: arith.muli
func.func @dot2(%acc: vector<16xi32>, %lhs: vector<32xi16>, %rhs: vector<32xi16>) -> vector<16xi32> {
  %r = spikequant.dot2 %acc, %lhs, %rhs : vector<16xi32>, vector<32xi16>
  return %r : vector<16xi32>
}
