//===- ExpandReductions.cpp - sums as sixteen lanes and a tree -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   %s = linalg.reduce { arith.addf } ins(%x : tensor<4x64xf32>)
//          outs(%i : tensor<4xf32>) dimensions = [1]
// becomes
//   %e = tensor.expand_shape %x [[0], [1, 2]] : tensor<4x64xf32> into
//          tensor<4x4x16xf32>
//   %p = linalg.generic {parallel, reduction, parallel} : adds %e into
//          tensor<4x16xf32> filled with the neutral element
//   %s = linalg.generic {parallel} : sixteen views of %p, one per lane; the
//   body
//          is the tree 8, 4, 2, 1 and adds the initial value last
//
// Where 16 does not divide the dimension, the rest is added to the first lanes.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/ExpandMath/ExpandMath.h"
#include "spikequant/Conversion/LinalgToVectorLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

constexpr int64_t kLanes = 16;

/// What is reduced and how.
struct Reduction {
  linalg::LinalgOp op;
  unsigned dimension;   // the reduction loop
  int64_t size;         // its trip count
  Operation *combiner;  // in the body: combiner(accumulator, value)
  unsigned accumulator; // which operand of it is the accumulator
  TypedAttr neutral;

  bool isLast(AffineMap map) const {
    return map.getNumResults() > 0 &&
           map.getResult(map.getNumResults() - 1) ==
               getAffineDimExpr(dimension, map.getContext());
  }
};

} // namespace

/// The value that `op` combines with any x to x, to the bit; null if `op` is
/// no associative operation that the profile knows.
static TypedAttr getNeutral(Operation *op) {
  Builder b(op->getContext());
  Type type = op->getResult(0).getType();
  auto real = [&](double value) -> TypedAttr {
    return b.getFloatAttr(type, value);
  };
  auto integer = [&](auto value) -> TypedAttr {
    auto width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
    return b.getIntegerAttr(type, value(width));
  };
  auto zero = [](unsigned width) { return APInt::getZero(width); };
  auto ones = [](unsigned width) { return APInt::getAllOnes(width); };
  auto one = [](unsigned width) { return APInt(width, 1); };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  return llvm::TypeSwitch<Operation *, TypedAttr>(op)
      .Case<arith::AddFOp>([&](auto) { return real(-0.0); })
      .Case<arith::MulFOp>([&](auto) { return real(1.0); })
      .Case<arith::MaximumFOp>([&](auto) { return real(-infinity); })
      .Case<arith::MinimumFOp>([&](auto) { return real(infinity); })
      .Case<arith::AddIOp, arith::OrIOp, arith::XOrIOp, arith::MaxUIOp>(
          [&](auto) { return integer(zero); })
      .Case<arith::AndIOp, arith::MinUIOp>([&](auto) { return integer(ones); })
      .Case<arith::MulIOp>([&](auto) { return integer(one); })
      .Case<arith::MaxSIOp>(
          [&](auto) { return integer(APInt::getSignedMinValue); })
      .Case<arith::MinSIOp>(
          [&](auto) { return integer(APInt::getSignedMaxValue); })
      .Default([](Operation *) { return TypedAttr(); });
}

/// The operation that combines the single output with a value that does not
/// depend on it, or null.
static Operation *getCombiner(linalg::LinalgOp op) {
  BlockArgument output = op.getRegionOutputArgs().front();
  Operation *combiner =
      op.getBlock()->getTerminator()->getOperand(0).getDefiningOp();
  if (!combiner || combiner->getBlock() != op.getBlock() ||
      combiner->getNumOperands() != 2 || !output.hasOneUse() ||
      *output.user_begin() != combiner)
    return nullptr;
  return combiner;
}

/// The one reduction loop, or an error if there are none or more.
static FailureOr<unsigned> getReductionLoop(linalg::LinalgOp op) {
  SmallVector<unsigned> loops;
  op.getReductionDims(loops);
  if (loops.size() != 1)
    return failure();
  return loops.front();
}

static FailureOr<Reduction> matchReduction(linalg::LinalgOp op) {
  if (!op.hasPureTensorSemantics() || op.getNumDpsInits() != 1 ||
      op.getNumDpsInputs() == 0 || op.hasIndexSemantics())
    return failure();
  FailureOr<unsigned> loop = getReductionLoop(op);
  Operation *combiner = getCombiner(op);
  if (failed(loop) || !combiner)
    return failure();
  unsigned accumulator =
      combiner->getOperand(0) == op.getRegionOutputArgs().front() ? 0 : 1;
  TypedAttr neutral = getNeutral(combiner);
  if (!neutral || isFusedContraction(op) ||
      linalg::isaContractionOpInterface(op))
    return failure();
  return Reduction{op,       *loop,       op.getStaticLoopRanges()[*loop],
                   combiner, accumulator, neutral};
}

