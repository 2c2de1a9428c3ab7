//===- SiteForms.cpp - a contraction's arrays as integrate wants them -----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;
using namespace mlir::spikequant;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// `value` with neighbouring dimensions merged: `counts[i]` of them are
/// dimension i of the result.
static Value collapse(OpBuilder &builder, Location loc, Value value,
                      ArrayRef<int64_t> counts) {
  SmallVector<ReassociationIndices> groups;
  int64_t next = 0;
  for (int64_t count : counts) {
    groups.push_back(llvm::to_vector<2>(llvm::seq(next, next + count)));
    next += count;
  }
  if (next == static_cast<int64_t>(groups.size()))
    return value;
  return tensor::CollapseShapeOp::create(builder, loc, value, groups);
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

/// A copy of `form.value` with its dimensions in order.
static Value permuteRows(OpBuilder &builder, Location loc,
                         const RowForm &form) {
  auto rank = static_cast<int64_t>(form.sizes.size());
  if (form.reads.isIdentity())
    return form.value;
  AffineMap maps[] = {form.reads, builder.getMultiDimIdentityMap(rank)};
  Value empty = tensor::EmptyOp::create(builder, loc, form.sizes,
                                        typeOf(form.value).getElementType());
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto copy = linalg::GenericOp::create(
      builder, loc, empty.getType(), form.value, empty, maps, loops,
      [](OpBuilder &b, Location l, ValueRange values) {
        linalg::YieldOp::create(b, l, values.front());
      });
  return copy.getResult(0);
}

Value mlir::spikequant::buildRows(OpBuilder &builder, Location loc,
                                  const RowForm &form) {
  Value value = permuteRows(builder, loc, form);
  auto rows =
      static_cast<int64_t>(form.sizes.size()) - form.slices - form.channels;
  SmallVector<int64_t> counts;
  if (form.slices == 0)
    counts.assign(rows, 1);
  else
    counts.push_back(form.slices);
  if (form.slices != 0 && rows != 0)
    counts.push_back(rows);
  counts.push_back(form.channels);
  return collapse(builder, loc, value, counts);
}

//===----------------------------------------------------------------------===//
// Numbers that choose matrices
//===----------------------------------------------------------------------===//

namespace {

/// Emits the number of the matrix for each slice.
class IndexBuilder {
public:
  IndexBuilder(OpBuilder &builder, Location loc, const Site &site);
  Value build();

private:
  Value buildPlaces();
  Value getScalar();
  bool idsAreSlices();
  Value flattenIds();
  Value createNumber(OpBuilder &b, Location l);

  OpBuilder &builder;
  Location loc;
  const RuntimeChoice &choice;
  /// Per slice dimension: its size; how far it steps through the ids, and
  /// through the weight's own batch.
  SmallVector<int64_t> sizes, idStrides, batchStrides;
  int64_t batch = 1;
  Value ids;
};

} // namespace

IndexBuilder::IndexBuilder(OpBuilder &builder, Location loc, const Site &site)
    : builder(builder), loc(loc), choice(site.weight.choice) {
  ArrayRef<unsigned> slices = site.loops.slices;
  linalg::LinalgOp op = site.op;
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  sizes.assign(slices.size(), 0);
  idStrides.assign(slices.size(), 0);
  batchStrides.assign(slices.size(), 0);
  const WeightView &view = site.weight.view;
  for (OpOperand *input : op.getDpsInputOperands()) {
    if (input->get() == site.activation.value)
      continue;
    AffineMap map = op.getMatchingIndexingMap(input);
    for (int64_t i = static_cast<int64_t>(slices.size()) - 1; i >= 0; --i) {
      auto position =
          map.getResultPosition(builder.getAffineDimExpr(slices[i]));
      sizes[i] = ranges[slices[i]];
      if (view.isChosen(*position)) {
        // Steps of one loop that ids enumerate are one step.
        idStrides[i] = view.getDimension(*position).back().stride;
        continue;
      }
      batchStrides[i] = batch;
      batch *= sizes[i];
    }
  }
}

/// Places in the batch are all there is to choose from: 0, 1, ..
Value IndexBuilder::buildPlaces() {
  auto type = RankedTensorType::get(batch, builder.getI32Type());
  SmallVector<int32_t> places(
      llvm::map_range(llvm::seq<int64_t>(batch),
                      [](int64_t i) { return static_cast<int32_t>(i); }));
  return arith::ConstantOp::create(
      builder, loc, DenseElementsAttr::get(type, ArrayRef<int32_t>(places)));
}

/// `number` within 0..size-1.
static Value clamp(OpBuilder &b, Location l, Value number, int64_t size) {
  Value zero = arith::ConstantIndexOp::create(b, l, 0);
  Value last = arith::ConstantIndexOp::create(b, l, size - 1);
  return arith::MinSIOp::create(
      b, l, arith::MaxSIOp::create(b, l, number, zero), last);
}

/// Appends a digit below `size` to a number: number * size + digit.
static Value appendDigit(OpBuilder &b, Location l, Value number, Value digit,
                         int64_t size) {
  if (!number)
    return digit;
  Value factor = arith::ConstantIndexOp::create(b, l, size);
  return arith::AddIOp::create(
      b, l, arith::MulIOp::create(b, l, number, factor), digit);
}

/// The number that all rows share.
Value IndexBuilder::getScalar() {
  if (choice.scalars.size() == 1 && !choice.ids)
    return choice.scalars.front().number; // The kernel clamps it.
  if (choice.ids)
    ids = flattenIds();
  return createNumber(builder, loc);
}

/// Whether slice i is chosen by element i of the ids.
bool IndexBuilder::idsAreSlices() {
  return choice.ids && choice.scalars.empty() && batch == 1 &&
         typeOf(choice.ids).getElementType().isInteger(32) &&
         ShapedType::getNumElements(sizes) ==
             typeOf(choice.ids).getNumElements() &&
         ArrayRef(idStrides) == ArrayRef(computeSuffixProduct(sizes));
}

Value IndexBuilder::flattenIds() {
  if (typeOf(choice.ids).getRank() == 0)
    return tensor::ExpandShapeOp::create(
        builder, loc,
        RankedTensorType::get(1, typeOf(choice.ids).getElementType()),
        choice.ids, ArrayRef<ReassociationIndices>());
  return collapse(builder, loc, choice.ids, typeOf(choice.ids).getRank());
}

/// sum_i index_i strides_i in the body of a generic.
static Value sumIndices(OpBuilder &b, Location l, ArrayRef<int64_t> strides) {
  Value sum = arith::ConstantIndexOp::create(b, l, 0);
  for (auto [i, stride] : llvm::enumerate(strides)) {
    if (stride == 0)
      continue;
    Value index = linalg::IndexOp::create(b, l, i);
    Value factor = arith::ConstantIndexOp::create(b, l, stride);
    sum = arith::AddIOp::create(b, l, sum,
                                arith::MulIOp::create(b, l, index, factor));
  }
  return sum;
}

/// The digits of the number of a matrix: scalars, a number of the ids, the
/// place in the batch.
Value IndexBuilder::createNumber(OpBuilder &b, Location l) {
  Value number;
  for (const auto &[entries, scalar] : choice.scalars)
    number = appendDigit(b, l, number, clamp(b, l, scalar, entries.size),
                         entries.size);
  int64_t size = choice.entries.size;
  if (ids) {
    Value id =
        tensor::ExtractOp::create(b, l, ids, sumIndices(b, l, idStrides));
    Value digit = arith::IndexCastOp::create(b, l, b.getIndexType(), id);
    number = appendDigit(b, l, number, clamp(b, l, digit, size), size);
  }
  if (batch == 1)
    return number;
  return appendDigit(b, l, number, sumIndices(b, l, batchStrides), batch);
}

Value IndexBuilder::build() {
  if (!choice)
    return buildPlaces();
  if (sizes.empty())
    return getScalar();
  if (choice.ids)
    ids = flattenIds();
  if (idsAreSlices())
    return ids;
  auto rank = static_cast<int64_t>(sizes.size());
  Value empty =
      tensor::EmptyOp::create(builder, loc, sizes, builder.getI32Type());
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto numbers = linalg::GenericOp::create(
      builder, loc, empty.getType(), ValueRange(), empty,
      ArrayRef(builder.getMultiDimIdentityMap(rank)), loops,
      [&](OpBuilder &b, Location l, ValueRange) {
        Value number = createNumber(b, l);
        linalg::YieldOp::create(
            b, l,
            Value(arith::IndexCastOp::create(b, l, b.getI32Type(), number)));
      });
  return collapse(builder, loc, numbers.getResult(0), rank);
}

Value mlir::spikequant::buildStackIndex(OpBuilder &builder, Location loc,
                                        const Site &site) {
  if (!site.isStack())
    return {};
  return IndexBuilder(builder, loc, site).build();
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

/// [P, R, N], [P, N] or [M, N] as slices, rows and outputs of these numbers of
/// dimensions.
static Value expand(OpBuilder &builder, Location loc, Value value,
                    ArrayRef<int64_t> sizes, ArrayRef<unsigned> counts) {
  if (counts[0] == 0 && counts[1] == 0) {
    // A lone row.
    SmallVector<ReassociationIndices> groups = {{0, 1}};
    value = tensor::CollapseShapeOp::create(builder, loc, value, groups);
  }
  SmallVector<ReassociationIndices> groups;
  int64_t next = 0;
  for (unsigned count : counts)
    if (count != 0) {
      groups.push_back(llvm::to_vector<2>(llvm::seq(next, next + count)));
      next += count;
    }
  if (next == typeOf(value).getRank())
    return value;
  auto type = RankedTensorType::get(sizes, typeOf(value).getElementType());
  return tensor::ExpandShapeOp::create(builder, loc, type, value, groups);
}

/// Puts dimensions into the order of the operation's result and adds up the
/// slices that it contracts.
static Value permuteResult(OpBuilder &builder, Location loc, const Site &site,
                           Value value, ArrayRef<unsigned> order) {
  linalg::LinalgOp op = site.op;
  AffineMap results = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  auto rank = static_cast<int64_t>(order.size());
  SmallVector<AffineExpr> writes;
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  for (AffineExpr result : results.getResults()) {
    unsigned loop = cast<AffineDimExpr>(result).getPosition();
    writes.push_back(
        builder.getAffineDimExpr(llvm::find(order, loop) - order.begin()));
  }
  unsigned kept = site.loops.slices.size() - site.loops.summed;
  for (unsigned i = kept; i < site.loops.slices.size(); ++i)
    loops[i] = utils::IteratorType::reduction;
  AffineMap maps[] = {builder.getMultiDimIdentityMap(rank),
                      AffineMap::get(rank, 0, writes, builder.getContext())};
  if (maps[1].isIdentity())
    return value;
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  Value init = tensor::EmptyOp::create(builder, loc, type.getShape(),
                                       type.getElementType());
  bool sums = site.loops.summed != 0;
  if (sums) {
    Value zero =
        arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(0));
    init = linalg::FillOp::create(builder, loc, zero, init).getResult(0);
  }
  auto moved = linalg::GenericOp::create(
      builder, loc, type, value, init, maps, loops,
      [&](OpBuilder &b, Location l, ValueRange values) {
        Value next = values[0];
        if (sums)
          next = arith::AddFOp::create(b, l, values[1], values[0]);
        linalg::YieldOp::create(b, l, next);
      });
  return moved.getResult(0);
}

Value mlir::spikequant::buildResult(OpBuilder &builder, Location loc,
                                    const Site &site, Value results) {
  const LoopOrder &loops = site.loops;
  SmallVector<unsigned> order(loops.slices);
  llvm::append_range(order, loops.rows);
  llvm::append_range(order, loops.outputs);
  linalg::LinalgOp op = site.op;
  SmallVector<int64_t> ranges = op.getStaticLoopRanges(), sizes;
  for (unsigned loop : order)
    sizes.push_back(ranges[loop]);
  unsigned counts[] = {static_cast<unsigned>(loops.slices.size()),
                       static_cast<unsigned>(loops.rows.size()),
                       static_cast<unsigned>(loops.outputs.size())};
  return permuteResult(builder, loc, site,
                       expand(builder, loc, results, sizes, counts), order);
}
