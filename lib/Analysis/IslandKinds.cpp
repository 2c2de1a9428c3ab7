//===- IslandKinds.cpp - what real-valued operations are for --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Three passes over the function:
//   1. statistics of rows (reductions and what is computed of them alone), as
//      connected components: a component with a root belongs to a norm, one
//      with a maximum or a sum of exponentials to a softmax;
//   2. operations on whole arrays, by their scalar operations and by what the
//      other operand depends on (a row, a constant, a position, data);
//   3. decodes, which take the kind of their first reader, and the last
//      operations before the results.
//
//===----------------------------------------------------------------------===//

#include "IslandKinds.h"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/EquivalenceClasses.h"
#include "llvm/ADT/SmallPtrSet.h"

using namespace mlir;
using namespace mlir::spikequant;

bool mlir::spikequant::isRealOperation(Operation *op) {
  if (op->hasTrait<OpTrait::ConstantLike>() ||
      op->hasTrait<OpTrait::IsTerminator>() ||
      isa<LoadWeightsOp, tensor::EmptyOp, linalg::FillOp, ObserveOp>(op))
    return false;
  if (op->getNumRegions() && !isa<linalg::LinalgOp>(op))
    return false;
  // Of a real row factor, only mantissa and exponent are used, as integers.
  if (auto encode = dyn_cast<EncodeOp>(op);
      isa<ScaleRowsOp>(op) || (encode && encode.isInteger()))
    return false;
  return llvm::any_of(op->getOperands(), isReal) ||
         llvm::any_of(op->getResults(), isReal);
}

namespace {

/// What the scalar operations of one operation do to data.
struct ScalarSummary {
  bool function = false; ///< exp, tanh, .., or a kink: max, min, abs
  bool exponential = false;
  bool root = false;
  bool select = false;
  bool products = false; ///< data times data
  bool sums = false;     ///< data plus data
  bool positionProduct = false, positionSum = false;
  bool constantProduct = false, constantSum = false;
  bool rowProduct = false, rowSum = false; ///< data with a row statistic
  bool maximum = false; ///< combines with the accumulator by maximum
};

using Kinds = llvm::MapVector<Operation *, IslandKind>;

class KindFinder {
public:
  explicit KindFinder(func::FuncOp function)
      : function(function), values(function) {}

  Kinds run();

private:
  ScalarSummary summarize(Operation *op) const;
  void findRowKinds();
  IslandKind getRowKind(ArrayRef<Operation *> component) const;
  void joinCentres();
  IslandKind getKind(Operation *op) const;
  IslandKind getElementwiseKind(Operation *op) const;
  IslandKind getReaderKind(Operation *decode) const;
  bool isRow(Operation *op) const {
    if (op->getNumResults() != 1)
      return false;
    if (isReal(op->getResult(0)))
      return values.get(op->getResult(0)).isRow;
    return isCentre(op);
  }
  /// Takes statistics of rows to fixed point.
  bool isCentre(Operation *op) const {
    return !isReal(op->getResult(0)) && isa<linalg::LinalgOp>(op) &&
           llvm::all_of(op->getOperands(), [&](Value operand) {
             return !isReal(operand) || values.get(operand).isRow;
           });
  }
  std::optional<IslandKind> getRowOperandKind(Operation *op) const;
  void markFinal();
  bool isFinal(Operation *op);

  func::FuncOp function;
  RealValues values;
  Kinds kinds;
  llvm::DenseMap<Operation *, IslandKind> rows;
  llvm::SmallPtrSet<Operation *, 16> finals;
};

} // namespace

static bool isMovement(Operation *op) {
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    return linalgOp.getNumReductionLoops() == 0 &&
           getScalarOperations(op).empty();
  return isa_and_nonnull<tensor::TensorDialect>(op->getDialect());
}

/// Whether the operation has a contraction's products and sum.
static bool isContraction(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return linalgOp && (linalg::isaContractionOpInterface(linalgOp) ||
                      linalg::isaConvolutionOpInterface(linalgOp));
}

//===----------------------------------------------------------------------===//
// Scalar operations
//===----------------------------------------------------------------------===//