/// Every input either has the reduction dimension as its last one or not at
/// all, and the output has all other loops once.
static bool hasInnermostMaps(const Reduction &r) {
  linalg::LinalgOp op = r.op;
  auto maps = op.getIndexingMapsArray();
  AffineMap output = maps.pop_back_val();
  if (!output.isProjectedPermutation() ||
      output.getNumResults() + 1 != op.getNumLoops())
    return false;
  bool some = false;
  for (AffineMap map : maps) {
    if (!map.isProjectedPermutation() ||
        (map.isFunctionOfDim(r.dimension) && !r.isLast(map)))
      return false;
    some |= r.isLast(map);
  }
  return some;
}

/// `map` with the parallel loops numbered 0.., the reduction loop replaced by
/// `tail`, in `loops` dimensions.
static AffineMap remap(AffineMap map, const Reduction &r, unsigned loops,
                       ArrayRef<AffineExpr> tail) {
  MLIRContext *context = map.getContext();
  SmallVector<AffineExpr> results;
  for (AffineExpr result : map.getResults()) {
    unsigned position = cast<AffineDimExpr>(result).getPosition();
    if (position == r.dimension)
      results.append(tail.begin(), tail.end());
    else
      results.push_back(getAffineDimExpr(
          position - (position > r.dimension ? 1 : 0), context));
  }
  return AffineMap::get(loops, 0, results, context);
}

/// Channels [begin, end) of the last dimension.
static Value sliceLast(OpBuilder &b, Location loc, Value x, int64_t begin,
                       int64_t end) {
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, x);
  if (begin == 0 && sizes.back() == OpFoldResult(b.getIndexAttr(end)))
    return x;
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(sizes.size(), b.getIndexAttr(1));
  offsets.back() = b.getIndexAttr(begin);
  sizes.back() = b.getIndexAttr(end - begin);
  return tensor::ExtractSliceOp::create(b, loc, x, offsets, sizes, strides);
}

/// [.., K] to [.., K / 16, 16].
static Value splitLast(OpBuilder &b, Location loc, Value x) {
  auto type = cast<RankedTensorType>(x.getType());
  SmallVector<int64_t> shape(type.getShape());
  shape.back() /= kLanes;
  shape.push_back(kLanes);
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0, rank = type.getRank(); i < rank; ++i)
    groups.push_back(i + 1 < rank ? ReassociationIndices{i}
                                  : ReassociationIndices{i, i + 1});
  return tensor::ExpandShapeOp::create(b, loc, type.clone(shape), x, groups);
}

/// tensor [init's shape, 16] filled with the neutral element.
static Value createPartials(OpBuilder &b, Location loc, const Reduction &r) {
  linalg::LinalgOp op = r.op;
  Value init = op.getDpsInits().front();
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, init);
  sizes.push_back(b.getIndexAttr(kLanes));
  Value empty = tensor::EmptyOp::create(b, loc, sizes, r.neutral.getType());
  Value neutral = arith::ConstantOp::create(b, loc, r.neutral);
  return linalg::FillOp::create(b, loc, neutral, empty).getResult(0);
}

/// A generic op with the original body: `split` is applied to every input that
/// has the reduction dimension.
static Value accumulate(OpBuilder &b, const Reduction &r, Value into,
                        ArrayRef<utils::IteratorType> extraLoops,
                        function_ref<Value(Value)> split) {
  linalg::LinalgOp op = r.op;
  MLIRContext *context = b.getContext();
  unsigned parallel = op.getNumLoops() - 1;
  unsigned loops = parallel + extraLoops.size();
  SmallVector<AffineExpr> tail;
  for (unsigned i = parallel; i < loops; ++i)
    tail.push_back(getAffineDimExpr(i, context));
  SmallVector<utils::IteratorType> iterators(parallel,
                                             utils::IteratorType::parallel);
  iterators.append(extraLoops.begin(), extraLoops.end());
  SmallVector<Value> inputs;
  SmallVector<AffineMap> maps;
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    inputs.push_back(r.isLast(map) ? split(input->get()) : input->get());
    maps.push_back(remap(map, r, loops, tail));
  }
  AffineMap output = op.getIndexingMapsArray().back();
  output = remap(output, r, loops, {});
  maps.push_back(output.insertResult(tail.back(), output.getNumResults()));
  auto generic = linalg::GenericOp::create(b, op.getLoc(), into.getType(),
                                           inputs, into, maps, iterators);
  IRMapping mapping;
  op->getRegion(0).cloneInto(&generic.getRegion(), mapping);
  return generic.getResult(0);
}

