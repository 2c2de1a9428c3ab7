//===- GramKernel.cpp - exact products of integer panels ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The library is built for the oldest processor and this loop is nearly all of
// the cost, so it is compiled for three and chosen at run time. Results do not
// depend on the choice: the sums are exact (GramKernel.h).
//
//===----------------------------------------------------------------------===//

#include "GramKernel.h"

using namespace spikequant::gram;

/// `width` columns at a time, as many as the accumulators of one processor
/// hold.
template <uint64_t width>
__attribute__((always_inline)) static inline void
multiply(const double *left, const double *right, uint64_t rows, double *out) {
  for (uint64_t first = 0; first < panelWidth; first += width) {
    double sums[stripWidth][width] = {};
    for (uint64_t r = 0; r < rows; ++r)
      for (uint64_t a = 0; a < stripWidth; ++a)
        for (uint64_t b = 0; b < width; ++b)
          sums[a][b] +=
              left[r * panelWidth + a] * right[r * panelWidth + first + b];
    for (uint64_t a = 0; a < stripWidth; ++a)
      for (uint64_t b = 0; b < width; ++b)
        out[a * panelWidth + first + b] = sums[a][b];
  }
}

using Multiply = void (*)(const double *, const double *, uint64_t, double *);

static void multiplyPlain(const double *left, const double *right,
                          uint64_t rows, double *out) {
  multiply<4>(left, right, rows, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void
multiplyAvx2(const double *left, const double *right, uint64_t rows,
             double *out) {
  multiply<8>(left, right, rows, out);
}

__attribute__((target("avx512f"), min_vector_width(512))) static void
multiplyAvx512(const double *left, const double *right, uint64_t rows,
               double *out) {
  multiply<32>(left, right, rows, out);
}
#endif

static Multiply choose() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f"))
    return multiplyAvx512;
  if (__builtin_cpu_supports("avx2"))
    return multiplyAvx2;
#endif
  return multiplyPlain;
}

void spikequant::gram::multiplyStrip(const double *left, const double *right,
                                     uint64_t rows, double *out) {
  static const Multiply chosen = choose();
  chosen(left, right, rows, out);
}
