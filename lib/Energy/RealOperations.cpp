//===- RealOperations.cpp - operations on real numbers --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Everything in a graph that is no integrate: what a neuromorphic chip would
// have to leave to something else.
//
//===----------------------------------------------------------------------===//

#include "CollectLayers.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace llvm;
using ::spikequant::RealOperations;

namespace mlir::spikequant {
namespace {

/// One scalar operation, or one element of an operation on tensors.
RealOperations countScalar(Operation *op) {
  RealOperations one;
  TypeSwitch<Operation *>(op)
      .Case<arith::AddFOp, arith::SubFOp, arith::AddIOp, arith::SubIOp>(
          [&](auto) { one.additions = 1; })
      .Case<arith::MulFOp, arith::MulIOp>(
          [&](auto) { one.multiplications = 1; })
      .Case<math::FmaOp>([&](auto) { one.additions = one.multiplications = 1; })
      .Case<arith::DivFOp, arith::RemFOp, arith::DivSIOp, arith::DivUIOp,
            arith::RemSIOp, arith::RemUIOp>([&](auto) { one.divisions = 1; })
      .Case<arith::CmpFOp, arith::CmpIOp, arith::MaximumFOp, arith::MinimumFOp,
            arith::MaxNumFOp, arith::MinNumFOp, arith::MaxSIOp, arith::MinSIOp,
            arith::MaxUIOp, arith::MinUIOp, arith::SelectOp>(
          [&](auto) { one.comparisons = 1; })
      .Case<arith::SIToFPOp, arith::UIToFPOp, arith::FPToSIOp, arith::FPToUIOp,
            arith::ExtFOp, arith::TruncFOp>([&](auto) { one.conversions = 1; })
      .Default([&](Operation *other) {
        one.functions = isa<math::MathDialect>(other->getDialect());
      });
  return one;
}

bool countsAnything(const RealOperations &one) {
  return one.additions + one.multiplications + one.divisions + one.comparisons +
             one.functions + one.conversions >
         0;
}

int64_t elementsOf(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  return shaped && shaped.hasStaticShape() ? shaped.getNumElements() : 1;
}

int64_t bytesOf(ValueRange values) {
  int64_t bytes = 0;
  for (Value value : values)
    if (auto type = dyn_cast<RankedTensorType>(value.getType()))
      if (type.getElementType().isIntOrFloat())
        bytes += elementsOf(type) *
                 llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  return bytes;
}

/// What the operation reads: not the destinations that it only overwrites.
int64_t readBytes(Operation *op) {
  auto linalg = dyn_cast<linalg::LinalgOp>(op);
  if (!linalg)
    return bytesOf(op->getOperands());
  int64_t bytes = bytesOf(linalg.getDpsInputs());
  for (OpOperand &init : linalg.getDpsInitsMutable())
    if (linalg.payloadUsesValueFromOperand(&init))
      bytes += bytesOf(init.get());
  return bytes;
}

class Counter {
public:
  std::map<std::string, RealOperations> kinds;
  int64_t unknownLoops = 0;

  void count(Operation *op) {
    TypeSwitch<Operation *>(op)
        .Case<EncodeOp, DecodeOp, LookupOp>(
            [&](auto concrete) { countBorder(concrete); })
        .Case<linalg::LinalgOp>([&](auto linalg) { countLinalg(linalg); })
        .Case<IntegrateOp, FireOp, GridOp, ScaleRowsOp, TableOp>([](auto) {})
        .Default([&](Operation *other) { countElementwise(other); });
  }

private:
  void add(StringRef kind, Operation *op, RealOperations perElement,
           int64_t elements) {
    RealOperations all = perElement.times(elements);
    all.operations = 1;
    all.bytes = readBytes(op) + bytesOf(op->getResults());
    RealOperations repeated = all.times(repetitions(op));
    repeated.operations = 1;
    kinds[kind.str()] += repeated;
  }

  /// Product of the lengths of the loops around `op`.
  int64_t repetitions(Operation *op) {
    int64_t times = 1;
    for (Operation *up = op->getParentOp(); up && !isa<func::FuncOp>(up);
         up = up->getParentOp())
      if (auto loop = dyn_cast<scf::ForOp>(up))
        if (std::optional<APInt> trips = loop.getStaticTripCount())
          times *= trips->getSExtValue();
    return times;
  }

  /// v = (x rowScale) r + h, floor, two clamps, one comparison with the window.
  void countBorder(EncodeOp op) {
    if (op.isInteger())
      return;
    RealOperations each;
    each.multiplications = op.getRowScale() ? 2 : 1;
    each.additions = each.functions = each.conversions = 1;
    each.comparisons = op.getBits() ? 3 : 2;
    add("encode", op, each, elementsOf(op.getType()));
  }
  void countBorder(DecodeOp op) {
    RealOperations each;
    each.multiplications = each.conversions = 1;
    add("decode", op, each, elementsOf(op.getType()));
  }
  void countBorder(LookupOp op) {
    if (op.getRates())
      return;
    RealOperations each;
    each.multiplications = each.conversions = 1;
    add("lookup", op, each, elementsOf(op.getType()));
  }

  void countLinalg(linalg::LinalgOp op) {
    RealOperations each;
    for (Operation &inner : op.getBlock()->without_terminator())
      each += countScalar(&inner);
    int64_t points = 1;
    for (int64_t size : op.getStaticLoopRanges())
      points *= ShapedType::isDynamic(size) ? 1 : size;
    if (!countsAnything(each))
      return;
    bool reduces = op.getNumReductionLoops() > 0;
    bool multiplies = each.multiplications && op.getNumDpsInputs() >= 2;
    add(!reduces     ? "elementwise"
        : multiplies ? "contraction"
                     : "reduction",
        op, each, points);
  }

  /// Arithmetic on whole tensors; scalars are the program's own bookkeeping.
  void countElementwise(Operation *op) {
    if (auto loop = dyn_cast<LoopLikeOpInterface>(op)) {
      auto forLoop = dyn_cast<scf::ForOp>(op);
      unknownLoops += !forLoop || !forLoop.getStaticTripCount();
      return;
    }
    if (op->getNumResults() != 1 ||
        !isa<RankedTensorType>(op->getResult(0).getType()))
      return;
    RealOperations each = countScalar(op);
    if (countsAnything(each))
      add("elementwise", op, each, elementsOf(op->getResult(0).getType()));
  }
};

} // namespace

std::map<std::string, RealOperations>
countRealOperations(func::FuncOp function, int64_t &unknownLoops) {
  Counter counter;
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    counter.count(op);
    // A linalg body is counted with its operation.
    return isa<linalg::LinalgOp>(op) ? WalkResult::skip()
                                     : WalkResult::advance();
  });
  unknownLoops = counter.unknownLoops;
  return std::move(counter.kinds);
}

} // namespace mlir::spikequant
