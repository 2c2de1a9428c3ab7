//===- GatherToLookup.cpp - row gathers of weights become lookups ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %t = spikequant.load_weights @embedding : tensor<64x16xf32>
//   %y = linalg.generic .. {
//     %r = clamp(%ids[i])
//     %v = tensor.extract %t[%r, j]
//   }
// becomes
//   %y = spikequant.lookup @embedding.codes[%ids]
//
//===----------------------------------------------------------------------===//

#include "BodyInputs.h"
#include "RemarkLocation.h"
#include "RowShape.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Quantize.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightOperand.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

using namespace mlir;
using namespace mlir::spikequant;

/// Whether `indices` enumerate a tensor of `shape` in row-major order while the
/// leading dimensions `rows` of the loop run in theirs.
static bool enumeratesRows(OperandRange indices, ArrayRef<int64_t> shape,
                           ArrayRef<int64_t> rows) {
  int64_t previous = -1;
  for (auto [index, size] : llvm::zip_equal(indices, shape)) {
    if (size == 1)
      continue;
    auto loop = index.getDefiningOp<linalg::IndexOp>();
    if (!loop)
      return false;
    auto dim = static_cast<int64_t>(loop.getDim());
    if (dim <= previous || dim >= static_cast<int64_t>(rows.size()) ||
        rows[dim] != size)
      return false;
    previous = dim;
  }
  return ShapedType::getNumElements(shape) == ShapedType::getNumElements(rows);
}

/// The tensor of ids behind the row number `id` in the body of `op`.
static Value findIds(linalg::GenericOp op, Value id, ArrayRef<int64_t> rows) {
  Value ids;
  if (OpOperand *input = getBodyInput(op, id)) {
    AffineMap map = op.getMatchingIndexingMap(input);
    auto identity =
        AffineMap::getMultiDimIdentityMap(rows.size() + 1, op.getContext());
    if (map.getResults() != identity.getResults().drop_back())
      return {};
    ids = input->get();
  } else if (auto extract = id.getDefiningOp<tensor::ExtractOp>()) {
    auto type = cast<RankedTensorType>(extract.getTensor().getType());
    if (!type.hasStaticShape() ||
        !enumeratesRows(extract.getIndices(), type.getShape(), rows))
      return {};
    ids = extract.getTensor();
  }
  if (!ids || !(getElementTypeOrSelf(ids).isInteger(32) ||
                getElementTypeOrSelf(ids).isInteger(64)))
    return {};
  return ids;
}

std::optional<RowGather>
mlir::spikequant::matchRowGather(linalg::GenericOp op) {
  if (!op.hasPureTensorSemantics() || op.getNumDpsInits() != 1 ||
      op.getNumParallelLoops() != op.getNumLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  auto result = cast<RankedTensorType>(op->getResult(0).getType());
  auto yield = cast<linalg::YieldOp>(op.getBody()->getTerminator());
  auto extract = yield.getOperand(0).getDefiningOp<tensor::ExtractOp>();
  if (!extract || !result.hasStaticShape() || result.getRank() == 0)
    return std::nullopt;
  auto table = extract.getTensor().getDefiningOp<LoadWeightsOp>();
  auto type = cast<RankedTensorType>(extract.getTensor().getType());
  if (!table || type.getRank() != 2 || !type.getElementType().isF32() ||
      type.getDimSize(1) != result.getShape().back())
    return std::nullopt;
  auto column = extract.getIndices()[1].getDefiningOp<linalg::IndexOp>();
  if (!column || static_cast<int64_t>(column.getDim()) != result.getRank() - 1)
    return std::nullopt;
  Value id = stripClamp(extract.getIndices()[0], type.getDimSize(0));
  Value ids = id ? findIds(op, id, result.getShape().drop_back()) : Value();
  if (!ids)
    return std::nullopt;
  return RowGather{table, ids};
}

static void replaceByLookup(linalg::GenericOp op, const RowGather &gather,
                            WeightsOp codes) {
  IRRewriter rewriter(op);
  Location loc = op.getLoc();
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  int64_t channels = type.getShape().back();
  auto rowsType = RankedTensorType::get(
      {type.getNumElements() / channels, channels}, type.getElementType());
  Value ids = flattenAll(rewriter, loc, gather.ids);
  Value rows = LookupOp::create(rewriter, loc, rowsType,
                                FlatSymbolRefAttr::get(codes.getSymNameAttr()),
                                ids, FlatSymbolRefAttr());
  rewriter.replaceOp(op, restoreRows(rewriter, loc, rows, type));
}

LogicalResult mlir::spikequant::convertGathers(
    func::FuncOp function, const WeightFormats &formats, uint64_t minBytes,
    const llvm::StringSet<> &siteWeights) {
  auto module = function->getParentOfType<ModuleOp>();
  SmallVector<std::pair<linalg::GenericOp, RowGather>> gathers;
  function.walk([&](linalg::GenericOp op) {
    if (std::optional<RowGather> gather = matchRowGather(op))
      gathers.push_back({op, *gather});
  });
  for (auto [op, gather] : gathers) {
    auto opts = remark::RemarkOpts::name("gather")
                    .category("spikequant-quantize")
                    .function(function.getSymName());
    WeightsOp weights = lookupWeights(module, gather.table.getWeights());
    StringRef name = weights.getSymName();
    uint64_t bytes = weights.getArrayType().getNumElements() * sizeof(float);
    if (!siteWeights.contains(name) && bytes < minBytes) {
      remark::missed(getRemarkLocation(op.getLoc()), opts) << remark::add(
          "gather from '{0}' stays real: the table has only {1} bytes", name,
          bytes);
      continue;
    }
    FailureOr<WeightsOp> codes =
        getOrCreateCodes(module, weights, WeightView::of(weights), formats);
    if (failed(codes))
      return failure();
    remark::passed(getRemarkLocation(op.getLoc()), opts)
        << remark::add("gather from '{0}' becomes a lookup of its codes", name);
    replaceByLookup(op, gather, *codes);
  }
  return success();
}
