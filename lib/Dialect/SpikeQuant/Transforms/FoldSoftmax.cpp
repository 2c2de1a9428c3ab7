//===- FoldSoftmax.cpp - numerators of a softmax in integers --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %s = f32(%acc) * 0.001                            per element
//   %x = select %visible, %s, -1e30
//   %e = exp(%x - broadcast (max %x))
//   %n = spikequant.encode %e {step = 1/255, ..}
// becomes
//   %m = max (select %visible, %acc, -2^31)           per row
//   %n = spikequant.exponent (select %visible, %acc, -2^31), %m
//
//===----------------------------------------------------------------------===//

#include "FoldScales.h"
#include "GridSymbols.h"
#include "ScoreForm.h"

#include "spikequant/Dialect/SpikeQuant/IR/WideIntegers.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Kernel/Exponent.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

namespace mlir::spikequant {
#define GEN_PASS_DEF_FOLDSOFTMAX
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

class SoftmaxFolder {
public:
  SoftmaxFolder(EncodeOp op, ConstantReals &constants, FoldContext context,
                GridSymbols &symbols)
      : op(op), constants(constants), context(context), symbols(symbols),
        tables(constants, symbols), b(context.rewriter) {}

  /// Whether it was folded; a failure has a diagnostic.
  FailureOr<bool> fold();

private:
  std::optional<int32_t> getLargest();
  bool readOffsets(int32_t largest);
  bool refuse(StringRef why);
  FailureOr<Value> emitScores(const ScoreForm &form);
  Value emitShift(Value scores, int shift);
  FailureOr<Value> emitBias(Value scores, const ScoreStep &step, double rate);
  Value emitMaximum(Value scores, const ScoreStep *mask);
  Value emitElements(Value scores, Value other, AffineMap map,
                     function_ref<Value(WideIntegers, ValueRange)> body);
  Value emitMask(Value scores, const ScoreStep &mask);
  Value emitCondition(const ScoreStep &mask);
  void remark(const ScoreForm &form, const ::spikequant::ExponentTable &table);

  EncodeOp op;
  ConstantReals &constants;
  FoldContext context;
  GridSymbols &symbols;
  PositionTables tables;
  IRRewriter &b;
  /// One for each key, in the units of `exponent`; empty: counts are rounded.
  SmallVector<int32_t> offsets;
};

} // namespace

/// The count of a numerator of 1, if steps of 1 / count make the threshold.
std::optional<int32_t> SoftmaxFolder::getLargest() {
  if (op.getRowScale() || op.getGains() || op.getBits())
    return std::nullopt;
  constexpr int32_t most = std::numeric_limits<int16_t>::max();
  double counts = 1.0 / op.getStep().convertToDouble();
  double rounded = std::nearbyint(counts);
  bool whole =
      rounded >= 1 && rounded <= most && std::abs(counts / rounded - 1) < 1e-6;
  return whole ? std::optional(static_cast<int32_t>(rounded)) : std::nullopt;
}

/// What an encode adds before it rounds down, 1/2 without centres.
bool SoftmaxFolder::readOffsets(int32_t largest) {
  if (!op.getCentres())
    return true;
  ArrayRef<float> centres = constants.getValues(op.getCentresAttr());
  float rate = 1.0f / op.getStep().convertToFloat();
  double one = std::exp2(::spikequant::getExponentFraction(largest));
  for (float centre : centres) {
    double offset = std::floor((0.5f - centre * rate) * one);
    if (!(offset >= 0 && offset < one))
      return false;
    offsets.push_back(static_cast<int32_t>(offset));
  }
  return !offsets.empty();
}

bool SoftmaxFolder::refuse(StringRef why) {
  remark::missed(op.getLoc(), context.remark("softmax-refused")) << remark::add(
      "site '{0}' keeps its real exponents: {1}", op.getSite(), why);
  return false;
}

static Value hiddenScore(OpBuilder &b, Location loc) {
  return arith::ConstantOp::create(
      b, loc, b.getI32IntegerAttr(::spikequant::hiddenScore));
}

