//===- FoldPositions.cpp - rotations and divided rows in integers ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %a = spikequant.decode %acc, @q
//   %y = [%a0 * cos - %a1 * sin, %a1 * cos + %a0 * sin]
//   %n = spikequant.encode %y {step = 0.1 : f32, ..}
// becomes
//   %g = spikequant.grid %acc, @q.grid
//   %y = [%g0 * cos' - %g1 * sin', %g1 * cos' + %g0 * sin']      i64
//   %n = spikequant.fire %y
//
// A first walk back from the encode decides whether all arrays are linear in
// decoded ones and what unit they get; a second one makes the integers.
//
//===----------------------------------------------------------------------===//

#include "BodyInputs.h"
#include "Conditions.h"
#include "FixedPointFire.h"
#include "FixedStream.h"
#include "FoldScales.h"
#include "PositionTables.h"
#include "RowFactors.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <cmath>

namespace mlir::spikequant {
#define GEN_PASS_DEF_FOLDPOSITIONS
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

/// A real number that is an integer times unit * scale * 2^-shift.
struct Linear {
  int shift = 0;
  double scale = 1;
  double error = 0.5;  ///< of the real number, in units times scale
  double relative = 0; ///< and in 2^-15 of the largest decoded magnitude
};

class PositionFolder {
public:
  PositionFolder(EncodeOp op, ConstantReals &constants, FoldContext context,
                 GridSymbols &grids)
      : op(op), constants(constants), context(context), grids(grids),
        tables(constants, grids), streams(context.module, constants),
        b(context.rewriter) {}

  /// Whether it was folded; a failure has a diagnostic.
  FailureOr<bool> fold();

private:
  std::optional<Linear> read(Value value);
  std::optional<Linear> readNew(Value value);
  std::optional<Linear> readNorm(Value value);
  std::optional<Linear> readLinear(Operation *producer);
  std::optional<Linear> readInsertion(tensor::InsertSliceOp insertion);
  std::optional<Linear> readScalar(linalg::LinalgOp op, Value scalar);
  std::optional<Linear> readProduct(linalg::LinalgOp op, Operation *product);
  bool isWanted();
  bool chooseUnit();

  FailureOr<Value> emit(Value value);
  FailureOr<Value> emitNew(Value value);
  FailureOr<Value> emitDecoded(Value value);
  FailureOr<Value> emitInsertion(tensor::InsertSliceOp insertion);
  FailureOr<Value> emitBody(linalg::LinalgOp op);
  Value emitScalar(OpBuilder &b, linalg::LinalgOp op, Value scalar,
                   DenseMap<Value, Value> &done);
  Value align(Value value, int from, int to);
  void remark(const Linear &root);

  std::optional<double> getConstant(linalg::LinalgOp op, Value scalar) {
    OpOperand *operand = getBodyInput(op, scalar);
    return getSplat(operand ? operand->get() : scalar);
  }
  bool isFactor(linalg::LinalgOp op, Value scalar) {
    OpOperand *operand = getBodyInput(op, scalar);
    return operand && getElementTypeOrSelf(operand->get()).isF32() &&
           tables.isFactor(operand->get());
  }

  EncodeOp op;
  ConstantReals &constants;
  FoldContext context;
  GridSymbols &grids;
  PositionTables tables;
  FixedStreams streams; ///< what norms scale, in a unit of its own
  IRRewriter &b;
  double unit = 0;
  bool hasFactors = false, hasRows = false, hasSums = false;
  llvm::DenseSet<Value> norms;
  DenseMap<Value, std::optional<Linear>> known; ///< arrays and scalars
  DenseMap<Value, Value> emitted;
  DenseMap<Value, DecodedLeaf> leaves;
};

/// Reshapes and slices.
Value getShown(Operation *op) {
  if (auto slice = dyn_cast_or_null<tensor::ExtractSliceOp>(op))
    return slice.getSource();
  return op ? getMovedValue(op) : Value();
}

} // namespace

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

std::optional<Linear> PositionFolder::read(Value value) {
  if (auto found = known.find(value); found != known.end())
    return found->second;
  std::optional<Linear> result = readNew(value);
  known[value] = result;
  return result;
}

std::optional<Linear> PositionFolder::readNew(Value value) {
  Operation *producer = value.getDefiningOp();
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!producer || !type || !type.hasStaticShape() ||
      !type.getElementType().isF32())
    return std::nullopt;
  if (auto form = findDecodeForm(value, constants)) {
    leaves[value] = {value, std::move(*form), {}};
    return Linear();
  }
  if (auto row = matchDividedRows(producer)) {
    hasRows = true;
    return Linear();
  }
  if (Value source = getShown(producer))
    return read(source);
  if (auto insertion = dyn_cast<tensor::InsertSliceOp>(producer))
    return readInsertion(insertion);
  if (std::optional<Linear> norm = readNorm(value))
    return norm;
  return readLinear(producer);
}

