//===- FoldResidual.cpp - the residual stream in fixed point --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %e = spikequant.lookup @embedding[%ids]
//   %y = %e + spikequant.decode %acc, @o        real
//   %r = rsqrt(mean of squares of %y)           real, one per row
//   %n = spikequant.encode %y row_scale(%r) {gains = @norm, step = ..}
// becomes
//   %e = spikequant.lookup @embedding[%ids] {rates = @embedding.grid}   i32
//   %y = %e + spikequant.grid %acc, @o.grid                             i32
//   %r = rsqrt(f32(exact sum of squares of %y) ..)
//   %n = spikequant.encode %y row_scale(%r) {unit = .., rates = @q.in.rates}
//
// One real number per row is left: the norm's.
//
//===----------------------------------------------------------------------===//

#include "FixedStream.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Kernel/GridEncode.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

#include <cmath>

namespace mlir::spikequant {
#define GEN_PASS_DEF_FOLDRESIDUAL
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

class ResidualFolder {
public:
  ResidualFolder(ModuleOp module, ConstantReals &constants)
      : module(module), constants(constants), streams(module, constants),
        rewriter(module.getContext()) {}

  LogicalResult run();

private:
  void plan();
  bool isCandidate(EncodeOp op) const;
  std::string whyNot(EncodeOp op);
  double getCountUnit(EncodeOp op) const;
  double getThresholdError(EncodeOp op);
  LogicalResult fold(EncodeOp op);
  void refuse(EncodeOp op, StringRef why) {
    remark::missed(op.getLoc(), remark(op, "residual-left"))
        << remark::add("site '{0}' reads real numbers: {1}", op.getSite(), why);
  }
  void convertBack();
  remark::RemarkOpts remark(EncodeOp op, StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("spikequant-fold-scales")
        .function(op->getParentOfType<func::FuncOp>().getSymName());
  }

  ModuleOp module;
  ConstantReals &constants;
  FixedStreams streams;
  IRRewriter rewriter;
  SmallVector<EncodeOp> encodes;
};

} // namespace

/// Encodes of real arrays whose row scale, if any, is a norm's: the statistics
/// of other baselines read the values themselves.
bool ResidualFolder::isCandidate(EncodeOp op) const {
  bool ownRows = op.getRowScale() && !op->hasAttr(kFoldedAttr);
  return !op.isInteger() && !op.getOverflow() && !ownRows &&
         op.getType().hasStaticShape();
}

double ResidualFolder::getCountUnit(EncodeOp op) const {
  return op.getRowScale() ? std::ldexp(1.0, -::spikequant::rowExponent)
                          : streams.getUnit();
}

/// Half a unit each for scaled rows and centres, in steps.
double ResidualFolder::getThresholdError(EncodeOp op) {
  double largest = 1;
  if (op.getGainsAttr()) {
    largest = 0;
    for (float gain : constants.getValues(op.getGainsAttr()))
      largest = std::max(largest, std::abs(double(gain)));
  }
  return getCountUnit(op) * largest / op.getStep().convertToDouble();
}

/// Empty if the channels of `op` have integer thresholds.
std::string ResidualFolder::whyNot(EncodeOp op) {
  std::optional<EncodeChannels> channels = getChannels(op, constants);
  if (!channels)
    return "its gains or centres have no known values";
  double unit = getCountUnit(op), step = op.getStep().convertToDouble();
  for (int64_t j = 0; j < op.getType().getShape().back(); ++j) {
    if (!::spikequant::roundCountRate(unit * channels->gain(j) / step,
                                      channels->centre(j) / unit))
      return "the threshold of channel " + std::to_string(j) +
             " is out of range";
  }
  return "";
}

void ResidualFolder::plan() {
  SmallVector<EncodeOp> candidates;
  module.walk([&](EncodeOp op) {
    if (isCandidate(op))
      candidates.push_back(op);
  });
  for (EncodeOp op : candidates)
    streams.plan(op.getInput());
  for (EncodeOp op : candidates)
    if (streams.isStream(op.getInput()))
      streams.want(op.getInput());
  // What is converted for a sum is there for encodes too.
  for (EncodeOp op : candidates) {
    if (streams.isPlanned(op.getInput())) {
      encodes.push_back(op);
      continue;
    }
    Operation *producer = op.getInput().getDefiningOp();
    refuse(op,
           "what makes its input, " +
               (producer ? "'" + producer->getName().getStringRef().str() + "'"
                         : std::string("an argument")) +
               ", adds up no decodes, looked-up rows or known tables");
  }
}

