//===- Exponent.h - numerators of a softmax in integers ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The definition of `exponent`: counts N 2^-x of the distance of a score from
/// its row's maximum, in unsigned 32-bit integers only. 2^-x of the fraction of
/// x is a polynomial of degree 3 with a relative error below 1.1e-4, exact at
/// both ends of an octave.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_KERNEL_EXPONENT_H
#define SPIKEQUANT_KERNEL_EXPONENT_H

#include <cstdint>
#include <optional>
#include <vector>

namespace spikequant {

/// Bits of the fraction of the exponent: x counts 2^-12.
inline constexpr int32_t exponentBits = 12;

/// A score that a mask hides. Others are at most 2^30 in magnitude.
inline constexpr int32_t hiddenScore = INT32_MIN;
inline constexpr int64_t maxScore = int64_t{1} << 30;

/// What the counts of one softmax have in common.
struct ExponentForm {
  int32_t largest;  ///< N, the count of the maximum, 1..32767.
  int32_t preshift; ///< P, 0..30.
  int32_t shift;    ///< S, 1..19.
  /// Keys have their own offsets, so that small numerators may count 1.
  bool spread = false;
};

/// G: offsets and the polynomial are in units of 2^-G counts; 20 - (bits of N).
int32_t getExponentFraction(int32_t largest);

/// Constants that follow from a form and a multiplier M.
struct ExponentConstants {
  uint32_t c0, c1, c2, c3; ///< of the polynomial, in counts 2^-G
  uint32_t fraction;       ///< G
  uint32_t limit;          ///< D: distances from here on count 0
};

/// Nothing if M or the form is out of range: 1 <= M <= 2^30,
/// E 2^S + M <= 2^32, D = ceil((E 2^S - 2^(S-1)) / M) 2^P <= 2^30, where the
/// exponents from E = 2^12 (bits of N + 1), or 2^12 20 if spread, on count 0.
std::optional<ExponentConstants> getExponentConstants(ExponentForm form,
                                                      int64_t multiplier);

/// d = min(max - score, D), x = ((d >> P) M + 2^(S-1)) >> S, f = x mod 2^12,
/// p = c0 - ((f (c1 - ((f (c2 - ((f c3) >> 12))) >> 12))) >> 12),
/// n = ((p >> (x >> 12)) + offset) >> G, in u32.
/// A score is at most `max`; `offset` is in 0..2^G-1, and 2^(G-1) if not
/// spread.
int16_t exponentCount(int32_t score, int32_t max, ExponentForm form,
                      int64_t multiplier, int32_t offset);

/// A form and its multipliers, one per head, for which
/// x = 2^12 log2(e) rate (max - score); `rates` are in nats per unit of score.
struct ExponentTable {
  ExponentForm form;
  std::vector<int64_t> multipliers;
  /// The largest |M / (rate 2^(S + P)) - 1| over heads.
  double error = 0;
};

/// The largest S, and the smallest P at which every M is at least 2^14 (or P
/// cannot grow). Nothing if a rate is not positive and finite, or so far from 1
/// (or from other rates) that no form holds it.
std::optional<ExponentTable> roundExponents(const std::vector<double> &rates,
                                            int32_t largest,
                                            bool spread = false);

/// The count is N exp(-rate d) + offset / 2^G rounded down, of a sum that is
/// off by at most this for a table of `roundExponents`.
double getExponentError(const ExponentTable &table);

} // namespace spikequant

#endif // SPIKEQUANT_KERNEL_EXPONENT_H
