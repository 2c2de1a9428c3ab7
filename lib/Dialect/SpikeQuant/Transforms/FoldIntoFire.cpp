//===- FoldIntoFire.cpp - decode and encode become one threshold ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %y = spikequant.decode %acc, @up.codes {step = 0.1 : f32}
//   %z = max(%y + broadcast %b, 0)
//   %n = spikequant.encode %z {step = 0.5 : f32, site = "down.in", bits = ..}
// becomes
//   %n = spikequant.fire %acc {thresholds = @down.in.fire, lo = 0, hi = 32767,
//                              site = "down.in", bits = ..}
//
//===----------------------------------------------------------------------===//

#include "FixedPointFire.h"
#include "FoldScales.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Kernel/Encode.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace mlir::spikequant;

/// The values as f32 in a symbol, if there are any that matter.
static FailureOr<FlatSymbolRefAttr> getArray(EncodeOp op, FoldContext &context,
                                             StringRef suffix, bool present,
                                             ArrayRef<double> values) {
  if (!present)
    return FlatSymbolRefAttr();
  std::vector<float> rounded(values.begin(), values.end());
  return getRealArray(context.module, op.getLoc(),
                      (op.getSite() + suffix).str(), rounded);
}

/// (C x + A - z) a in steps: gains C a, biases (A - z) a.
static FailureOr<FlatSymbolRefAttr>
getThresholds(EncodeOp op, DecodeOp decode, const ScaleForm &form,
              const EncodeChannels &channels, FoldContext &context, int32_t lo,
              int32_t hi) {
  SmallVector<double> scales(form.scales), shifts(form.shifts);
  for (size_t j = 0; j < scales.size(); ++j) {
    scales[j] *= channels.gain(j);
    shifts[j] = (shifts[j] - channels.centre(j)) * channels.gain(j);
  }
  bool shifted = form.shifted || !channels.centres.empty();
  bool scaled = form.scaled || !channels.gains.empty();
  auto gains = getArray(op, context, ".gains", scaled, scales);
  auto biases = getArray(op, context, ".biases", shifted, shifts);
  if (failed(gains) || failed(biases))
    return failure();
  Builder b(op.getContext());
  auto format = ThresholdsAttr::get(op.getContext(), decode.getWeightsAttr(),
                                    decode.getStepAttr(), op.getStepAttr(),
                                    *gains, *biases, lo, hi);
  auto type = RankedTensorType::get(
      {5, static_cast<int64_t>(form.scales.size())}, b.getI64Type());
  WeightsContent content{};
  content.type = type;
  content.format = format;
  FailureOr<WeightsOp> symbol = getOrCreateWeights(
      context.module, op.getLoc(), (op.getSite() + ".fire").str(), content);
  if (failed(symbol))
    return failure();
  return FlatSymbolRefAttr::get(symbol->getSymNameAttr());
}

/// The window that all counts of `op` saturate to, if it is one for all.
std::optional<int32_t> mlir::spikequant::getCommonWindow(EncodeOp op) {
  if (!op.saturates() || !op.getBits())
    return std::nullopt;
  auto bits =
      SymbolTable::lookupNearestSymbolFrom<WeightsOp>(op, op.getBitsAttr());
  auto values =
      bits ? dyn_cast_or_null<DenseIntElementsAttr>(bits.getValueAttr())
           : DenseIntElementsAttr();
  if (!values || !values.isSplat())
    return std::nullopt;
  return ::spikequant::windowOf(values.getSplatValue<int8_t>());
}

bool mlir::spikequant::canFire(EncodeOp op, const ScaleForm &form,
                               ConstantReals &constants) {
  // A decode with further operands chooses its scales at run time.
  auto decode = form.base.getDefiningOp<DecodeOp>();
  return decode && decode->getNumOperands() == 1 && form.rows.empty() &&
         llvm::all_of(form.scales, [](double scale) { return scale > 0; }) &&
         !op.getRowScale() &&
         (!op.getGains() || !constants.getValues(op.getGainsAttr()).empty()) &&
         (!op.getCentres() ||
          (!form.rectified &&
           !constants.getValues(op.getCentresAttr()).empty())) &&
         (!op.getOverflow() || getCommonWindow(op));
}

FailureOr<bool> mlir::spikequant::foldIntoFire(EncodeOp op,
                                               const ScaleForm &form,
                                               ConstantReals &constants,
                                               FoldContext context) {
  auto decode = form.base.getDefiningOp<DecodeOp>();
  // Counts that saturate end with the ladder, and need no window.
  std::optional<int32_t> window = getCommonWindow(op);
  int32_t hi = window.value_or(::spikequant::maxCount);
  int32_t lo = form.rectified ? 0 : -hi;
  auto thresholds = getThresholds(op, decode, form, *getChannels(op, constants),
                                  context, lo, hi);
  if (failed(thresholds))
    return failure();
  IRRewriter &b = context.rewriter;
  b.setInsertionPoint(op);
  auto type = cast<RankedTensorType>(op.getType());
  Value membrane = replayViews(b, op.getLoc(), decode.getMembrane(), form.views,
                               /*ofRows=*/false);
  auto fire = FireOp::create(b, op.getLoc(), type, membrane);
  fire.setLo(lo);
  fire.setHi(hi);
  fire.setThresholdsAttr(*thresholds);
  fire.setSiteAttr(op.getSiteAttr());
  if (!window)
    fire.setBitsAttr(op.getBitsAttr());
  fire.setToleranceAttr(op.getToleranceAttr());
  fire.setCodeAttr(op.getCodeAttr());
  remark::passed(op.getLoc(), context.remark("encode-fired")) << remark::add(
      "site '{0}': fires from the membranes of @{1}{2}{3}{4}; "
      "{5} real operations per value are gone",
      op.getSite(), decode.getWeights(), form.scaled ? ", gains" : "",
      form.shifted ? ", biases" : "",
      form.rectified ? ", max(., 0) as the least count" : "",
      form.roundings + int(form.rectified) + 5);
  b.replaceOp(op, fire);
  return true;
}
