// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm=instructions=avx512vnni | FileCheck %s --check-prefix=VNNI
// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm=instructions=avxvnni | FileCheck %s --check-prefix=AVXVNNI
// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm=instructions=avx2 | FileCheck %s --check-prefix=AVX2
// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm=instructions=avx512bw | FileCheck %s --check-prefix=AVX512
// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm=instructions=dotprod | FileCheck %s --check-prefix=DOTPROD
// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm=instructions=i8mm | FileCheck %s --check-prefix=I8MM
// RUN: sq-opt %s --convert-spikequant-dot4-to-llvm | FileCheck %s --check-prefix=PORTABLE

// VNNI-LABEL: func @dot4_unsigned_codes_first
// VNNI-SAME: (%[[ACC:.*]]: vector<16xi32>, %[[CODES:.*]]: vector<64xi8>, %[[COUNTS:.*]]: vector<64xi8>)
// VNNI: %[[R:.*]] = llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.512"(%[[ACC]], %[[CODES]], %[[COUNTS]])
// VNNI: return %[[R]]

// AVXVNNI-LABEL: func @dot4_unsigned_codes_first
// AVXVNNI-COUNT-2: llvm.call_intrinsic "llvm.x86.avx512.vpdpbusd.256"(%{{.*}}, %{{.*}}, %{{.*}}) : (vector<8xi32>, vector<32xi8>, vector<32xi8>) -> vector<8xi32>

// Codes of 8 bits would saturate: no product of bytes.
// AVX2-LABEL: func @dot4_unsigned_codes_first
// AVX2-NOT: pmadd.ub.sw
// AVX2-COUNT-4: llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"
// AVX512-LABEL: func @dot4_unsigned_codes_first
// AVX512-NOT: pmaddubs
// AVX512-COUNT-2: llvm.call_intrinsic "llvm.x86.avx512.pmaddw.d.512"

// DOTPROD-LABEL: func @dot4_unsigned_codes_first
// DOTPROD: arith.xori
// DOTPROD: llvm.call_intrinsic "llvm.aarch64.neon.sdot.v4i32.v16i8"
// I8MM-LABEL: func @dot4_unsigned_codes_first
// I8MM-COUNT-4: llvm.call_intrinsic "llvm.aarch64.neon.usdot.v4i32.v16i8"

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

// Two products of a code of at most 128 fit 16 bits.
// PORTABLE-LABEL: func @small_codes
// AVX2-LABEL: func @small_codes
// AVX2: %[[PAIRS:.*]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.ub.sw"
// AVX2: %[[ONE:.*]] = arith.constant dense<1> : vector<16xi16>
// AVX2: llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"(%[[PAIRS]], %[[ONE]])
// AVX512-LABEL: func @small_codes
// AVX512: llvm.call_intrinsic "llvm.x86.avx512.pmaddubs.w.512"
// AVX512: llvm.call_intrinsic "llvm.x86.avx512.pmaddw.d.512"
// DOTPROD-LABEL: func @small_codes
// DOTPROD-NOT: arith.xori
// DOTPROD-COUNT-4: llvm.call_intrinsic "llvm.aarch64.neon.sdot.v4i32.v16i8"
func.func @small_codes(%acc: vector<16xi32>, %codes: vector<64xi8>,
                       %counts: vector<64xi8>) -> vector<16xi32> {
  %mask = arith.constant dense<15> : vector<64xi8>
  %bit = arith.constant dense<64> : vector<64xi8>
  %low = arith.andi %codes, %mask : vector<64xi8>
  %next = arith.andi %codes, %bit : vector<64xi8>
  %small = arith.ori %low, %next : vector<64xi8>
  %r = spikequant.dot4 %acc, %small, %counts : vector<16xi32>, vector<64xi8>
  return %r : vector<16xi32>
}

// One more bit and they do not: 129 * -128 * 2 < -32768.
// AVX2-LABEL: func @codes_of_129
// AVX2-NOT: pmadd.ub.sw
// AVX2: return
func.func @codes_of_129(%acc: vector<16xi32>, %codes: vector<64xi8>,
                        %counts: vector<64xi8>) -> vector<16xi32> {
  %mask = arith.constant dense<-127> : vector<64xi8>
  %most = arith.andi %codes, %mask : vector<64xi8>
  %r = spikequant.dot4 %acc, %most, %counts : vector<16xi32>, vector<64xi8>
  return %r : vector<16xi32>
}

// Multiples of 16: their sixteenth fits, and the next product multiplies again.
// AVX2-LABEL: func @high_halves
// AVX2: %[[FOUR:.*]] = arith.constant dense<4> : vector<16xi16>
// AVX2: arith.shrui %{{.*}}, %[[FOUR]] : vector<16xi16>
// AVX2: %[[PAIRS:.*]] = llvm.call_intrinsic "llvm.x86.avx2.pmadd.ub.sw"
// AVX2: %[[SIXTEEN:.*]] = arith.constant dense<16> : vector<16xi16>
// AVX2: llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"(%[[PAIRS]], %[[SIXTEEN]])
// DOTPROD-LABEL: func @high_halves
// DOTPROD: arith.xori
func.func @high_halves(%acc: vector<16xi32>, %codes: vector<64xi8>,
                       %counts: vector<64xi8>) -> vector<16xi32> {
  %mask = arith.constant dense<-16> : vector<64xi8>
  %high = arith.andi %codes, %mask : vector<64xi8>
  %r = spikequant.dot4 %acc, %high, %counts : vector<16xi32>, vector<64xi8>
  return %r : vector<16xi32>
}

// VNNI-LABEL: func @dot2
// VNNI: llvm.call_intrinsic "llvm.x86.avx512.vpdpwssd.512"(%{{.*}}, %{{.*}}, %{{.*}}) : (vector<16xi32>, vector<32xi16>, vector<32xi16>) -> vector<16xi32>
// AVX2-LABEL: func @dot2
// AVX2-COUNT-2: llvm.call_intrinsic "llvm.x86.avx2.pmadd.wd"
// PORTABLE-LABEL: func @dot2
// PORTABLE-NOT: llvm.call_intrinsic
// PORTABLE-COUNT-2: arith.muli
// DOTPROD-LABEL: func @dot2
// DOTPROD-COUNT-2: arith.muli
func.func @dot2(%acc: vector<16xi32>, %lhs: vector<32xi16>, %rhs: vector<32xi16>) -> vector<16xi32> {
  %r = spikequant.dot2 %acc, %lhs, %rhs : vector<16xi32>, vector<32xi16>
  return %r : vector<16xi32>
}