/// A norm of one head's values: a stream with a factor per row.
std::optional<Linear> PositionFolder::readNorm(Value value) {
  if (streams.plan(value) != StreamSource::Scaled)
    return std::nullopt;
  streams.want(value);
  norms.insert(value);
  return Linear();
}

std::optional<Linear> PositionFolder::readLinear(Operation *producer) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(producer);
  if (!linalgOp || linalgOp.getNumReductionLoops() ||
      linalgOp->getNumResults() != 1 || linalgOp.hasIndexSemantics() ||
      !linalgOp.getIndexingMapsArray().back().isIdentity())
    return std::nullopt;
  return readScalar(linalgOp,
                    linalgOp.getBlock()->getTerminator()->getOperand(0));
}

/// Numbers of one array have one unit: the finer of both.
static std::optional<Linear> join(std::optional<Linear> a,
                                  std::optional<Linear> b) {
  constexpr int mostShift = 2 * kFactorBits;
  if (!a || !b || a->scale != b->scale ||
      std::max(a->shift, b->shift) > mostShift)
    return std::nullopt;
  return Linear{std::max(a->shift, b->shift), a->scale,
                std::max(a->error, b->error),
                std::max(a->relative, b->relative)};
}

std::optional<Linear>
PositionFolder::readInsertion(tensor::InsertSliceOp insertion) {
  std::optional<Linear> part = read(insertion.getSource());
  if (insertion.getDest().getDefiningOp<tensor::EmptyOp>() ||
      getSplat(insertion.getDest()) == 0.0)
    return part;
  return join(part, read(insertion.getDest()));
}

std::optional<Linear> PositionFolder::readScalar(linalg::LinalgOp op,
                                                 Value scalar) {
  if (OpOperand *operand = getBodyInput(op, scalar))
    return op.getMatchingIndexingMap(operand).isProjectedPermutation(true)
               ? read(operand->get())
               : std::nullopt;
  Operation *inner = scalar.getDefiningOp();
  if (!inner || inner->getBlock() != op.getBlock())
    return std::nullopt;
  std::optional<Linear> result;
  if (isa<arith::NegFOp>(inner)) {
    result = readScalar(op, inner->getOperand(0));
  } else if (isa<arith::AddFOp, arith::SubFOp>(inner)) {
    auto x = readScalar(op, inner->getOperand(0));
    auto y = readScalar(op, inner->getOperand(1));
    result = join(x, y);
    hasSums = true;
    if (result) {
      result->error = x->error + y->error;
      result->relative = x->relative + y->relative;
    }
  } else if (isa<arith::MulFOp>(inner)) {
    result = readProduct(op, inner);
  }
  known[scalar] = result;
  return result;
}

/// With a constant, or with a factor of positions.
std::optional<Linear> PositionFolder::readProduct(linalg::LinalgOp op,
                                                  Operation *product) {
  for (unsigned data = 0; data < 2; ++data) {
    Value factor = product->getOperand(1 - data);
    auto number = getConstant(op, factor);
    if (!number && !isFactor(op, factor))
      continue;
    auto result = readScalar(op, product->getOperand(data));
    if (!result || (number && !std::isfinite(*number)))
      return std::nullopt;
    if (number) {
      result->scale *= *number;
      return result;
    }
    hasFactors = true;
    double bound =
        tables.getBound(getBodyInput(op, factor)->get(), kFactors.most);
    if (bound > kFactors.most)
      return std::nullopt;
    result->shift += kFactorBits;
    result->error *= bound;
    result->relative = result->relative * bound + 1;
    return result;
  }
  return std::nullopt;
}

/// At most 1/512 of a channel's step.
bool PositionFolder::chooseUnit() {
  double step = op.getStep().convertToDouble();
  if (auto gains = op.getGainsAttr()) {
    double most = 0;
    for (float gain : constants.getValues(gains))
      most = std::max(most, std::abs(double(gain)));
    if (most == 0)
      return false;
    step /= most;
  }
  unit = std::exp2(std::floor(std::log2(step / 512)));
  return std::isnormal(static_cast<float>(unit));
}

//===----------------------------------------------------------------------===//
// Emission
//===----------------------------------------------------------------------===//

FailureOr<Value> PositionFolder::emit(Value value) {
  Value &result = emitted[value];
  if (result)
    return result;
  FailureOr<Value> made = emitNew(value);
  if (succeeded(made))
    emitted[value] = *made;
  return made;
}

