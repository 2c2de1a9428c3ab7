//===- Reference.cpp - C entry points of the reference --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Reference.h"

#include "spikequant/Kernel/Decode.h"
#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Exponent.h"
#include "spikequant/Kernel/Fire.h"
#include "spikequant/Kernel/Grid.h"
#include "spikequant/Kernel/GridEncode.h"
#include "spikequant/Kernel/Integrate.h"
#include "spikequant/Kernel/PackedCodes.h"

#include <algorithm>
#include <vector>

using namespace spikequant;

template <typename T> static const T *at(const void *base, int64_t byteOffset) {
  return reinterpret_cast<const T *>(static_cast<const char *>(base) +
                                     byteOffset);
}

static int16_t encodeOne(float x, float rowScale, EncodeThreshold threshold,
                         const int8_t *bits, int32_t tolerance,
                         int64_t &salient) {
  int16_t count = encodeValue(x, rowScale, threshold);
  if (!bits)
    return count;
  WindowedCount windowed = applyWindow(count, *bits, tolerance);
  salient += windowed.salient;
  return windowed.count;
}

void sq_ref_encode(const float *x, const float *rowScale, int64_t rows,
                   int64_t channels, float step, const float *a, const float *z,
                   const int8_t *bits, int32_t tolerance, int16_t *counts,
                   int64_t *salientCounter) {
  int64_t salient = 0;
  for (int64_t j = 0; j < channels; ++j) {
    // A rate and membrane of 0 give a count of 0.
    EncodeThreshold threshold =
        encodeThreshold(step, a ? a[j] : 1.0f, z ? z[j] : 0.0f)
            .value_or(EncodeThreshold{0.0f, 0.0f});
    for (int64_t row = 0; row < rows; ++row)
      counts[row * channels + j] =
          encodeOne(x[row * channels + j], rowScale ? rowScale[row] : 1.0f,
                    threshold, bits ? bits + j : nullptr, tolerance, salient);
  }
  if (salientCounter)
    *salientCounter += salient;
}

void sq_ref_encode_grid(const int32_t *x, const float *rowScale, int64_t rows,
                        int64_t channels, int32_t unitExponent,
                        const int32_t *rates, const int8_t *bits,
                        int32_t tolerance, int16_t *counts) {
  for (int64_t i = 0; i < rows * channels; ++i) {
    int64_t j = i % channels;
    int32_t y = x[i];
    if (rowScale)
      y = scaleByRow(y, splitRowFactor(rowScale[i / channels]), unitExponent);
    int16_t count =
        gridCount(y, {rates[j], rates[channels + j], rates[2 * channels + j]});
    counts[i] = bits ? applyWindow(count, bits[j], tolerance).count : count;
  }
}

template <int64_t integrate(const int16_t *, const int32_t *, int64_t)>
static void integrateRows(const int16_t *counts, int64_t rows,
                          const PackedCodes &packed, int64_t *acc) {
  int64_t n = packed.layout.n, k = packed.layout.k;
  std::vector<int32_t> weights(k);
  for (int64_t o = 0; o < n; ++o) {
    packed.unpackRow(o, weights.data());
    for (int64_t row = 0; row < rows; ++row)
      acc[row * n + o] = integrate(counts + row * k, weights.data(), k);
  }
}

void sq_ref_integrate(const int16_t *counts, int64_t rows, int64_t k,
                      const void *packedFile, int64_t codesOffset,
                      int32_t container, int32_t offsetBits, int64_t group,
                      int64_t n, int64_t *acc) {
  PackedCodes packed{{n, k, group, container, offsetBits},
                     at<uint8_t>(packedFile, codesOffset)};
  integrateRows<integrateRow>(counts, rows, packed, acc);
}

void sq_ref_integrate_planes(const int16_t *counts, int64_t rows, int64_t k,
                             const void *packedFile, int64_t codesOffset,
                             int32_t container, int32_t offsetBits,
                             int64_t group, int64_t n, int64_t *acc) {
  PackedCodes packed{{n, k, group, container, offsetBits},
                     at<uint8_t>(packedFile, codesOffset)};
  integrateRows<integrateRowPlanes>(counts, rows, packed, acc);
}

void sq_ref_decode(const int64_t *acc, int64_t rows, int64_t n, float stepIn,
                   const float *scales, float *y) {
  for (int64_t i = 0; i < rows * n; ++i)
    y[i] = decodeValue(acc[i], stepIn, scales[i % n]);
}

template <decltype(sq_ref_integrate) integrate>
static void integrateStack(const int16_t *counts, int64_t rows, int64_t k,
                           const void *packedFile, int64_t codesOffset,
                           int32_t container, int32_t offsetBits, int64_t group,
                           int64_t n, int64_t matrices, const int32_t *numbers,
                           int64_t count, int64_t *acc) {
  PackedLayout layout{n, k, group, container, offsetBits};
  int64_t slice = count ? rows / count : 0;
  for (int64_t i = 0; i < count; ++i) {
    int64_t matrix = std::clamp<int64_t>(numbers[i], 0, matrices - 1);
    integrate(counts + i * slice * k, slice, k, packedFile,
              codesOffset + matrix * layout.codesBytes(), container, offsetBits,
              group, n, acc + i * slice * n);
  }
}

void sq_ref_integrate_stack(const int16_t *counts, int64_t rows, int64_t k,
                            const void *packedFile, int64_t codesOffset,
                            int32_t container, int32_t offsetBits,
                            int64_t group, int64_t n, int64_t matrices,
                            const int32_t *numbers, int64_t count,
                            int64_t *acc) {
  integrateStack<sq_ref_integrate>(counts, rows, k, packedFile, codesOffset,
                                   container, offsetBits, group, n, matrices,
                                   numbers, count, acc);
}

