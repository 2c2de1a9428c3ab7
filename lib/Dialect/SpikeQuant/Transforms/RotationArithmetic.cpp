//===- RotationArithmetic.cpp - what is linear in turned channels ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RotationWeb.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightOperand.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {
/// How a scalar of a body depends on the numbers that turn.
enum class Degree {
  Zero,   ///< The number 0.
  Free,   ///< Not at all.
  Linear, ///< A sum of multiples of them.
  Square, ///< A product of two linear ones.
  Other
};

class DegreeFinder {
public:
  /// `turns` has a bit for each block argument.
  DegreeFinder(Block *body, llvm::SmallBitVector turns, unsigned loop)
      : body(body), turns(std::move(turns)), loop(loop) {}

  Degree find(Value value) {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return argument.getOwner() == body && turns.test(argument.getArgNumber())
                 ? Degree::Linear
                 : Degree::Free;
    if (matchPattern(value, m_AnyZeroFloat()))
      return Degree::Zero;
    Operation *op = value.getDefiningOp();
    if (op->getBlock() != body)
      return Degree::Free;
    if (auto index = dyn_cast<linalg::IndexOp>(op))
      return index.getDim() == loop ? Degree::Other : Degree::Free;
    if (op->getNumRegions() != 0)
      return Degree::Other;
    SmallVector<Degree> in = llvm::map_to_vector(
        op->getOperands(), [&](Value operand) { return find(operand); });
    return combine(op, in);
  }

private:
  static bool isFree(Degree d) {
    return d == Degree::Zero || d == Degree::Free;
  }

  Degree combine(Operation *op, ArrayRef<Degree> in) {
    if (llvm::all_of(in, isFree))
      return isMemoryEffectFree(op) ? Degree::Free : Degree::Other;
    if (isa<arith::AddFOp, arith::SubFOp>(op))
      return add(in[0], in[1]);
    if (isa<arith::SelectOp>(op))
      return isFree(in[0]) ? add(in[1], in[2]) : Degree::Other;
    if (isa<arith::MulFOp>(op))
      return multiply(in[0], in[1]);
    if (isa<arith::DivFOp>(op))
      return isFree(in[1]) ? in[0] : Degree::Other;
    return isa<arith::NegFOp>(op) ? in[0] : Degree::Other;
  }

  static Degree add(Degree a, Degree b) {
    if (a == Degree::Zero || b == Degree::Zero)
      return a == Degree::Zero ? b : a;
    return a == b ? a : Degree::Other;
  }

  static Degree multiply(Degree a, Degree b) {
    if (isFree(a) || isFree(b))
      return isFree(a) ? b : a;
    return a == Degree::Linear && b == Degree::Linear ? Degree::Square
                                                      : Degree::Other;
  }

  Block *body;
  llvm::SmallBitVector turns;
  unsigned loop;
};
} // namespace

/// The dimension of an operand that is exactly `loop`, -1 if it does not have
/// that loop, -2 if it has it in another way.
static int64_t findLoop(AffineMap map, unsigned loop) {
  int64_t found = -1;
  for (auto [d, expr] : llvm::enumerate(map.getResults())) {
    if (!expr.isFunctionOfDim(loop))
      continue;
    bool isPlain = isa<AffineDimExpr>(expr) && found == -1;
    found = isPlain ? int64_t(d) : -2;
  }
  return found;
}

LogicalResult RotationWeb::visitLinalg(const ChannelAxis &axis,
                                       linalg::LinalgOp op, int64_t position) {
  if (isa<linalg::FillOp>(op))
    return refuse("a constant is filled in");
  if (op->getNumResults() != 1 || !op.hasPureTensorSemantics())
    return refuse("an operation with several results");
  OpOperand &operand =
      position < 0 ? *op.getDpsInitOperand(0) : op->getOpOperand(position);
  AffineExpr expr =
      op.getMatchingIndexingMap(&operand).getResult(axis.dimension);
  auto dim = dyn_cast<AffineDimExpr>(expr);
  if (!dim)
    return refuse("channels are read in another order");
  // What an element-wise operation writes over does not matter.
  if (position >= 0 && op.isDpsInit(&operand) &&
      !op.payloadUsesValueFromOperand(&operand))
    return success();
  unsigned loop = dim.getPosition();
  return op.getIteratorTypesArray()[loop] == utils::IteratorType::parallel
             ? passOn(axis, op, loop)
             : absorb(axis, op, loop);
}

/// Bits of the body's arguments that have `loop`; nothing if one has it in
/// another way than as a dimension.
static std::optional<llvm::SmallBitVector> findTurning(linalg::LinalgOp op,
                                                       unsigned loop) {
  llvm::SmallBitVector turns(op->getNumOperands());
  for (OpOperand &operand : op->getOpOperands()) {
    int64_t d = findLoop(op.getMatchingIndexingMap(&operand), loop);
    if (d == -2)
      return std::nullopt;
    if (d >= 0)
      turns.set(operand.getOperandNumber());
  }
  return turns;
}

LogicalResult RotationWeb::passOn(const ChannelAxis &axis, linalg::LinalgOp op,
                                  unsigned loop) {
  auto turns = findTurning(op, loop);
  if (!turns)
    return refuse("channels are read in another order");
  Value yielded = op.getBlock()->getTerminator()->getOperand(0);
  Degree degree = DegreeFinder(op.getBlock(), *turns, loop).find(yielded);
  if (degree != Degree::Linear && degree != Degree::Zero)
    return refuse("an operation that is not linear along its channels");
  for (OpOperand &operand : op->getOpOperands()) {
    bool isRead = op.payloadUsesValueFromOperand(&operand);
    if (!turns->test(operand.getOperandNumber()) || !isRead)
      continue;
    int64_t d = findLoop(op.getMatchingIndexingMap(&operand), loop);
    if (failed(add({operand.get(), d, axis.begin, axis.end})))
      return failure();
  }
  int64_t d =
      findLoop(op.getMatchingIndexingMap(op.getDpsInitOperand(0)), loop);
  return add({op->getResult(0), d, axis.begin, axis.end});
}

/// A sum of products of two values that turn alike stays as it is.
LogicalResult RotationWeb::absorb(const ChannelAxis &axis, linalg::LinalgOp op,
                                  unsigned loop) {
  auto turns = findTurning(op, loop);
  if (!turns)
    return refuse("channels are read in another order");
  Block *body = op.getBlock();
  auto sum =
      body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  Value start = op.getRegionOutputArgs()[0];
  Value term;
  if (sum)
    term = sum.getLhs() == start ? sum.getRhs() : sum.getLhs();
  if (!sum || (sum.getLhs() != start && sum.getRhs() != start) ||
      DegreeFinder(body, *turns, loop).find(term) != Degree::Square)
    return refuse("an operation over its channels that is no sum of products");
  for (OpOperand *operand : op.getDpsInputOperands()) {
    int64_t d = findLoop(op.getMatchingIndexingMap(operand), loop);
    if (d < 0)
      continue;
    if (failed(add({operand->get(), d, axis.begin, axis.end})))
      return failure();
    if (std::optional<WeightOperand> weight =
            traceWeight(operand->get()).operand)
      if (WeightsOp symbol = lookupWeights(module, weight->load.getWeights()))
        absorbing.insert(symbol.getSource().value_or(symbol.getSymName()));
  }
  return success();
}
