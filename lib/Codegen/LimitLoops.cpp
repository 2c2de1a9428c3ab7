//===- LimitLoops.cpp - leaves out what a mask hides ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Forwards, TailValues finds sums and maxima that hidden columns do not change:
// their loops may stop early. Backwards, an elementwise loop may stop where all
// readers of its results do. Limits are attributes until kernels are outlined.
//
//===----------------------------------------------------------------------===//

#include "TailValues.h"

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/GraphContext.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_LIMITLOOPS
#include "spikequant/Codegen/Passes.h.inc"

namespace {

class LoopLimits {
public:
  explicit LoopLimits(func::FuncOp function)
      : function(function), values(function) {}

  void annotate() {
    for (Operation &op : llvm::reverse(function.getBody().front())) {
      auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
      if (!linalgOp || !linalgOp.hasPureTensorSemantics() ||
          linalgOp.hasDynamicShape())
        continue;
      if (std::optional<Tail> limit = getLimit(linalgOp))
        limits[&op] = *limit;
    }
    for (auto &[op, limit] : limits)
      setAttribute(op, limit);
  }

private:
  std::optional<Tail> getLimit(linalg::LinalgOp op) {
    if (std::optional<Tail> tail = values.getNeutralReduction(op))
      return tail;
    std::optional<Tail> limit;
    for (OpResult result : op->getResults()) {
      std::optional<Tail> unread = getUnread(result);
      if (!unread)
        return std::nullopt;
      AffineExpr loop =
          op.getIndexingMapMatchingResult(result).getResult(unread->dim);
      if (!isa<AffineDimExpr>(loop))
        return std::nullopt;
      unread->dim = cast<AffineDimExpr>(loop).getPosition();
      if (limit && *limit != *unread)
        return std::nullopt;
      limit = unread;
    }
    return limit;
  }

  /// The part of an array that nobody reads.
  std::optional<Tail> getUnread(Value array) {
    std::optional<Tail> common;
    for (OpOperand &use : array.getUses()) {
      std::optional<Tail> unread = getUnread(use);
      if (!unread || (common && *common != *unread))
        return std::nullopt;
      common = unread;
    }
    return common;
  }

  std::optional<Tail> getUnread(OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(user)) {
      std::optional<Tail> result = getUnread(user->getResult(0));
      return result ? getTailOfSource(user, *result) : std::nullopt;
    }
    auto found = limits.find(user);
    if (found == limits.end())
      return std::nullopt;
    Tail tail = found->second;
    AffineMap map = cast<linalg::LinalgOp>(user).getMatchingIndexingMap(&use);
    for (auto [dim, expression] : llvm::enumerate(map.getResults()))
      if (expression == getAffineDimExpr(tail.dim, map.getContext())) {
        tail.dim = dim;
        return tail;
      }
    return std::nullopt;
  }

  /// Whole vectors and reductions of 16 lanes end at multiples of kLimitUnit.
  void setAttribute(Operation *op, const Tail &tail) {
    int64_t size = cast<linalg::LinalgOp>(op).getStaticLoopRanges()[tail.dim];
    if (kLimitUnit % tail.divisor != 0 || size * tail.divisor <= kLimitUnit)
      return;
    int64_t numbers[] = {tail.dim, tail.argument, tail.addend, tail.divisor,
                         size};
    op->setAttr(kLimitAttr, DenseI64ArrayAttr::get(op->getContext(), numbers));
  }

  func::FuncOp function;
  TailValues values;
  llvm::MapVector<Operation *, Tail> limits;
};

struct LimitLoopsPass : impl::LimitLoopsBase<LimitLoopsPass> {
  void runOnOperation() override {
    if (!getOperation().isDeclaration())
      LoopLimits(getOperation()).annotate();
  }
};

} // namespace
} // namespace mlir::spikequant
