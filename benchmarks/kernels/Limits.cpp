//===- Limits.cpp - what this processor can do ----------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Limits.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace spikequant;

#if defined(__x86_64__)
bool spikequant::hasDotProducts() {
  return __builtin_cpu_supports("avx512vnni") &&
         __builtin_cpu_supports("avx512bw");
}

// 16 chains: the instruction takes four or five cycles, one or two start in
// each.
__attribute__((target("avx512f,avx512bw,avx512vnni"))) int32_t
spikequant::runDotProducts(int64_t rounds) {
  __m512i sums[16], codes = _mm512_set1_epi8(7), counts = _mm512_set1_epi8(-3);
  for (int i = 0; i < 16; ++i)
    sums[i] = _mm512_set1_epi32(i);
  for (int64_t round = 0; round < rounds; ++round) {
    // Hides the values, so that no product leaves the loop.
    asm volatile("" : "+v"(codes), "+v"(counts));
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; ++i)
      sums[i] = _mm512_dpbusd_epi32(sums[i], codes, counts);
  }
  for (int i = 1; i < 16; ++i)
    sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  return _mm512_reduce_add_epi32(sums[0]);
}
#else
bool spikequant::hasDotProducts() { return false; }
int32_t spikequant::runDotProducts(int64_t) { return 0; }
#endif

typedef uint64_t Line __attribute__((vector_size(64)));

#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
uint64_t spikequant::readMemory(const uint8_t *memory, uint64_t bytes) {
  Line sums[8] = {};
  for (uint64_t at = 0; at < bytes; at += 512)
    for (int i = 0; i < 8; ++i) {
      Line line;
      std::memcpy(&line, memory + at + 64 * i, 64);
      sums[i] += line;
    }
  uint64_t total = 0;
  for (Line sum : sums)
    for (int lane = 0; lane < 8; ++lane)
      total += sum[lane];
  return total;
}