/// The score, unless the condition hides it.
static Value hide(OpBuilder &b, Location loc, Value score, Value condition,
                  bool hides) {
  Value hidden = hiddenScore(b, loc);
  return arith::SelectOp::create(b, loc, condition, hides ? hidden : score,
                                 hides ? score : hidden);
}

Value SoftmaxFolder::emitCondition(const ScoreStep &mask) {
  return replayMovement(b, mask.mask.condition, mask.mask.path);
}

/// Elementwise over the scores, and over `other` as `map` reads it, if any.
Value SoftmaxFolder::emitElements(
    Value scores, Value other, AffineMap map,
    function_ref<Value(WideIntegers, ValueRange)> body) {
  Location loc = op.getLoc();
  auto type = cast<RankedTensorType>(scores.getType());
  AffineMap all = b.getMultiDimIdentityMap(type.getRank());
  SmallVector<Value> inputs = {scores};
  SmallVector<AffineMap> maps = {all};
  if (other) {
    inputs.push_back(other);
    maps.push_back(map);
  }
  maps.push_back(all);
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), type.getElementType());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, type, inputs, empty, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange in) {
        linalg::YieldOp::create(b, loc, body({b, loc}, in));
      });
  return generic.getResult(0);
}

Value SoftmaxFolder::emitMask(Value scores, const ScoreStep &mask) {
  return emitElements(scores, emitCondition(mask), mask.map,
                      [&](WideIntegers w, ValueRange in) {
                        return hide(w.b, w.loc, in[0], in[1], mask.hides);
                      });
}

/// Of each row, over what `mask` leaves.
Value SoftmaxFolder::emitMaximum(Value scores, const ScoreStep *mask) {
  Location loc = op.getLoc();
  auto type = cast<RankedTensorType>(scores.getType());
  int64_t rank = type.getRank();
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape().drop_back(),
                                        type.getElementType());
  Value init =
      linalg::FillOp::create(b, loc, hiddenScore(b, loc), empty).getResult(0);
  AffineMap all = b.getMultiDimIdentityMap(rank);
  SmallVector<Value> inputs = {scores};
  SmallVector<AffineMap> maps = {all};
  if (mask) {
    inputs.push_back(emitCondition(*mask));
    maps.push_back(mask->map);
  }
  maps.push_back(all.getMajorSubMap(rank - 1));
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  loops.back() = utils::IteratorType::reduction;
  auto generic = linalg::GenericOp::create(
      b, loc, init.getType(), inputs, init, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange in) {
        Value score =
            mask ? hide(b, loc, in[0], in[1], mask->hides) : Value(in[0]);
        Value most = arith::MaxSIOp::create(b, loc, in.back(), score);
        linalg::YieldOp::create(b, loc, most);
      });
  return generic.getResult(0);
}

Value SoftmaxFolder::emitShift(Value scores, int shift) {
  if (shift == 0)
    return scores;
  return emitElements(scores, {}, {}, [shift](WideIntegers w, ValueRange in) {
    return arith::ShLIOp::create(w.b, w.loc, in[0], w.number32(shift));
  });
}

/// Exact, up to kMostBiased; a bias of -kMostBiased hides, and what is hidden
/// stays so.
FailureOr<Value> SoftmaxFolder::emitBias(Value scores, const ScoreStep &step,
                                         double rate) {
  double unit = rate / step.factor;
  FailureOr<Value> bias = tables.convert(
      b, step.bias.value, {unit, std::abs(unit) * double(kMostBiased)});
  if (failed(bias))
    return failure();
  auto add = [](WideIntegers w, ValueRange in) -> Value {
    Value least = w.number32(-kMostBiased);
    Value sum = arith::AddIOp::create(w.b, w.loc, in[0], in[1]);
    sum = arith::MaxSIOp::create(w.b, w.loc, sum, least);
    sum = arith::MinSIOp::create(w.b, w.loc, sum, w.number32(kMostBiased - 1));
    Value hidden = hiddenScore(w.b, w.loc);
    auto is = [&](Value value, Value that) -> Value {
      return arith::CmpIOp::create(w.b, w.loc, arith::CmpIPredicate::eq, value,
                                   that);
    };
    Value hides =
        arith::OrIOp::create(w.b, w.loc, is(in[0], hidden), is(in[1], least));
    return arith::SelectOp::create(w.b, w.loc, hides, hidden, sum);
  };
  return emitElements(scores, *bias, step.bias.map, add);
}

