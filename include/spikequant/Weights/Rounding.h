//===- Rounding.h - real weights to integer codes ---------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Rounds a real matrix to the weight format of the program: codes u of 2 to 8
/// bits; per group of input channels an integer multiplier m and an integer
/// offset c; per output channel one real scale s. The integer weight is
/// W = m u + c, the real weight s W.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_ROUNDING_H
#define SPIKEQUANT_WEIGHTS_ROUNDING_H

#include "spikequant/Kernel/PackedCodes.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <vector>

namespace spikequant {

class ErrorFeedback;

/// A real matrix [n output channels, k input channels] with strides in
/// elements. Does not own the data.
struct MatrixView {
  const float *data = nullptr;
  int64_t n = 0;
  int64_t k = 0;
  int64_t strideN = 0;
  int64_t strideK = 0;

  /// Of an array stored [n][k] (an embedding, a transposed linear layer).
  static MatrixView rowMajor(const float *data, int64_t n, int64_t k) {
    return {data, n, k, k, 1};
  }
  /// Of an array stored [k][n] (the weight of x @ W).
  static MatrixView transposed(const float *data, int64_t k, int64_t n) {
    return {data, n, k, 1, n};
  }
  float at(int64_t o, int64_t j) const {
    return data[o * strideN + j * strideK];
  }
};

struct RoundingOptions {
  int32_t bits = 4; ///< Code width, 2..8.
  /// Input channels per (m, c): a multiple of 8, or >= k (one group per row).
  int64_t group = 32;
  /// m = 1, c = -2^(bits-1), s = max |w| / (2^(bits-1) - 1), one group per row:
  /// the round-to-nearest baseline.
  bool symmetric = false;
  /// Try several steps per group and keep the one with the least squared error.
  /// Without it the step is (max - min) / (2^bits - 1).
  bool searchSteps = true;
  /// Keep offsets as zero points of 8 bits (PackedLayout::offsetBits) where
  /// every group's grid holds 0. Half as many bytes; c moves by at most
  /// 2^-(9 - bits) of a code's step.
  bool zeroPoints = true;
};

/// How far the integer matrix is from the real one.
struct RoundingReport {
  double maxAbsoluteError = 0;
  double meanSquareError = 0;
  double relativeFrobenius = 0; ///< |W' - W| / |W|; 0 for an all-zero matrix.
};

/// A matrix of integer weights, unpacked, row-major.
struct RoundedMatrix {
  int64_t n = 0;
  int64_t k = 0;
  int32_t bits = 4;
  int64_t group = 0;                ///< As in RoundingOptions, at most k.
  std::vector<uint8_t> codes;       ///< u [n][k]
  std::vector<uint8_t> multipliers; ///< m [n][groups], 1..255
  std::vector<int16_t> offsets;     ///< c [n][groups]
  std::vector<uint8_t> zeroPoints;  ///< z [n][groups]; none: c has 16 bits
  std::vector<float> scales;        ///< s [n], positive and normal
  RoundingReport report;

  PackedLayout layout() const {
    return {n, k, group, bits, zeroPoints.empty() ? 16 : 8};
  }
  /// W = m u + c.
  int32_t weightAt(int64_t o, int64_t j) const;
};

/// Nearest rounding, or second-order rounding with `feedback` of the matrix's
/// k inputs. Without feedback, `importance` (of each input channel, e.g. its
/// mean square; not negative) weighs the errors by which grids, m and c are
/// chosen. Guarantees of both: m is at most 255 (63 for codes of more than 4
/// bits); 127 * sum_j |W_oj| < 2^31 for every output channel; an all-zero row
/// has s = 1, u = c = 0. The result depends on nothing but the arguments: tiles
/// of rows are shared among threads, each row is one thread's.
/// Errors (naming `name`, row and column): a weight that is NaN, infinite or
/// above 2^120 in magnitude; options out of range; feedback of another width or
/// group; importance of another width or that is not finite.
llvm::Expected<RoundedMatrix>
roundToCodes(MatrixView weights, const RoundingOptions &options,
             llvm::StringRef name, const ErrorFeedback *feedback = nullptr,
             llvm::ArrayRef<float> importance = {});

/// Of a matrix and what rounding does to it, in units of the outputs' squares.
struct FormatError {
  double error = 0;  ///< sum over all weights of importance (w - s W)^2
  double energy = 0; ///< sum of importance w^2
};

/// Estimates what nearest rounding costs from at most `rows` (>= 1) output
/// channels, evenly spread. `importance` as above; empty: all 1.
llvm::Expected<FormatError>
estimateFormatError(MatrixView weights, const RoundingOptions &options,
                    llvm::ArrayRef<float> importance, llvm::StringRef name,
                    int64_t rows);

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_ROUNDING_H
