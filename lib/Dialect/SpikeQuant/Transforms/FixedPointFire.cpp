//===- FixedPointFire.cpp - counts of fixed-point numbers -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FixedPointFire.h"

#include "FoldScales.h"

#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

/// Rounds the reals again, to the smallest shift of all channels.
static void useOneShift(ArrayRef<::spikequant::RealThreshold> reals,
                        ::spikequant::FireTable &table) {
  int32_t shift = ::spikequant::maxFireShift;
  for (const ::spikequant::FireThreshold &channel : table.channels)
    shift = std::min(shift, channel.shift);
  for (auto [real, channel] : llvm::zip_equal(reals, table.channels)) {
    double multiplier = std::nearbyint(std::ldexp(real.rate, shift));
    channel = {static_cast<int32_t>(std::max(1.0, multiplier)),
               std::llrint(std::ldexp(real.offset, shift)), shift};
  }
}

std::optional<::spikequant::FireTable> mlir::spikequant::getUnitThresholds(
    EncodeOp op, double unit, ConstantReals &constants, CountRange range) {
  std::optional<EncodeChannels> channels = getChannels(op, constants);
  if (!channels)
    return std::nullopt;
  double step = op.getStep().convertToDouble();
  std::vector<::spikequant::RealThreshold> reals;
  for (int64_t j = 0; j < op.getType().getShape().back(); ++j) {
    double gain = channels->gain(j) / step;
    if (!(unit * gain > 0))
      return std::nullopt;
    reals.push_back({unit * gain, 0.5 - channels->centre(j) * gain});
    if (channels->gains.empty() && channels->centres.empty())
      break;
  }
  auto table = ::spikequant::roundThresholds(reals, range.lo, range.hi);
  if (table)
    useOneShift(reals, *table);
  return table;
}

void mlir::spikequant::replaceByFire(EncodeOp op, Value membrane,
                                     const ::spikequant::FireTable &thresholds,
                                     CountRange range, RewriterBase &b) {
  SmallVector<int64_t> multipliers, biases;
  for (const ::spikequant::FireThreshold &channel : thresholds.channels) {
    multipliers.push_back(channel.multiplier);
    biases.push_back(channel.bias);
  }
  auto fire = FireOp::create(b, op.getLoc(), op.getType(), membrane);
  fire.setMultipliers(multipliers);
  fire.setBiases(biases);
  fire.setShift(thresholds.channels.front().shift);
  fire.setLo(range.lo);
  fire.setHi(range.hi);
  fire.setSiteAttr(op.getSiteAttr());
  if (!op.getOverflow())
    fire.setBitsAttr(op.getBitsAttr());
  fire.setToleranceAttr(op.getToleranceAttr());
  fire.setCodeAttr(op.getCodeAttr());
  fire->setAttr(kStepAttr, op.getStepAttr());
  b.replaceOp(op, fire);
}