FailureOr<Value> PositionFolder::emitDecoded(Value value) {
  const DecodedLeaf &leaf = leaves[value];
  Location loc = op.getLoc();
  FailureOr<FlatSymbolRefAttr> rates = grids.getRates(leaf, unit, loc);
  if (failed(rates))
    return failure();
  Value membrane = replayViews(b, loc, leaf.getDecode().getMembrane(),
                               leaf.form.views, /*ofRows=*/false);
  auto type = cast<RankedTensorType>(membrane.getType());
  Value grid =
      GridOp::create(b, loc, type.clone(b.getI32Type()), membrane, *rates);
  return grid;
}

FailureOr<Value> PositionFolder::emitNew(Value value) {
  Operation *producer = value.getDefiningOp();
  if (leaves.count(value))
    return emitDecoded(value);
  if (auto row = matchDividedRows(producer))
    return emitDividedRows(b, *row, unit);
  if (norms.contains(value))
    return streams.getScaled(value, unit);
  if (Value source = getShown(producer)) {
    FailureOr<Value> integers = emit(source);
    if (failed(integers))
      return failure();
    return replayMovement(b, *integers, producer);
  }
  if (auto insertion = dyn_cast<tensor::InsertSliceOp>(producer))
    return emitInsertion(insertion);
  return emitBody(cast<linalg::LinalgOp>(producer));
}

/// Integers of an array in i64, with `to` places behind the point.
Value PositionFolder::align(Value value, int from, int to) {
  auto type = cast<RankedTensorType>(value.getType());
  Type i64 = b.getI64Type();
  if (from == to && type.getElementType() == i64)
    return value;
  Location loc = op.getLoc();
  Value empty = tensor::EmptyOp::create(b, loc, type.getShape(), i64);
  SmallVector<AffineMap> maps(2, b.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), value, empty, maps, loops,
      [&](OpBuilder &b, Location loc, ValueRange in) {
        Value wide = in[0];
        if (wide.getType() != i64)
          wide = arith::ExtSIOp::create(b, loc, i64, wide);
        Value places =
            arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(to - from));
        wide = arith::ShLIOp::create(b, loc, wide, places);
        linalg::YieldOp::create(b, loc, wide);
      });
  return generic.getResult(0);
}

FailureOr<Value>
PositionFolder::emitInsertion(tensor::InsertSliceOp insertion) {
  Location loc = op.getLoc();
  int shift = known[insertion.getResult()]->shift;
  FailureOr<Value> part = emit(insertion.getSource());
  if (failed(part))
    return failure();
  Value source = align(*part, known[insertion.getSource()]->shift, shift);
  Value into = insertion.getDest();
  auto type = insertion.getType().clone(b.getI64Type());
  bool isZero = getSplat(into) == 0.0;
  if (isZero || into.getDefiningOp<tensor::EmptyOp>()) {
    into = tensor::EmptyOp::create(b, loc, type.getShape(), b.getI64Type());
    Value zero = arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(0));
    if (isZero)
      into = linalg::FillOp::create(b, loc, zero, into).getResult(0);
  } else {
    FailureOr<Value> rest = emit(into);
    if (failed(rest))
      return failure();
    into = align(*rest, known[insertion.getDest()]->shift, shift);
  }
  Value inserted = tensor::InsertSliceOp::create(
      b, loc, source, into, insertion.getMixedOffsets(),
      insertion.getMixedSizes(), insertion.getMixedStrides());
  return inserted;
}

Value PositionFolder::emitScalar(OpBuilder &b, linalg::LinalgOp op,
                                 Value scalar, DenseMap<Value, Value> &done) {
  if (auto found = done.find(scalar); found != done.end())
    return found->second;
  Operation *inner = scalar.getDefiningOp();
  Location loc = inner->getLoc();
  auto get = [&](unsigned number) {
    return emitScalar(b, op, inner->getOperand(number), done);
  };
  auto number = [&](int64_t value) -> Value {
    return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
  };
  auto shiftOf = [&](Value value) {
    OpOperand *operand = getBodyInput(op, value);
    return known[operand ? operand->get() : value]->shift;
  };
  auto aligned = [&](unsigned which) -> Value {
    int places = shiftOf(scalar) - shiftOf(inner->getOperand(which));
    Value value = get(which);
    return places ? arith::ShLIOp::create(b, loc, value, number(places))
                  : value;
  };
  Value result;
  if (isa<arith::NegFOp>(inner)) {
    result = arith::SubIOp::create(b, loc, number(0), get(0));
  } else if (isa<arith::AddFOp>(inner)) {
    Value x = aligned(0);
    result = arith::AddIOp::create(b, loc, x, aligned(1));
  } else if (isa<arith::SubFOp>(inner)) {
    Value x = aligned(0);
    result = arith::SubIOp::create(b, loc, x, aligned(1));
  } else {
    bool first = getConstant(op, inner->getOperand(0)).has_value();
    bool second = getConstant(op, inner->getOperand(1)).has_value();
    if (second || first)
      result = get(second ? 0 : 1);
    else
      result = arith::MulIOp::create(b, loc, get(0), get(1));
  }
  done[scalar] = result;
  return result;
}