/// Lane l of the partial results holds the combination of the values whose
/// index is l mod 16.
static Value createLanes(OpBuilder &b, const Reduction &r) {
  linalg::LinalgOp op = r.op;
  Location loc = op.getLoc();
  Value partials = createPartials(b, loc, r);
  int64_t whole = r.size / kLanes * kLanes, rest = r.size - whole;
  if (whole > 0)
    partials = accumulate(
        b, r, partials,
        ArrayRef{utils::IteratorType::reduction, utils::IteratorType::parallel},
        [&](Value x) {
          return splitLast(b, loc, sliceLast(b, loc, x, 0, whole));
        });
  if (rest == 0)
    return partials;
  Value first = sliceLast(b, loc, partials, 0, rest);
  first =
      accumulate(b, r, first, ArrayRef{utils::IteratorType::parallel},
                 [&](Value x) { return sliceLast(b, loc, x, whole, r.size); });
  SmallVector<OpFoldResult> sizes = tensor::getMixedSizes(b, loc, first);
  SmallVector<OpFoldResult> offsets(sizes.size(), b.getIndexAttr(0));
  SmallVector<OpFoldResult> strides(sizes.size(), b.getIndexAttr(1));
  return tensor::InsertSliceOp::create(b, loc, first, partials, offsets, sizes,
                                       strides);
}

/// The tree over the lanes, then the initial value.
static void buildTree(OpBuilder &b, Location loc, ValueRange arguments,
                      const Reduction &r) {
  auto combine = [&](Value x, Value y) {
    Operation *op = b.clone(*r.combiner);
    op->setOperand(r.accumulator, x);
    op->setOperand(1 - r.accumulator, y);
    return op->getResult(0);
  };
  SmallVector<Value> lanes(arguments.drop_back());
  for (int64_t half = kLanes / 2; half > 0; half /= 2)
    for (int64_t lane = 0; lane < half; ++lane)
      lanes[lane] = combine(lanes[lane], lanes[lane + half]);
  Value result = combine(arguments.back(), lanes[0]);
  linalg::YieldOp::create(b, loc, result);
}

static Value createTree(OpBuilder &b, const Reduction &r, Value partials) {
  linalg::LinalgOp op = r.op;
  MLIRContext *context = b.getContext();
  unsigned parallel = op.getNumLoops() - 1;
  AffineMap output = remap(op.getIndexingMapsArray().back(), r, parallel, {});
  SmallVector<AffineMap> maps;
  for (int64_t lane = 0; lane < kLanes; ++lane)
    maps.push_back(output.insertResult(getAffineConstantExpr(lane, context),
                                       output.getNumResults()));
  maps.push_back(output);
  SmallVector<Value> inputs(kLanes, partials);
  SmallVector<utils::IteratorType> iterators(parallel,
                                             utils::IteratorType::parallel);
  Value init = op.getDpsInits().front();
  auto build = [&](OpBuilder &body, Location loc, ValueRange arguments) {
    buildTree(body, loc, arguments, r);
  };
  return linalg::GenericOp::create(b, op.getLoc(), init.getType(), inputs, init,
                                   maps, iterators, build)
      .getResult(0);
}

namespace {

struct ExpandReduction : OpInterfaceRewritePattern<linalg::LinalgOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;

  LogicalResult matchAndRewrite(linalg::LinalgOp op,
                                PatternRewriter &rewriter) const override {
    if (!isa<linalg::GenericOp, linalg::ReduceOp>(op))
      return failure();
    FailureOr<Reduction> reduction = matchReduction(op);
    if (failed(reduction) || ShapedType::isDynamic(reduction->size) ||
        reduction->size == 0 || !hasInnermostMaps(*reduction))
      return rewriter.notifyMatchFailure(op, "no reduction of the last "
                                             "dimension");
    Value lanes = createLanes(rewriter, *reduction);
    rewriter.replaceOp(op, createTree(rewriter, *reduction, lanes));
    return success();
  }
};

} // namespace

void mlir::spikequant::populateExpandReductionPatterns(
    RewritePatternSet &patterns) {
  patterns.add<ExpandReduction>(patterns.getContext());
}
