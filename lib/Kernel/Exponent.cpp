//===- Exponent.cpp - numerators of a softmax in integers -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/Exponent.h"

#include <algorithm>
#include <cmath>

using namespace spikequant;

/// 1 - x (1/2 + a) + x^2 (a - b) + x^3 b is 1 at 0 and 1/2 at 1; this a and b
/// have the least relative error to 2^-x between. In units of 2^-24.
static constexpr int64_t kA = 3211525, kB = -656559, kOne = int64_t{1} << 24;

/// Bits of the polynomial's values.
static constexpr int32_t kPlaces = 20;

static int32_t countBits(int32_t value) {
  int32_t bits = 0;
  for (; value > 0; value >>= 1)
    ++bits;
  return bits;
}

/// From here on the count is 0.
static int64_t getEnd(ExponentForm form) {
  int64_t octaves = form.spread ? kPlaces : countBits(form.largest) + 1;
  return octaves << exponentBits;
}

int32_t spikequant::getExponentFraction(int32_t largest) {
  return kPlaces - countBits(largest);
}

std::optional<ExponentConstants>
spikequant::getExponentConstants(ExponentForm form, int64_t multiplier) {
  constexpr int32_t mostCount = 32767, mostShift = 19, mostPreshift = 30;
  if (form.largest < 1 || form.largest > mostCount || form.preshift < 0 ||
      form.preshift > mostPreshift || form.shift < 1 ||
      form.shift > mostShift || multiplier < 1 ||
      multiplier > (int64_t{1} << 30))
    return std::nullopt;
  int64_t end = getEnd(form) << form.shift;
  int64_t half = int64_t{1} << (form.shift - 1);
  int64_t limit = ((end - half + multiplier - 1) / multiplier) << form.preshift;
  if (end + multiplier > (int64_t{1} << 32) || limit > maxScore)
    return std::nullopt;
  int32_t fraction = getExponentFraction(form.largest);
  int64_t whole = int64_t(form.largest) << fraction;
  auto scale = [&](int64_t coefficient) {
    return static_cast<uint32_t>((coefficient * whole + kOne / 2) >> 24);
  };
  return ExponentConstants{static_cast<uint32_t>(whole),
                           scale(kOne / 2 + kA),
                           scale(kA - kB),
                           scale(-kB),
                           static_cast<uint32_t>(fraction),
                           static_cast<uint32_t>(limit)};
}

int16_t spikequant::exponentCount(int32_t score, int32_t max, ExponentForm form,
                                  int64_t multiplier, int32_t offset) {
  std::optional<ExponentConstants> c = getExponentConstants(form, multiplier);
  if (!c)
    return 0;
  uint32_t distance = std::min(
      static_cast<uint32_t>(max) - static_cast<uint32_t>(score), c->limit);
  uint32_t half = uint32_t{1} << (form.shift - 1);
  uint32_t x =
      ((distance >> form.preshift) * static_cast<uint32_t>(multiplier) +
       half) >>
      form.shift;
  uint32_t f = x & ((1u << exponentBits) - 1);
  uint32_t p = c->c2 - ((f * c->c3) >> exponentBits);
  p = c->c1 - ((f * p) >> exponentBits);
  p = c->c0 - ((f * p) >> exponentBits);
  uint32_t n = (p >> (x >> exponentBits)) + static_cast<uint32_t>(offset);
  return static_cast<int16_t>(n >> c->fraction);
}

/// Multipliers of one form, if they all fit.
static std::optional<ExponentTable> makeTable(const std::vector<double> &rates,
                                              ExponentForm form) {
  ExponentTable table{form, {}, 0};
  for (double rate : rates) {
    double exact =
        rate * M_LOG2E * std::exp2(exponentBits + form.shift + form.preshift);
    double rounded = std::nearbyint(exact);
    if (!(rounded >= 1 && rounded <= double(1 << 30)))
      return std::nullopt;
    auto multiplier = static_cast<int64_t>(rounded);
    if (!getExponentConstants(form, multiplier))
      return std::nullopt;
    table.multipliers.push_back(multiplier);
    table.error = std::max(table.error, std::abs(rounded / exact - 1));
  }
  return table;
}

std::optional<ExponentTable>
spikequant::roundExponents(const std::vector<double> &rates, int32_t largest,
                           bool spread) {
  constexpr int64_t precise = 1 << 14;
  if (rates.empty() || largest < 1 || largest > 32767)
    return std::nullopt;
  std::optional<ExponentTable> best;
  for (int32_t shift = 19; shift >= 1; --shift) {
    for (int32_t preshift = 0; preshift <= 30; ++preshift) {
      auto table = makeTable(rates, {largest, preshift, shift, spread});
      if (!table)
        continue;
      best = table;
      if (*std::min_element(table->multipliers.begin(),
                            table->multipliers.end()) >= precise)
        return table;
    }
    if (best)
      return best;
  }
  return best;
}

/// The polynomial's error, and what changes the exponent: its
/// rounding, the distance's and the multiplier's.
double spikequant::getExponentError(const ExponentTable &table) {
  double places = 0.5;
  for (int64_t multiplier : table.multipliers)
    if (table.form.preshift > 0)
      places = std::max(
          places, 0.5 + std::ldexp(double(multiplier), -table.form.shift));
  double exponent = places * M_LN2 / (1 << exponentBits);
  // x exp(-x) is at most 1/e.
  double relative = exponent + 1.1e-4 + table.error * std::exp(-1);
  // Truncations: of the polynomial, of its shift and of the offset.
  double truncated = std::ldexp(5.0, -getExponentFraction(table.form.largest));
  return table.form.largest * relative + truncated;
}