LogicalResult ResidualFolder::fold(EncodeOp op) {
  if (std::string why = whyNot(op); !why.empty()) {
    refuse(op, why);
    return success();
  }
  FailureOr<Value> input = streams.get(op.getInput());
  auto rates = streams.getSymbols().getCountRates(op, getCountUnit(op));
  if (failed(input) || failed(rates))
    return failure();
  rewriter.setInsertionPoint(op);
  auto folded = EncodeOp::create(
      rewriter, op.getLoc(), op.getType(), *input, op.getRowScale(),
      op.getStepAttr(), op.getSiteAttr(), op.getBitsAttr(), nullptr, nullptr,
      op.getToleranceAttr(), op.getOverflowAttr(), op.getCodeAttr(),
      rewriter.getF32FloatAttr(streams.getUnit()), *rates);
  folded->setDiscardableAttrs(op->getDiscardableAttrDictionary());
  int exponent = std::ilogb(streams.getUnit());
  remark::passed(op.getLoc(), remark(op, "residual-fixed")) << remark::add(
      "site '{0}': counts a stream in units of 2^{1}, which saturates at "
      "2^{2}; thresholds are off by at most {3:E2} of a step",
      op.getSite(), exponent, exponent + 31, getThresholdError(op));
  rewriter.replaceOp(op, folded);
  return success();
}

/// Whoever still reads real numbers gets them from the integers.
void ResidualFolder::convertBack() {
  for (auto [real, fixed] : streams.getMade()) {
    auto isOther = [&](OpOperand &use) {
      return llvm::none_of(use.getOwner()->getResults(), [&](Value result) {
        return streams.getMade().count(result);
      });
    };
    if (streams.plan(real) == StreamSource::Real || real == fixed ||
        llvm::none_of(real.getUses(), isOther))
      continue;
    auto type = cast<RankedTensorType>(real.getType());
    Location loc = real.getLoc();
    rewriter.setInsertionPointAfterValue(fixed);
    Value empty = tensor::EmptyOp::create(rewriter, loc, type.getShape(),
                                          type.getElementType());
    AffineMap all = rewriter.getMultiDimIdentityMap(type.getRank());
    SmallVector<utils::IteratorType> loops(type.getRank(),
                                           utils::IteratorType::parallel);
    auto back = linalg::GenericOp::create(
        rewriter, loc, type, fixed, empty, ArrayRef{all, all}, loops,
        [&](OpBuilder &b, Location loc, ValueRange values) {
          Value x = arith::SIToFPOp::create(b, loc, b.getF32Type(), values[0]);
          Value unit = arith::ConstantOp::create(
              b, loc, b.getF32FloatAttr(streams.getUnit()));
          Value y = arith::MulFOp::create(b, loc, x, unit);
          linalg::YieldOp::create(b, loc, y);
        });
    rewriter.replaceUsesWithIf(real, back.getResult(0), isOther);
  }
}

LogicalResult ResidualFolder::run() {
  plan();
  if (encodes.empty() || streams.chooseUnit() == 0)
    return success();
  for (EncodeOp op : encodes)
    if (failed(fold(op)))
      return failure();
  streams.foldStatistics(rewriter);
  convertBack();
  for (auto function : module.getOps<func::FuncOp>())
    (void)runRegionDCE(rewriter, function->getRegions());
  eraseUnusedWeights(module);
  return success();
}

namespace {
struct FoldResidualPass : impl::FoldResidualBase<FoldResidualPass> {
  using FoldResidualBase::FoldResidualBase;

  void runOnOperation() override {
    ConstantReals constants(getOperation());
    if (!weights.empty())
      if (llvm::Error failure = constants.open(weights)) {
        getOperation().emitError()
            << "option 'weights': " << llvm::toString(std::move(failure));
        return signalPassFailure();
      }
    if (failed(ResidualFolder(getOperation(), constants).run()))
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::spikequant