static void addBinary(ScalarSummary &summary, Operation *inner, ValueTraits a,
                      ValueTraits b) {
  bool product = isa<arith::MulFOp, arith::DivFOp>(inner);
  if (!product && !isa<arith::AddFOp, arith::SubFOp>(inner))
    return;
  if (!a.isData())
    std::swap(a, b);
  if (!a.isData())
    return;
  if (b.dependence == Dependence::Constant)
    (product ? summary.constantProduct : summary.constantSum) = true;
  else if (b.dependence == Dependence::Position)
    (product ? summary.positionProduct : summary.positionSum) = true;
  else if (a.isRow != b.isRow)
    (product ? summary.rowProduct : summary.rowSum) = true;
  else
    (product ? summary.products : summary.sums) = true;
}

ScalarSummary KindFinder::summarize(Operation *op) const {
  ScalarSummary summary;
  llvm::DenseMap<Value, ValueTraits> body;
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (linalgOp)
    body = values.getBody(linalgOp);
  auto traitsOf = [&](Value value) {
    return body.count(value) ? body.lookup(value) : values.get(value);
  };
  for (Operation *inner : getScalarOperations(op)) {
    if (!llvm::any_of(inner->getOperands(), isReal))
      continue;
    summary.select |= isa<arith::SelectOp>(inner);
    summary.exponential |= isa<math::ExpOp, math::Exp2Op>(inner);
    summary.root |= isa<math::RsqrtOp, math::SqrtOp>(inner);
    bool kink = isa<arith::MaximumFOp, arith::MinimumFOp, arith::MaxNumFOp,
                    arith::MinNumFOp>(inner);
    summary.maximum |= isa<arith::MaximumFOp, arith::MaxNumFOp>(inner);
    summary.function |=
        kink || (isa_and_nonnull<math::MathDialect>(inner->getDialect()) &&
                 !isa<math::FmaOp>(inner));
    if (inner->getNumOperands() == 2)
      addBinary(summary, inner, traitsOf(inner->getOperand(0)),
                traitsOf(inner->getOperand(1)));
  }
  return summary;
}

//===----------------------------------------------------------------------===//
// Statistics of rows
//===----------------------------------------------------------------------===//

/// Whether a reduction adds up exponentials.
static bool sumsExponentials(Operation *op) {
  auto hasExponential = [](Operation *candidate) {
    return candidate &&
           llvm::any_of(getScalarOperations(candidate), [](Operation *inner) {
             return isa<math::ExpOp, math::Exp2Op>(inner);
           });
  };
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp || linalgOp.getNumReductionLoops() == 0)
    return false;
  return hasExponential(op) ||
         llvm::any_of(op->getOperands(), [&](Value operand) {
           return hasExponential(operand.getDefiningOp());
         });
}

/// Whether the body divides by a whole number, as a softmax by its sum of
/// counts.
static bool dividesByCounts(Operation *op) {
  return llvm::any_of(getScalarOperations(op), [](Operation *inner) {
    auto quotient = dyn_cast<arith::DivFOp>(inner);
    return quotient && quotient.getRhs().getDefiningOp<arith::SIToFPOp>();
  });
}

/// Whether the body reads real numbers as mantissas and exponents alone.
static bool readsBits(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  bool some = false;
  for (Operation *inner :
       linalgOp ? getScalarOperations(op) : SmallVector<Operation *>()) {
    bool real = llvm::any_of(inner->getOperands(), isReal) ||
                llvm::any_of(inner->getResults(), isReal);
    if (real && !isa<arith::BitcastOp>(inner))
      return false;
    some |= real;
  }
  return some;
}

IslandKind KindFinder::getRowKind(ArrayRef<Operation *> component) const {
  bool softmax = false, root = false, encode = false;
  for (Operation *op : component) {
    ScalarSummary summary = summarize(op);
    // Integers of a row are centred only for a norm.
    root |= summary.root || isCentre(op);
    softmax |= summary.maximum || sumsExponentials(op) || dividesByCounts(op);
    for (Operation *user : op->getUsers())
      if (auto consumer = dyn_cast<EncodeOp>(user))
        encode |= consumer.getRowScale() == op->getResult(0);
  }
  if (root)
    return IslandKind::NormRow;
  if (encode)
    return IslandKind::EncodeRow;
  return softmax ? IslandKind::SoftmaxRow : IslandKind::Row;
}

