//===- PackThresholds.cpp - thresholds of fires, once scales are known --===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PackThresholds.h"
#include "spikequant/Kernel/Fire.h"
#include "spikequant/Kernel/Grid.h"
#include "spikequant/Kernel/GridEncode.h"
#include "spikequant/Kernel/Thresholds.h"

#include "mlir/IR/Remarks.h"
#include "mlir/IR/SymbolTable.h"

using namespace llvm;
namespace sq = ::spikequant;

namespace mlir::spikequant {

/// A literal f32 array in double precision; n times `absent` without one.
static std::vector<double> getArray(WeightsOp user, FlatSymbolRefAttr symbol,
                                    size_t n, double absent) {
  auto array = symbol ? SymbolTable::lookupNearestSymbolFrom<WeightsOp>(
                            user->getParentOp(), symbol)
                      : WeightsOp();
  auto values = array ? dyn_cast_or_null<DenseElementsAttr>(
                            array.getValue().value_or(ElementsAttr()))
                      : DenseElementsAttr();
  if (!values)
    return std::vector<double>(n, absent);
  auto range = values.getValues<float>();
  return {range.begin(), range.end()};
}

static std::vector<sq::RealThreshold>
getRealThresholds(WeightsOp op, ThresholdsAttr format,
                  ArrayRef<double> scales) {
  double step = format.getStep().getValueAsDouble();
  double output = format.getOutput().getValueAsDouble();
  auto gains = getArray(op, format.getGains(), scales.size(), 1.0);
  auto biases = getArray(op, format.getBiases(), scales.size(), 0.0);
  std::vector<sq::RealThreshold> thresholds;
  for (auto [scale, gain, bias] : zip_equal(scales, gains, biases))
    thresholds.push_back({step * scale * gain / output, bias / output + 0.5});
  return thresholds;
}

static std::vector<int64_t> getRows(const sq::FireTable &table,
                                    ThresholdsAttr format) {
  size_t n = table.channels.size();
  std::vector<int64_t> rows(5 * n);
  for (auto [o, threshold] : enumerate(table.channels)) {
    rows[o] = sq::fireLadder(format.getLo() + 1, threshold) - 1;
    rows[n + o] = sq::fireLadder(format.getHi(), threshold);
    rows[2 * n + o] = threshold.multiplier;
    rows[3 * n + o] = threshold.bias;
    rows[4 * n + o] = threshold.shift;
  }
  return rows;
}

std::optional<std::vector<int64_t>>
makeThresholds(WeightsOp op, ThresholdsAttr format, ArrayRef<double> scales) {
  std::optional<sq::FireTable> table = sq::roundThresholds(
      getRealThresholds(op, format, scales), format.getLo(), format.getHi());
  if (!table)
    return std::nullopt;
  remark::analysis(op.getLoc(), remark::RemarkOpts::name("thresholds-rounded")
                                    .category("spikequant-pack-weights"))
      << remark::add("'{0}': largest relative error of a threshold {1:E2}",
                     op.getSymName(), table->error);
  return getRows(*table, format);
}

std::optional<std::vector<int32_t>> makeRates(WeightsOp op, RatesAttr format,
                                              ArrayRef<double> scales) {
  double step = format.getStep().getValueAsDouble();
  double unit = format.getUnit().getValueAsDouble();
  size_t n = scales.size();
  auto gains = getArray(op, format.getGains(), n, 1.0);
  auto biases = getArray(op, format.getBiases(), n, 0.0);
  std::vector<int32_t> rows(3 * n);
  double error = 0;
  for (size_t o = 0; o < n; ++o) {
    double exact = step * scales[o] * gains[o] / unit;
    auto rate = sq::roundRate(exact, biases[o] / unit);
    if (!rate)
      return std::nullopt;
    rows[o] = rate->multiplier;
    rows[n + o] = rate->shift;
    rows[2 * n + o] = rate->bias;
    if (exact != 0)
      error = std::max(
          error,
          std::abs(std::ldexp(rate->multiplier, -rate->shift) / exact - 1.0));
  }
  remark::analysis(op.getLoc(), remark::RemarkOpts::name("rates-rounded")
                                    .category("spikequant-pack-weights"))
      << remark::add("'{0}': largest relative error of a rate {1:E2}",
                     op.getSymName(), error);
  return rows;
}

std::optional<std::vector<int32_t>> makeCountRates(WeightsOp op,
                                                   CountRatesAttr format,
                                                   ArrayRef<double> gains,
                                                   ArrayRef<double> centres) {
  double unit = format.getUnit().getValueAsDouble();
  double step = format.getStep().getValueAsDouble();
  size_t k = gains.size();
  std::vector<int32_t> rows(3 * k);
  double error = 0;
  for (size_t j = 0; j < k; ++j) {
    double exact = unit * gains[j] / step;
    auto rate = sq::roundCountRate(exact, centres[j] / unit);
    if (!rate)
      return std::nullopt;
    rows[j] = rate->multiplier;
    rows[k + j] = rate->shift;
    rows[2 * k + j] = rate->centre;
    if (exact != 0)
      error = std::max(
          error,
          std::abs(std::ldexp(rate->multiplier, -rate->shift) / exact - 1.0));
  }
  remark::analysis(op.getLoc(), remark::RemarkOpts::name("count-rates-rounded")
                                    .category("spikequant-pack-weights"))
      << remark::add("'{0}': largest relative error of a rate {1:E2}",
                     op.getSymName(), error);
  return rows;
}

} // namespace mlir::spikequant
