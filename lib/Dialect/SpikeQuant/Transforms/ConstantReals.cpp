//===- ConstantReals.cpp - values of constants and weights ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/ConstantReals.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/ChannelRotations.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

using namespace mlir;
using namespace mlir::spikequant;

std::optional<SmallVector<int64_t>>
mlir::spikequant::applyMap(AffineMap map, ArrayRef<int64_t> point) {
  SmallVector<int64_t> result;
  for (AffineExpr expr : map.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr))
      result.push_back(point[dim.getPosition()]);
    else if (auto constant = dyn_cast<AffineConstantExpr>(expr))
      result.push_back(constant.getValue());
    else
      return std::nullopt;
  }
  return result;
}

llvm::Error ConstantReals::open(StringRef weightsFile) {
  auto opened = ::spikequant::SafetensorsFile::open(weightsFile);
  if (!opened)
    return opened.takeError();
  file = std::move(*opened);
  addRotations(module, *file);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

std::vector<float> ConstantReals::read(WeightsOp weights) {
  RankedTensorType type = weights.getArrayType();
  if (!isa<RealAttr>(weights.getFormat()) || !type.getElementType().isF32())
    return {};
  if (auto literal = dyn_cast_or_null<DenseElementsAttr>(
          weights.getValue().value_or(ElementsAttr())))
    return {literal.getValues<float>().begin(),
            literal.getValues<float>().end()};
  // Only whole arrays as they are stored.
  if (!file || !weights.getSource() || weights.getPermutation() ||
      weights->hasAttr("view"))
    return {};
  auto tensor = file->tensorF32(*weights.getSource());
  if (!tensor) {
    llvm::consumeError(tensor.takeError());
    return {};
  }
  if (tensor->shape() != type.getShape())
    return {};
  return tensor->values().vec();
}

ArrayRef<float> ConstantReals::getValues(FlatSymbolRefAttr symbol) {
  return symbol ? getValues(lookupWeights(module, symbol.getValue()))
                : ArrayRef<float>();
}

ArrayRef<float> ConstantReals::getValues(WeightsOp weights) {
  if (!weights)
    return {};
  auto [entry, isNew] = cache.try_emplace(weights.getSymName());
  if (isNew)
    entry->second = read(weights);
  return entry->second;
}

static double sumSquares(ArrayRef<float> values) {
  double sum = 0;
  for (float value : values)
    sum += double(value) * value;
  return sum;
}

std::optional<double> ConstantReals::getMeanRowSquare(WeightsOp weights) {
  auto [entry, isNew] = squares.try_emplace(weights.getSymName());
  if (!isNew)
    return entry->second;
  RankedTensorType type = weights.getArrayType();
  double rows = double(type.getNumElements()) / double(type.getShape().back());
  auto literal = dyn_cast_or_null<DenseElementsAttr>(
      weights.getValue().value_or(ElementsAttr()));
  if (literal && literal.getElementType().isF32()) {
    std::vector<float> values(literal.getValues<float>().begin(),
                              literal.getValues<float>().end());
    return entry->second = sumSquares(values) / rows;
  }
  if (!file || !weights.getSource())
    return std::nullopt;
  auto tensor = file->tensorF32(*weights.getSource());
  if (!tensor) {
    llvm::consumeError(tensor.takeError());
    return std::nullopt;
  }
  ArrayRef<float> stored = tensor->values();
  if (static_cast<int64_t>(stored.size()) == type.getNumElements())
    return entry->second = sumSquares(stored) / rows;
  std::vector<float> values(type.getNumElements());
  WeightView::of(weights).gather(
      ArrayRef(reinterpret_cast<const char *>(stored.data()),
               stored.size() * sizeof(float)),
      sizeof(float), reinterpret_cast<char *>(values.data()));
  return entry->second = sumSquares(values) / rows;
}

//===----------------------------------------------------------------------===//
// Operations
//===----------------------------------------------------------------------===//

static int64_t linearize(ArrayRef<int64_t> index, ArrayRef<int64_t> shape) {
  int64_t position = 0;
  for (auto [i, size] : llvm::zip_equal(index, shape))
    position = position * size + i;
  return position;
}

static SmallVector<int64_t> delinearize(int64_t position,
                                        ArrayRef<int64_t> shape) {
  SmallVector<int64_t> index(shape.size());
  for (int64_t i = shape.size() - 1; i >= 0; --i) {
    index[i] = position % shape[i];
    position /= shape[i];
  }
  return index;
}

std::optional<float> ConstantReals::atLinear(Value value, int64_t position) {
  return at(value, delinearize(position,
                               cast<ShapedType>(value.getType()).getShape()));
}

std::optional<float> ConstantReals::at(Value value, ArrayRef<int64_t> index) {
  if (!getElementTypeOrSelf(value.getType()).isF32())
    return std::nullopt;
  Attribute constant;
  if (matchPattern(value, m_Constant(&constant))) {
    if (auto scalar = dyn_cast<FloatAttr>(constant))
      return scalar.getValue().convertToFloat();
    if (auto dense = dyn_cast<DenseElementsAttr>(constant))
      return dense
          .getValues<float>()[linearize(index, dense.getType().getShape())];
    return std::nullopt;
  }
  Operation *op = value.getDefiningOp();
  if (auto load = dyn_cast_or_null<LoadWeightsOp>(op)) {
    WeightsOp weights = lookupWeights(module, load.getWeights());
    ArrayRef<float> values = getValues(weights);
    if (values.empty())
      return std::nullopt;
    return values[linearize(index, weights.getArrayType().getShape())];
  }
  if (isa_and_nonnull<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
    auto type = cast<RankedTensorType>(value.getType());
    auto source = cast<RankedTensorType>(op->getOperand(0).getType());
    if (!type.hasStaticShape() || !source.hasStaticShape())
      return std::nullopt;
    return atLinear(op->getOperand(0), linearize(index, type.getShape()));
  }
  if (auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op))
    return atLinalg(linalgOp, index);
  return std::nullopt;
}