void sq_ref_integrate_stack_planes(const int16_t *counts, int64_t rows,
                                   int64_t k, const void *packedFile,
                                   int64_t codesOffset, int32_t container,
                                   int32_t offsetBits, int64_t group, int64_t n,
                                   int64_t matrices, const int32_t *numbers,
                                   int64_t count, int64_t *acc) {
  integrateStack<sq_ref_integrate_planes>(
      counts, rows, k, packedFile, codesOffset, container, offsetBits, group, n,
      matrices, numbers, count, acc);
}

void sq_ref_decode_stack(const int64_t *acc, int64_t rows, int64_t n,
                         float stepIn, const float *scales, int64_t matrices,
                         const int32_t *numbers, int64_t count, float *y) {
  int64_t slice = count ? rows / count : 0;
  int64_t padded = PackedLayout{n, 1, 1, 4}.nPadded();
  for (int64_t i = 0; i < count; ++i) {
    int64_t matrix = std::clamp<int64_t>(numbers[i], 0, matrices - 1);
    sq_ref_decode(acc + i * slice * n, slice, n, stepIn,
                  scales + matrix * padded, y + i * slice * n);
  }
}

void sq_ref_fire(const int64_t *acc, int64_t rows, int64_t n,
                 const int32_t *multipliers, const int64_t *biases,
                 int32_t shift, int32_t lo, int32_t hi, int16_t *counts) {
  for (int64_t i = 0; i < rows * n; ++i)
    counts[i] = fireCount(
        acc[i], FireThreshold{multipliers[i % n], biases[i % n], shift}, lo,
        hi);
}

void sq_ref_fire_table(const int64_t *acc, int64_t rows, int64_t n,
                       const int64_t *table, int32_t lo, int32_t hi,
                       int16_t *counts) {
  const int64_t *multipliers = table + 2 * n, *biases = table + 3 * n,
                *shifts = table + 4 * n;
  for (int64_t i = 0; i < rows * n; ++i)
    counts[i] = fireCount(
        acc[i],
        FireThreshold{static_cast<int32_t>(multipliers[i % n]), biases[i % n],
                      static_cast<int32_t>(shifts[i % n])},
        lo, hi);
}

void sq_ref_scale_rows(const int32_t *x, const float *rowScale, int64_t rows,
                       int64_t channels, int32_t unitExponent, int32_t *y) {
  for (int64_t i = 0; i < rows * channels; ++i)
    y[i] =
        scaleByRow(x[i], splitRowFactor(rowScale[i / channels]), unitExponent);
}

void sq_ref_grid(const int64_t *acc, int64_t rows, int64_t n,
                 const int32_t *rates, int32_t *y) {
  for (int64_t i = 0; i < rows * n; ++i) {
    int64_t o = i % n;
    y[i] = gridNumber(acc[i], {rates[o], rates[n + o], rates[2 * n + o]});
  }
}

void sq_ref_table(const int32_t *x, int64_t count, const int32_t *entries,
                  int64_t size, int32_t lo, int32_t lowSlope, int32_t highSlope,
                  int32_t *y) {
  GridTable table{entries, size, lo, lowSlope, highSlope};
  for (int64_t i = 0; i < count; ++i)
    y[i] = tableNumber(x[i], table);
}

void sq_ref_exponent(const int32_t *score, const int32_t *max, int64_t rows,
                     int64_t n, const int32_t *multipliers, int64_t heads,
                     const int32_t *offsets, int32_t largest, int32_t preshift,
                     int32_t shift, int16_t *counts) {
  ExponentForm form{largest, preshift, shift, offsets != nullptr};
  int32_t half = 1 << (getExponentFraction(largest) - 1);
  for (int64_t row = 0; row < rows; ++row) {
    int32_t multiplier = multipliers[row / (rows / heads)];
    for (int64_t j = 0; j < n; ++j)
      counts[row * n + j] =
          exponentCount(score[row * n + j], max[row], form, multiplier,
                        offsets ? offsets[j] : half);
  }
}

void sq_ref_window(int16_t *counts, int64_t rows, int64_t channels,
                   const int8_t *bits, int32_t tolerance) {
  for (int64_t i = 0; i < rows * channels; ++i)
    counts[i] = applyWindow(counts[i], bits[i % channels], tolerance).count;
}

void sq_ref_lookup(const int32_t *ids, int64_t rows, const void *packedFile,
                   int64_t codesOffset, int64_t scalesOffset, int32_t container,
                   int32_t offsetBits, int64_t group, int64_t n, int64_t k,
                   float *y) {
  PackedCodes packed{{n, k, group, container, offsetBits},
                     at<uint8_t>(packedFile, codesOffset)};
  const float *scales = at<float>(packedFile, scalesOffset);
  std::vector<int32_t> weights(k);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t id = std::clamp<int64_t>(ids[row], 0, n - 1);
    packed.unpackRow(id, weights.data());
    for (int64_t j = 0; j < k; ++j)
      y[row * k + j] = lookupValue(weights[j], scales[id]);
  }
}

void sq_ref_lookup_grid(const int32_t *ids, int64_t rows,
                        const void *packedFile, int64_t codesOffset,
                        int32_t container, int32_t offsetBits, int64_t group,
                        int64_t n, int64_t k, const int32_t *rates,
                        int32_t *y) {
  PackedCodes packed{{n, k, group, container, offsetBits},
                     at<uint8_t>(packedFile, codesOffset)};
  std::vector<int32_t> weights(k);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t id = std::clamp<int64_t>(ids[row], 0, n - 1);
    packed.unpackRow(id, weights.data());
    for (int64_t j = 0; j < k; ++j)
      y[row * k + j] =
          gridNumber(weights[j], {rates[id], rates[n + id], rates[2 * n + id]});
  }
}