void KindFinder::findRowKinds() {
  llvm::EquivalenceClasses<Operation *> classes;
  for (auto &[op, kind] : kinds) {
    if (!isRow(op))
      continue;
    classes.insert(op);
    // A reduction of values begins statistics of its own.
    bool reducesValues = llvm::any_of(op->getOperands(), [&](Value operand) {
      ValueTraits traits = values.get(operand);
      return isReal(operand) && traits.isData() && !traits.isRow;
    });
    if (reducesValues)
      continue;
    for (Value operand : op->getOperands())
      if (Operation *producer = operand.getDefiningOp())
        if (kinds.count(producer) && isRow(producer))
          classes.unionSets(op, producer);
  }
  llvm::MapVector<Operation *, SmallVector<Operation *>> components;
  for (auto &[op, kind] : kinds)
    if (isRow(op))
      components[classes.getLeaderValue(op)].push_back(op);
  for (auto &[leader, component] : components) {
    IslandKind kind = getRowKind(component);
    for (Operation *op : component)
      rows[op] = kind;
  }
}

/// A mean that centres what a norm's statistics are taken of, or scale, is part
/// of the norm.
void KindFinder::joinCentres() {
  auto leadsToNorm = [&](Operation *op) {
    return llvm::any_of(op->getUsers(), [&](Operation *user) {
      auto row = rows.find(user);
      if (row != rows.end() && row->second == IslandKind::NormRow)
        return true;
      return llvm::any_of(user->getOperands(), [&](Value operand) {
        auto other = rows.find(operand.getDefiningOp());
        return other != rows.end() && other->second == IslandKind::NormRow;
      });
    });
  };
  // Readers come later: backwards, so that a whole component follows.
  for (auto &entry : llvm::reverse(kinds)) {
    auto row = rows.find(entry.first);
    if (row == rows.end() || row->second != IslandKind::Row)
      continue;
    bool centres = leadsToNorm(entry.first) ||
                   llvm::any_of(entry.first->getUsers(), leadsToNorm);
    if (centres)
      row->second = IslandKind::NormRow;
  }
}