/// The body on integers: operands keep their maps.
FailureOr<Value> PositionFolder::emitBody(linalg::LinalgOp op) {
  Location loc = op.getLoc();
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  SmallVector<BlockArgument> arguments;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    BlockArgument argument = op.getMatchingBlockArgument(operand);
    if (argument.use_empty() || getSplat(operand->get()))
      continue;
    FailureOr<Value> integers =
        isFactor(op, argument) ? tables.convert(b, operand->get(), kFactors)
                               : emit(operand->get());
    if (failed(integers))
      return failure();
    inputs.push_back(*integers);
    maps.push_back(op.getMatchingIndexingMap(operand));
    arguments.push_back(argument);
  }
  maps.push_back(op.getIndexingMapsArray().back());
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getI64Type());
  auto generic = linalg::GenericOp::create(
      b, loc, empty.getType(), inputs, empty, maps, op.getIteratorTypesArray(),
      [&](OpBuilder &b, Location loc, ValueRange in) {
        DenseMap<Value, Value> done;
        for (auto [argument, value] : llvm::zip(arguments, in)) {
          Value wide = value;
          if (wide.getType() != b.getI64Type())
            wide = arith::ExtSIOp::create(b, loc, b.getI64Type(), wide);
          done[argument] = wide;
        }
        Value result = op.getBlock()->getTerminator()->getOperand(0);
        linalg::YieldOp::create(b, loc, emitScalar(b, op, result, done));
      });
  return generic.getResult(0);
}

//===----------------------------------------------------------------------===//
// The encode
//===----------------------------------------------------------------------===//

/// How far the integers are from the real values, in steps of the site.
void PositionFolder::remark(const Linear &root) {
  double error =
      root.error * unit * std::abs(root.scale) / op.getStep().convertToDouble();
  remark::passed(op.getLoc(), context.remark("positions-folded"))
      << remark::add("site '{0}': fires from fixed-point numbers of {1:E2}{2}; "
                     "off by at most {3:F4} steps and {4} 2^-15 of the largest "
                     "decoded value",
                     op.getSite(), unit,
                     hasRows || !norms.empty()
                         ? ", rows scaled by mantissa and exponent"
                         : "",
                     error, root.relative);
}

/// Sums of decoded arrays alone are the residual stream's.
bool PositionFolder::isWanted() {
  if (!norms.empty() && streams.chooseUnit() == 0)
    return false;
  return hasFactors || hasRows || !norms.empty() || !hasSums;
}

FailureOr<bool> PositionFolder::fold() {
  if (op.getRowScale() || !getElementTypeOrSelf(op.getInput()).isF32() ||
      !op.getType().hasStaticShape())
    return false;
  std::optional<int32_t> window = getCommonWindow(op);
  if (op.getOverflow() && !window)
    return false;
  std::optional<Linear> root = read(op.getInput());
  if (!root || !isWanted() || !(root->scale > 0) || !chooseUnit())
    return false;
  int32_t most = window.value_or(std::numeric_limits<int16_t>::max());
  CountRange range{-most, most};
  double whole = unit * root->scale * std::exp2(-root->shift);
  auto thresholds = getUnitThresholds(op, whole, constants, range);
  if (!thresholds)
    return false;
  b.setInsertionPoint(op);
  FailureOr<Value> membrane = emit(op.getInput());
  if (failed(membrane))
    return failure();
  streams.foldStatistics(b);
  remark(*root);
  b.setInsertionPoint(op);
  replaceByFire(op, *membrane, *thresholds, range, b);
  return true;
}

namespace {
struct FoldPositionsPass : impl::FoldPositionsBase<FoldPositionsPass> {
  using FoldPositionsBase::FoldPositionsBase;

  void runOnOperation() override {
    GridSymbols grids(getOperation());
    auto fold = [&](EncodeOp op, ConstantReals &constants,
                    FoldContext context) -> LogicalResult {
      return PositionFolder(op, constants, context, grids).fold();
    };
    if (failed(foldEncodes(getOperation(), weights, fold)))
      signalPassFailure();
  }
};
} // namespace

} // namespace mlir::spikequant
