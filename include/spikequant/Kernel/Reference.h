/*===- Reference.h - C entry points of the reference --------------*- C -*-===//
 *
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 *
 *===----------------------------------------------------------------------===//
 *
 * The scalar definitions of encode, integrate, decode, fire and lookup, over
 * contiguous row-major arrays, as called by JIT-compiled reference code. Any
 * number of rows may be 0. Nothing is aligned beyond its element type. A NULL
 * pointer is allowed only where said.
 *
 *===----------------------------------------------------------------------===*/

#ifndef SPIKEQUANT_KERNEL_REFERENCE_H
#define SPIKEQUANT_KERNEL_REFERENCE_H

#include <stdint.h>

/* C names, as in the compiled library. */
/* NOLINTBEGIN(readability-identifier-naming) */
#ifdef __cplusplus
extern "C" {
#endif

/* counts[rows][channels] from x[rows][channels].
 * rowScale[rows], a[channels] and z[channels] may be NULL (1, 1 and 0).
 * bits[channels], 0..8, may be NULL: no window, no tolerance, nothing salient.
 * *salientCounter, which may be NULL, grows by the number of salient counts.
 * step must be one that encodeThreshold accepts; if it is not, the channels
 * concerned give 0. */
void sq_ref_encode(const float *x, const float *rowScale, int64_t rows,
                   int64_t channels, float step, const float *a, const float *z,
                   const int8_t *bits, int32_t tolerance, int16_t *counts,
                   int64_t *salientCounter);

/* counts[rows][channels] from fixed-point x[rows][channels] that count
 * 2^unitExponent, and count rates [3][channels]: M, S, Z (see GridEncode.h).
 * Without rowScale, which may be NULL, the numbers are not scaled. bits and
 * tolerance as above. */
void sq_ref_encode_grid(const int32_t *x, const float *rowScale, int64_t rows,
                        int64_t channels, int32_t unitExponent,
                        const int32_t *rates, const int8_t *bits,
                        int32_t tolerance, int16_t *counts);

/* acc[rows][n] from counts[rows][k] and a packed matrix [n][k] whose codes lie
 * at the given byte offset from packedFile (see PackedCodes.h: container is 2
 * to 8, offsetBits 8 or 16, group the number of input channels that share m and
 * c). */
void sq_ref_integrate(const int16_t *counts, int64_t rows, int64_t k,
                      const void *packedFile, int64_t codesOffset,
                      int32_t container, int32_t offsetBits, int64_t group,
                      int64_t n, int64_t *acc);

/* The same integers by additions over binary spike planes: no weight is
 * multiplied by a count (see integrateRowPlanes). */
void sq_ref_integrate_planes(const int16_t *counts, int64_t rows, int64_t k,
                             const void *packedFile, int64_t codesOffset,
                             int32_t container, int32_t offsetBits,
                             int64_t group, int64_t n, int64_t *acc);

/* The same over a stack of `matrices` packed matrices, one after the other in
 * each part: numbers[i], clamped to 0..matrices-1, chooses the matrix of rows
 * i * rows / count to (i + 1) * rows / count - 1. `count` divides `rows`. */
void sq_ref_integrate_stack(const int16_t *counts, int64_t rows, int64_t k,
                            const void *packedFile, int64_t codesOffset,
                            int32_t container, int32_t offsetBits,
                            int64_t group, int64_t n, int64_t matrices,
                            const int32_t *numbers, int64_t count,
                            int64_t *acc);

/* A stack by additions over binary spike planes. */
void sq_ref_integrate_stack_planes(const int16_t *counts, int64_t rows,
                                   int64_t k, const void *packedFile,
                                   int64_t codesOffset, int32_t container,
                                   int32_t offsetBits, int64_t group, int64_t n,
                                   int64_t matrices, const int32_t *numbers,
                                   int64_t count, int64_t *acc);

/* y[rows][n] from acc[rows][n] and weight scales[n]. */
void sq_ref_decode(const int64_t *acc, int64_t rows, int64_t n, float stepIn,
                   const float *scales, float *y);

/* The same for a stack: scales[matrices][n rounded up to 16], and numbers as in
 * sq_ref_integrate_stack. */
void sq_ref_decode_stack(const int64_t *acc, int64_t rows, int64_t n,
                         float stepIn, const float *scales, int64_t matrices,
                         const int32_t *numbers, int64_t count, float *y);

/* counts[rows][n] from acc[rows][n], multipliers[n] and biases[n]; bounds
 * -32767 <= lo < hi <= 32767, shift 0..46. */
void sq_ref_fire(const int64_t *acc, int64_t rows, int64_t n,
                 const int32_t *multipliers, const int64_t *biases,
                 int32_t shift, int32_t lo, int32_t hi, int16_t *counts);

/* The same with a table [5][n] of i64: T(lo+1) - 1, T(hi), M, B, S. */
void sq_ref_fire_table(const int64_t *acc, int64_t rows, int64_t n,
                       const int64_t *table, int32_t lo, int32_t hi,
                       int16_t *counts);

/* Fixed-point x[rows][channels] of 2^unitExponent times rowScale[rows], as
 * numbers of 2^-20 (see scaleByRow). */
void sq_ref_scale_rows(const int32_t *x, const float *rowScale, int64_t rows,
                       int64_t channels, int32_t unitExponent, int32_t *y);

/* y[rows][n] from acc[rows][n] and rates [3][n]: M, S, b (see Grid.h). */
void sq_ref_grid(const int64_t *acc, int64_t rows, int64_t n,
                 const int32_t *rates, int32_t *y);

/* y[count] from x[count] and a table of `size` entries (see Grid.h). */
void sq_ref_table(const int32_t *x, int64_t count, const int32_t *entries,
                  int64_t size, int32_t lo, int32_t lowSlope, int32_t highSlope,
                  int32_t *y);

/* counts[rows][n] from score[rows][n], which are at most max[rows], and
 * multipliers[heads] (see Exponent.h): row r has that of head
 * r / (rows / heads). `heads` divides `rows`. offsets[n] may be NULL: 2^(G-1)
 * for all. */
void sq_ref_exponent(const int32_t *score, const int32_t *max, int64_t rows,
                     int64_t n, const int32_t *multipliers, int64_t heads,
                     const int32_t *offsets, int32_t largest, int32_t preshift,
                     int32_t shift, int16_t *counts);

/* Gives counts[rows][channels] their windows: bits[channels] and tolerance as
 * in sq_ref_encode. */
void sq_ref_window(int16_t *counts, int64_t rows, int64_t channels,
                   const int8_t *bits, int32_t tolerance);

/* y[rows][k]: the real weights of output channel ids[row] of a packed matrix
 * [n][k] (an embedding [vocabulary][width]). An id outside 0..n-1 is clamped,
 * as StableHLO's gather does. scalesOffset locates f32 s_w[n]. */
void sq_ref_lookup(const int32_t *ids, int64_t rows, const void *packedFile,
                   int64_t codesOffset, int64_t scalesOffset, int32_t container,
                   int32_t offsetBits, int64_t group, int64_t n, int64_t k,
                   float *y);

/* The same as fixed-point numbers: rates [3][n] are M, S and b of the rows. */
void sq_ref_lookup_grid(const int32_t *ids, int64_t rows,
                        const void *packedFile, int64_t codesOffset,
                        int32_t container, int32_t offsetBits, int64_t group,
                        int64_t n, int64_t k, const int32_t *rates, int32_t *y);

#ifdef __cplusplus
}
#endif
/* NOLINTEND(readability-identifier-naming) */

#endif /* SPIKEQUANT_KERNEL_REFERENCE_H */