std::optional<float> ConstantReals::atLinalg(linalg::LinalgOp op,
                                             ArrayRef<int64_t> index) {
  if (op->getNumResults() != 1 || op.getNumReductionLoops() ||
      !op.getMatchingIndexingMap(op.getDpsInitOperand(0)).isIdentity())
    return std::nullopt;
  return evaluate(op.getBlock()->getTerminator()->getOperand(0), op, index);
}

std::optional<float> ConstantReals::evaluate(Value scalar, linalg::LinalgOp op,
                                             ArrayRef<int64_t> index) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (argument && argument.getOwner() == op.getBlock()) {
    OpOperand *operand = op.getMatchingOpOperand(argument);
    if (op.isDpsInit(operand))
      return std::nullopt;
    auto source = applyMap(op.getMatchingIndexingMap(operand), index);
    return source ? at(operand->get(), *source) : std::nullopt;
  }
  Operation *inner = scalar.getDefiningOp();
  if (!inner || inner->getBlock() != op.getBlock())
    return at(scalar, {});
  if (matchPattern(scalar, m_Constant()))
    return at(scalar, {});
  if (!inner->getResult(0).getType().isF32() ||
      !isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp,
           arith::NegFOp>(inner))
    return std::nullopt;
  std::optional<float> a = evaluate(inner->getOperand(0), op, index);
  if (!a)
    return std::nullopt;
  if (isa<arith::NegFOp>(inner))
    return -*a;
  std::optional<float> b = evaluate(inner->getOperand(1), op, index);
  if (!b)
    return std::nullopt;
  if (isa<arith::AddFOp>(inner))
    return *a + *b;
  if (isa<arith::SubFOp>(inner))
    return *a - *b;
  return isa<arith::MulFOp>(inner) ? *a * *b : *a / *b;
}
