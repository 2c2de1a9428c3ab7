//===- FunctionTable.cpp - real functions as integer tables ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FunctionTable.h"

#include "spikequant/Kernel/Grid.h"

#include <algorithm>
#include <cmath>

using namespace mlir::spikequant;

namespace {
/// Where a function has become straight, and how steep it is there.
struct StraightEnd {
  int64_t place; ///< in units of the argument, with its sign
  double slope;  ///< per unit of the argument
};
} // namespace

using Function = llvm::function_ref<double(double)>;

/// The unit of values that change by `steepest` at most.
static double getUnit(double steepest) {
  return std::exp2(std::floor(std::log2(steepest / 4)));
}

/// The largest change of f between neighbours, or nothing if it is not finite.
static std::optional<double> findSteepest(Function f, double in, int64_t lo,
                                          int64_t hi) {
  double steepest = 0, last = f(lo * in);
  for (int64_t i = lo + 1; i <= hi; ++i) {
    double value = f(i * in);
    if (!std::isfinite(value) || !std::isfinite(last))
      return std::nullopt;
    steepest = std::max(steepest, std::abs(value - last));
    last = value;
  }
  return steepest;
}

/// Whether f follows the line from `place` with `slope` as far as numbers
/// reach.
static bool isStraight(Function f, double in, StraightEnd end, double error) {
  double start = f(end.place * in);
  for (double factor = 1.0625;
       factor * std::abs(double(end.place)) < double(::spikequant::maxGrid);
       factor *= factor < 8 ? 1.25 : 4) {
    double i = std::round(end.place * factor);
    double value = f(i * in), line = start + end.slope * (i - end.place);
    if (!(std::abs(value - line) <= error + std::ldexp(std::abs(value), -20)))
      return false;
  }
  return true;
}

/// The nearest place; slopes are multiples of `grain`, or any for 0.
static std::optional<StraightEnd> findEnd(Function f, double in, int64_t side,
                                          double error, double grain) {
  constexpr int64_t most = 1 << 15;
  for (int64_t n = 1; n <= most; n *= 2) {
    StraightEnd end{side * n, 0};
    double far = 64.0 * double(end.place);
    end.slope = (f(far * in) - f(end.place * in)) / (far - double(end.place));
    if (grain > 0)
      end.slope = std::nearbyint(end.slope / grain) * grain;
    if (std::isfinite(end.slope) && isStraight(f, in, end, error))
      return end;
  }
  return std::nullopt;
}

/// Whole steps of the value per step of the argument cost less, so they are
/// tried first.
static std::optional<StraightEnd> findEnd(Function f, double in, int64_t side,
                                          double error) {
  auto end = findEnd(f, in, side, error, getUnit(8 * error));
  return end ? end : findEnd(f, in, side, error, 0);
}

std::optional<FunctionTable> mlir::spikequant::makeFunctionTable(Function f,
                                                                 double in) {
  constexpr int64_t center = 4096;
  std::optional<double> steepest = findSteepest(f, in, -center, center);
  if (!steepest || *steepest <= 0)
    return std::nullopt;
  auto low = findEnd(f, in, -1, *steepest / 8);
  auto high = findEnd(f, in, 1, *steepest / 8);
  if (!low || !high)
    return std::nullopt;
  double out = getUnit(*steepest);
  steepest = findSteepest(f, in, low->place, high->place);
  if (!steepest)
    return std::nullopt;
  FunctionTable table{in, out, int32_t(low->place), {}, 0, 0, *steepest / in};
  for (int64_t i = low->place; i <= high->place; ++i) {
    double entry = std::nearbyint(f(i * in) / out);
    if (std::abs(entry) > double(::spikequant::maxGrid))
      return std::nullopt;
    table.entries.push_back(static_cast<int32_t>(entry));
  }
  double lowSlope = std::nearbyint(std::ldexp(low->slope / out, 24));
  double highSlope = std::nearbyint(std::ldexp(high->slope / out, 24));
  if (std::max(std::abs(lowSlope), std::abs(highSlope)) >
      double(::spikequant::maxGrid))
    return std::nullopt;
  table.lowSlope = static_cast<int32_t>(lowSlope);
  table.highSlope = static_cast<int32_t>(highSlope);
  return table;
}
