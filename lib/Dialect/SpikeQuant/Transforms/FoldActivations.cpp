//===- FoldActivations.cpp - functions between matrices as tables ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %g = spikequant.decode %a, @gate      %u = spikequant.decode %b, @up
//   %n = spikequant.encode f(%g) * %u {step = 0.5 : f32, site = "down.in"}
// becomes
//   %i = spikequant.grid %a, @gate.grid
//   %f = spikequant.table %i, @table.0
//   %j = spikequant.grid %b, @up.grid
//   %p = %f * %j                                    in i64
//   %n = spikequant.fire %p {multipliers = [M], biases = [B], shift = S}
//
// No real number is left between the membranes and the counts.
//
//===----------------------------------------------------------------------===//

#include "Elementwise.h"
#include "FixedPointFire.h"
#include "FoldScales.h"
#include "FunctionTable.h"
#include "GridSymbols.h"
#include "ScalarFunction.h"

#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Thresholds.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/RegionUtils.h"

#include <cmath>

namespace mlir::spikequant {
#define GEN_PASS_DEF_FOLDACTIVATIONS
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

/// A factor of the value that is encoded: a function of one decoded array.
struct Factor {
  int leaf = -1;
  SmallVector<int> steps; ///< their product
  double in = 0;          ///< unit of the array's grid
  std::optional<FunctionTable> table;

  double getUnit() const { return table ? table->out : in; }
};

/// One encode.
class ActivationFolder {
public:
  ActivationFolder(EncodeOp op, ConstantReals &constants, FoldContext context,
                   GridSymbols &grids)
      : op(op), constants(constants), context(context), grids(grids),
        functions(constants) {}

  /// Whether it was folded; a failure has a diagnostic.
  FailureOr<bool> fold(double largestUnit);

private:
  bool findFactors();
  bool plan(Factor &factor, double largestUnit);
  bool planAll(double largestUnit);
  double evaluate(const Factor &factor, double x) const;
  std::optional<::spikequant::FireTable> getThresholds();
  FailureOr<Value> emitFactor(const Factor &factor);
  Value emitProduct(Value a, Value b);
  Value reshape(Value value);
  void emitFire(Value membrane, const ::spikequant::FireTable &thresholds);
  void remark();

  EncodeOp op;
  ConstantReals &constants;
  FoldContext context;
  GridSymbols &grids;
  ScalarFunctions functions;
  SmallVector<Factor> factors;
  double constant = 1;
  std::string refused;
};

} // namespace

//===----------------------------------------------------------------------===//
// Planning
//===----------------------------------------------------------------------===//

/// At most two factors, at least one of them a function.
bool ActivationFolder::findFactors() {
  std::optional<int> root = functions.read(op.getInput());
  if (!root || functions.isLeaf(*root))
    return false;
  for (int step : functions.getFactors(*root)) {
    std::optional<int> leaf = functions.getOnlyLeaf(step);
    if (!leaf)
      return false;
    if (*leaf < 0) {
      constant *= functions.evaluate(step, 0);
      continue;
    }
    auto same = llvm::find_if(
        factors, [&](const Factor &factor) { return factor.leaf == *leaf; });
    if (same == factors.end()) {
      factors.push_back({});
      same = std::prev(factors.end());
      same->leaf = *leaf;
    }
    same->steps.push_back(step);
  }
  return !factors.empty() && factors.size() <= 2;
}

double ActivationFolder::evaluate(const Factor &factor, double x) const {
  double product = 1;
  for (int step : factor.steps)
    product *= functions.evaluate(step, x);
  return product;
}

bool ActivationFolder::plan(Factor &factor, double largestUnit) {
  std::optional<double> spread =
      estimateSpread(functions.getLeaf(factor.leaf), constants, context.module);
  if (!spread) {
    refused = "the weights before it have no known values";
    return false;
  }
  bool linear = factor.steps.size() == 1 && functions.isLeaf(factor.steps[0]);
  factor.in = roundDownToPower(linear ? *spread / 128
                                      : std::min(*spread / 32, largestUnit));
  if (linear)
    return true;
  factor.table = makeFunctionTable(
      [&](double x) { return evaluate(factor, x); }, factor.in);
  if (!factor.table)
    refused = "a function is not straight far from 0, or not finite";
  return factor.table.has_value();
}

/// A product that is not straight far out, as a square, may have factors that
/// are.
bool ActivationFolder::planAll(double largestUnit) {
  if (llvm::all_of(factors,
                   [&](Factor &factor) { return plan(factor, largestUnit); }))
    return true;
  if (factors.size() != 1 || factors[0].steps.size() != 2)
    return false;
  factors.push_back(
      {factors[0].leaf, {factors[0].steps.pop_back_val()}, 0, {}});
  for (Factor &factor : factors)
    if (!plan(factor, largestUnit))
      return false;
  refused.clear();
  return true;
}

/// Thresholds of the product, per channel, with one shift.
std::optional<::spikequant::FireTable> ActivationFolder::getThresholds() {
  double unit = constant;
  for (const Factor &factor : factors)
    unit *= factor.getUnit();
  constexpr int32_t most = ::spikequant::maxCount;
  return getUnitThresholds(op, unit, constants, {-most, most});
}

//===----------------------------------------------------------------------===//
// Emission
//===----------------------------------------------------------------------===//