/// The membranes as the scores are laid out, with all biases and hidden by all
/// masks but a last one.
FailureOr<Value> SoftmaxFolder::emitScores(const ScoreForm &form) {
  Value scores = emitShift(form.membrane, form.shift);
  for (const ScoreStep &step : form.steps) {
    if (step.move) {
      scores = replayMovement(b, scores, step.move);
    } else if (step.bias.value) {
      FailureOr<Value> sum = emitBias(scores, step, form.rates.front());
      if (failed(sum))
        return failure();
      scores = *sum;
    } else if (&step != &form.steps.back()) {
      scores = emitMask(scores, step);
    }
  }
  return scores;
}

/// How far the integers are from the real functions.
void SoftmaxFolder::remark(const ScoreForm &form,
                           const ::spikequant::ExponentTable &table) {
  int64_t masks = llvm::count_if(form.steps, [](const ScoreStep &step) {
    return !step.move && !step.bias.value;
  });
  std::string biases =
      form.biased
          ? llvm::formatv("; biases are rounded to {0:E2} nats, and hide at "
                          "2^30 of them",
                          form.rates.front())
                .str()
          : "";
  remark::passed(op.getLoc(), context.remark("softmax-folded")) << remark::add(
      "site '{0}': counts from integer scores, {1} masks, {2} scales; "
      "before it is rounded a count is off by at most {3:F3} of {4}{5}{6}",
      op.getSite(), masks, table.multipliers.size(),
      ::spikequant::getExponentError(table), table.form.largest, biases,
      form.infinite ? "; a row that is hidden entirely is uniform where "
                      "real numbers gave NaN"
                    : "");
}

FailureOr<bool> SoftmaxFolder::fold() {
  auto softmax = matchNumerators(op.getInput());
  std::optional<int32_t> largest = softmax ? getLargest() : std::nullopt;
  if (!largest)
    return false;
  if (!readOffsets(*largest))
    return refuse("a centre of its counts is beyond half a step");
  std::string refused;
  auto form = readScores(softmax->scores, *largest, constants, tables, refused);
  if (!form)
    return !refused.empty() && refuse(refused);
  auto table = ::spikequant::roundExponents(
      std::vector<double>(form->rates.begin(), form->rates.end()), *largest,
      !offsets.empty());
  if (!table)
    return refuse("its scale is out of range");
  FlatSymbolRefAttr keys;
  if (!offsets.empty()) {
    auto symbol = symbols.getTable(offsets, op.getLoc());
    if (failed(symbol))
      return failure();
    keys = *symbol;
  }
  b.setInsertionPoint(op);
  FailureOr<Value> emitted = emitScores(*form);
  if (failed(emitted))
    return failure();
  Value scores = *emitted;
  const ScoreStep *mask = form->steps.empty() || form->steps.back().move ||
                                  form->steps.back().bias.value
                              ? nullptr
                              : &form->steps.back();
  Value maximum = emitMaximum(scores, mask);
  if (mask)
    scores = emitMask(scores, *mask);
  remark(*form, *table);
  b.replaceOpWithNewOp<ExponentOp>(op, op.getType(), scores, maximum,
                                   table->multipliers, table->form.preshift,
                                   table->form.shift, table->form.largest,
                                   op.getSite(), keys);
  return true;
}

namespace {
struct FoldSoftmaxPass : impl::FoldSoftmaxBase<FoldSoftmaxPass> {
  using FoldSoftmaxBase::FoldSoftmaxBase;

  void runOnOperation() override {
    GridSymbols symbols(getOperation());
    auto fold = [&](EncodeOp op, ConstantReals &constants,
                    FoldContext context) -> LogicalResult {
      return SoftmaxFolder(op, constants, context, symbols).fold();
    };
    if (failed(foldEncodes(getOperation(), weights, fold)))
      signalPassFailure();
  }
};
} // namespace

} // namespace mlir::spikequant