std::optional<IslandKind> KindFinder::getRowOperandKind(Operation *op) const {
  for (Value operand : op->getOperands()) {
    // A statistic may arrive broadcast.
    Operation *producer = operand.getDefiningOp();
    auto row = rows.find(producer);
    if (row != rows.end())
      return row->second;
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Whole arrays
//===----------------------------------------------------------------------===//

/// Whether a sum of exponentials reads the result.
static bool feedsSum(Operation *op) {
  return llvm::any_of(op->getUsers(), sumsExponentials);
}

IslandKind KindFinder::getElementwiseKind(Operation *op) const {
  ScalarSummary summary = summarize(op);
  std::optional<IslandKind> row = getRowOperandKind(op);
  if (row && readsBits(op))
    return *row;
  if (summary.exponential && feedsSum(op))
    return IslandKind::Exponent;
  if (row == IslandKind::SoftmaxRow)
    return summary.rowProduct ? IslandKind::Probabilities
                              : IslandKind::Exponent;
  if (row == IslandKind::NormRow)
    return IslandKind::Normalised;
  if (summary.function)
    return IslandKind::Activation;
  if (summary.positionProduct)
    return IslandKind::Rotary;
  if (summary.select)
    return IslandKind::Mask;
  if (summary.sums)
    return IslandKind::Residual;
  if (summary.products)
    return IslandKind::Gating;
  if (summary.positionSum)
    return IslandKind::Positions;
  if (summary.constantSum)
    return IslandKind::Bias;
  return summary.constantProduct || summary.rowProduct ? IslandKind::Scaling
                                                       : IslandKind::Other;
}

/// Weights, possibly moved.
static bool isConstantOperand(const RealValues &values, Value value) {
  return isReal(value) && !values.get(value).isData();
}

IslandKind KindFinder::getKind(Operation *op) const {
  if (isa<EncodeOp>(op))
    return IslandKind::Encode;
  if (isa<LookupOp>(op))
    return IslandKind::Embedding;
  bool data = llvm::any_of(op->getResults(), [&](Value result) {
    return values.get(result).isData();
  });
  auto row = rows.find(op);
  // A norm of embeddings depends on the tokens' numbers alone.
  if (!data && (row == rows.end() || row->second != IslandKind::NormRow))
    return IslandKind::Tables;
  if (isContraction(op)) {
    auto inputs = cast<linalg::LinalgOp>(op).getDpsInputs();
    bool weights = llvm::any_of(
        inputs, [&](Value v) { return isConstantOperand(values, v); });
    return weights ? IslandKind::RealWeights : IslandKind::Product;
  }
  if (row != rows.end())
    return row->second;
  if (isMovement(op))
    return IslandKind::Movement;
  return getElementwiseKind(op);
}

//===----------------------------------------------------------------------===//
// Decodes and results
//===----------------------------------------------------------------------===//

/// The kind of the first operation that computes values from the decoded ones;
/// statistics of rows do not.
IslandKind KindFinder::getReaderKind(Operation *op) const {
  Operation *first = nullptr;
  for (Operation *user : op->getUsers())
    if (kinds.count(user) && !rows.count(user) &&
        user->getBlock() == op->getBlock() &&
        (!first || user->isBeforeInBlock(first)))
      first = user;
  if (!first)
    return IslandKind::Decode;
  IslandKind kind = kinds.lookup(first);
  if (kind == IslandKind::Encode)
    return IslandKind::Decode;
  return kind == IslandKind::Movement ? getReaderKind(first) : kind;
}

/// Whether nothing but results that are no states follow.
bool KindFinder::isFinal(Operation *op) {
  IslandKind kind = kinds.lookup(op);
  bool light = isa<DecodeOp>(op) || kind == IslandKind::Movement ||
               kind == IslandKind::Bias || kind == IslandKind::Scaling ||
               kind == IslandKind::Activation;
  if (!light || op->use_empty())
    return false;
  return llvm::all_of(op->getUses(), [&](OpOperand &use) {
    if (!isa<func::ReturnOp>(use.getOwner()))
      return finals.contains(use.getOwner());
    for (unsigned i = 0; i < function.getNumArguments(); ++i) {
      auto state =
          function.getArgAttrOfType<IntegerAttr>(i, "spikequant.state");
      if (state && state.getInt() == use.getOperandNumber())
        return false;
    }
    return true;
  });
}

/// Only what starts from a decode: a float function's last operations are not
/// logits of an integer program.
void KindFinder::markFinal() {
  for (auto &entry : llvm::reverse(kinds))
    if (isFinal(entry.first))
      finals.insert(entry.first);
  llvm::SmallPtrSet<Operation *, 16> reached;
  for (auto &[op, kind] : kinds) {
    bool fromDecode =
        isa<DecodeOp>(op) || llvm::any_of(op->getOperands(), [&](Value v) {
          return v.getDefiningOp() && reached.contains(v.getDefiningOp());
        });
    if (!finals.contains(op) || !fromDecode)
      continue;
    reached.insert(op);
    kind = IslandKind::FinalLogits;
  }
}

Kinds KindFinder::run() {
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (op != function && isRealOperation(op))
      kinds[op] = IslandKind::Other;
    return isa<linalg::LinalgOp>(op) ? WalkResult::skip()
                                     : WalkResult::advance();
  });
  findRowKinds();
  joinCentres();
  for (auto &[op, kind] : kinds)
    if (!isa<DecodeOp>(op))
      kind = getKind(op);
  for (auto &entry : llvm::reverse(kinds))
    if (isa<DecodeOp>(entry.first))
      entry.second = getReaderKind(entry.first);
  markFinal();
  return std::move(kinds);
}

Kinds mlir::spikequant::findIslandKinds(func::FuncOp function) {
  return KindFinder(function).run();
}