/// Reshapes and slices of a real array, on integers.
static Value replayMoves(OpBuilder &b, Value value,
                         ArrayRef<Operation *> moves) {
  for (Operation *move : llvm::reverse(moves)) {
    Operation *copy = b.clone(*move);
    copy->setOperand(0, value);
    auto type = cast<RankedTensorType>(copy->getResult(0).getType());
    copy->getResult(0).setType(
        type.clone(cast<RankedTensorType>(value.getType()).getElementType()));
    value = copy->getResult(0);
  }
  return value;
}

/// In the shape of the counts, as rows are laid out.
Value ActivationFolder::reshape(Value value) {
  auto from = cast<RankedTensorType>(value.getType());
  auto to = op.getType().clone(from.getElementType());
  if (from == to)
    return value;
  OpBuilder &b = context.rewriter;
  Location loc = op.getLoc();
  auto all = [](int64_t rank) {
    return SmallVector<ReassociationIndices>{
        llvm::to_vector<2>(llvm::seq<int64_t>(rank))};
  };
  if (from.getRank() > 1)
    value = tensor::CollapseShapeOp::create(b, loc, value, all(from.getRank()));
  if (to.getRank() > 1)
    value = tensor::ExpandShapeOp::create(b, loc, to, value, all(to.getRank()));
  return value;
}

FailureOr<Value> ActivationFolder::emitFactor(const Factor &factor) {
  OpBuilder &b = context.rewriter;
  Location loc = op.getLoc();
  const DecodedLeaf &leaf = functions.getLeaf(factor.leaf);
  FailureOr<Value> grid = grids.makeGrid(b, loc, leaf, factor.in);
  if (failed(grid))
    return failure();
  Value value = *grid;
  if (factor.table) {
    FailureOr<FlatSymbolRefAttr> table =
        grids.getTable(factor.table->entries, loc);
    if (failed(table))
      return failure();
    value = TableOp::create(b, loc, value.getType(), value, *table,
                            b.getI32IntegerAttr(factor.table->lo),
                            b.getI32IntegerAttr(factor.table->lowSlope),
                            b.getI32IntegerAttr(factor.table->highSlope));
  }
  return reshape(replayMoves(b, value, leaf.moves));
}

Value ActivationFolder::emitProduct(Value x, Value y) {
  OpBuilder &b = context.rewriter;
  return createElementwise(
      b, op.getLoc(), {x, y}, b.getI64Type(),
      [](OpBuilder &b, Location loc, ValueRange values) -> Value {
        Value wideX = arith::ExtSIOp::create(b, loc, b.getI64Type(), values[0]);
        Value wideY = arith::ExtSIOp::create(b, loc, b.getI64Type(), values[1]);
        return arith::MulIOp::create(b, loc, wideX, wideY);
      });
}

void ActivationFolder::emitFire(Value membrane,
                                const ::spikequant::FireTable &thresholds) {
  constexpr int32_t most = ::spikequant::maxCount;
  replaceByFire(op, membrane, thresholds, {-most, most}, context.rewriter);
}

/// How far the integers are from the real functions, in steps of the site.
void ActivationFolder::remark() {
  std::string parts;
  llvm::raw_string_ostream out(parts);
  for (const Factor &factor : factors) {
    out << (&factor == factors.begin() ? "" : " times ");
    DecodeOp decode = functions.getLeaf(factor.leaf).getDecode();
    if (factor.table)
      out << "a table of " << factor.table->entries.size() << " entries of @"
          << decode.getWeights() << " in units of " << factor.in
          << " (off by at most "
          << factor.table->steepest * factor.in / 2 + factor.table->out / 2
          << ")";
    else
      out << "@" << decode.getWeights() << " in units of " << factor.in
          << " (off by at most " << factor.in / 2 << ")";
  }
  remark::passed(op.getLoc(), context.remark("activation-table"))
      << remark::add("site '{0}': fires from {1}; numbers saturate beyond 2^31 "
                     "units",
                     op.getSite(), parts);
}

FailureOr<bool> ActivationFolder::fold(double largestUnit) {
  if (op.getRowScale() || op.getOverflow() || !op.getType().hasStaticShape() ||
      !findFactors())
    return false;
  bool possible = planAll(largestUnit);
  bool nonlinear = llvm::any_of(
      factors, [](Factor &factor) { return factor.table.has_value(); });
  if (!possible || !(nonlinear || factors.size() == 2)) {
    if (!refused.empty())
      remark::missed(op.getLoc(), context.remark("activation-refused"))
          << remark::add("site '{0}' keeps its real function: {1}",
                         op.getSite(), refused);
    return false;
  }
  auto thresholds = getThresholds();
  if (!thresholds)
    return false;
  context.rewriter.setInsertionPoint(op);
  SmallVector<Value> values;
  for (const Factor &factor : factors) {
    FailureOr<Value> value = emitFactor(factor);
    if (failed(value))
      return failure();
    values.push_back(*value);
  }
  remark();
  emitFire(values.size() == 1 ? values[0] : emitProduct(values[0], values[1]),
           *thresholds);
  return true;
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct FoldActivationsPass : impl::FoldActivationsBase<FoldActivationsPass> {
  using FoldActivationsBase::FoldActivationsBase;

  void runOnOperation() override {
    GridSymbols grids(getOperation());
    auto fold = [&](EncodeOp op, ConstantReals &constants,
                    FoldContext context) -> LogicalResult {
      return ActivationFolder(op, constants, context, grids).fold(largestUnit);
    };
    if (failed(foldEncodes(getOperation(), weights, fold)))
      signalPassFailure();
  }
};
} // namespace

} // namespace mlir::spikequant
