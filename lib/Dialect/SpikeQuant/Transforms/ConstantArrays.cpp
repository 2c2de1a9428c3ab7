//===- ConstantArrays.cpp - arrays that compile time knows ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConstantArrays.h"

#include "Conditions.h"
#include "ScalarFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;

static constexpr int64_t kMostElements = 1 << 20;

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

static bool compare(arith::CmpIPredicate predicate, double a, double b) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq:
    return a == b;
  case P::ne:
    return a != b;
  case P::slt:
  case P::ult:
    return a < b;
  case P::sle:
  case P::ule:
    return a <= b;
  case P::sgt:
  case P::ugt:
    return a > b;
  case P::sge:
  case P::uge:
    return a >= b;
  }
  llvm_unreachable("all predicates are listed");
}

static bool isBit(Value value) { return value.getType().isInteger(1); }

/// Operations on integers of at most 32 bits; NaN for others.
static double applyToIntegers(Operation *op, ArrayRef<double> x) {
  return llvm::TypeSwitch<Operation *, double>(op)
      .Case<arith::AddIOp>([&](auto) { return x[0] + x[1]; })
      .Case<arith::SubIOp>([&](auto) { return x[0] - x[1]; })
      .Case<arith::MulIOp>([&](auto) { return x[0] * x[1]; })
      .Case<arith::MaxSIOp>([&](auto) { return std::max(x[0], x[1]); })
      .Case<arith::MinSIOp>([&](auto) { return std::min(x[0], x[1]); })
      .Case<arith::AndIOp>(
          [&](auto a) { return isBit(a) ? x[0] * x[1] : std::nan(""); })
      .Case<arith::OrIOp>([&](auto a) {
        return isBit(a) ? std::max(x[0], x[1]) : std::nan("");
      })
      .Case<arith::XOrIOp>([&](auto a) {
        return isBit(a) ? double(x[0] != x[1]) : std::nan("");
      })
      .Case<arith::CmpIOp>([&](arith::CmpIOp cmp) {
        return double(compare(cmp.getPredicate(), x[0], x[1]));
      })
      .Case<arith::IndexCastOp, arith::ExtUIOp, arith::UIToFPOp>(
          [&](auto) { return x[0]; })
      .Case<arith::ExtSIOp, arith::SIToFPOp>([&](Operation *extension) {
        return isBit(extension->getOperand(0)) ? -x[0] : x[0];
      })
      .Case<arith::TruncIOp>(
          [&](auto a) { return isBit(a) ? std::nan("") : x[0]; })
      .Case<arith::FPToSIOp>([&](auto) { return std::trunc(x[0]); })
      .Default([](Operation *) { return std::nan(""); });
}

/// Negative operands of an unsigned operation are other numbers than they seem.
static bool isUnsigned(Operation *op) {
  auto compare = dyn_cast<arith::CmpIOp>(op);
  return isa<arith::ExtUIOp, arith::UIToFPOp>(op) ||
         (compare && arith::CmpIPredicate::ult <= compare.getPredicate());
}

static std::optional<double> applyScalar(Operation *op, ArrayRef<double> x) {
  Type type = op->getResult(0).getType();
  if (isUnsigned(op) && llvm::any_of(x, [](double v) { return v < 0; }))
    return std::nullopt;
  double value =
      isKnownFunction(op) ? evaluateFunction(op, x) : applyToIntegers(op, x);
  if (isa<FloatType>(type))
    return type.isF32() ? std::optional<double>(static_cast<float>(value))
                        : std::nullopt;
  // What wraps around is not followed; nor what no case above knows.
  constexpr double most = 2147483647.0;
  return std::abs(value) <= most ? std::optional(value) : std::nullopt;
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

static int64_t linearize(ArrayRef<int64_t> index, ArrayRef<int64_t> shape) {
  int64_t place = 0;
  for (auto [i, size] : llvm::zip_equal(index, shape))
    place = place * size + i;
  return place;
}

/// The next point in row-major order.
static void advance(MutableArrayRef<int64_t> point, ArrayRef<int64_t> shape) {
  for (int64_t d = int64_t(shape.size()) - 1; d >= 0; --d) {
    if (++point[d] < shape[d])
      return;
    point[d] = 0;
  }
}

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

std::optional<double> ConstantArrays::computeScalar(Operation *inner,
                                                    ArrayRef<int64_t> point,
                                                    ArrayRef<double> in) {
  if (auto index = dyn_cast<linalg::IndexOp>(inner))
    return double(point[index.getDim()]);
  auto extract = dyn_cast<tensor::ExtractOp>(inner);
  if (!extract)
    return inner->getNumRegions() ? std::nullopt : applyScalar(inner, in);
  const std::vector<double> *array = get(extract.getTensor());
  SmallVector<int64_t> index;
  for (auto [i, size] :
       llvm::zip_equal(in.drop_front(), shapeOf(extract.getTensor()))) {
    if (!(i >= 0 && i < double(size)))
      return std::nullopt;
    index.push_back(int64_t(i));
  }
  return array ? std::optional(
                     (*array)[linearize(index, shapeOf(extract.getTensor()))])
               : std::nullopt;
}

bool ConstantArrays::computeElement(linalg::LinalgOp op,
                                    ArrayRef<int64_t> point, double &result) {
  llvm::SmallDenseMap<Value, double> scalars;
  for (OpOperand *operand : op.getDpsInputOperands()) {
    auto index = applyMap(op.getMatchingIndexingMap(operand), point);
    const std::vector<double> *array = index ? get(operand->get()) : nullptr;
    if (!array)
      return false;
    scalars[op.getMatchingBlockArgument(operand)] =
        (*array)[index->empty() ? 0
                                : linearize(*index, shapeOf(operand->get()))];
  }
  auto find = [&](Value value) -> std::optional<double> {
    if (auto found = scalars.find(value); found != scalars.end())
      return found->second;
    Attribute constant;
    if (matchPattern(value, m_Constant(&constant)))
      return getNumber(constant);
    // The array that an extraction reads.
    return isa<RankedTensorType>(value.getType()) ? std::optional(0.0)
                                                  : std::nullopt;
  };
  for (Operation &inner : op.getBlock()->without_terminator()) {
    SmallVector<double> in;
    for (Value operand : inner.getOperands()) {
      auto value = find(operand);
      if (!value)
        return false;
      in.push_back(*value);
    }
    if (inner.hasTrait<OpTrait::ConstantLike>())
      continue;
    auto value = computeScalar(&inner, point, in);
    if (!value)
      return false;
    scalars[inner.getResult(0)] = *value;
  }
  auto value = find(op.getBlock()->getTerminator()->getOperand(0));
  result = value.value_or(0);
  return value.has_value();
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

ConstantArrays::Values ConstantArrays::computeElements(linalg::LinalgOp op) {
  if (auto fill = dyn_cast<linalg::FillOp>(op.getOperation())) {
    Attribute constant;
    auto number = matchPattern(fill.getInputs()[0], m_Constant(&constant))
                      ? getNumber(constant)
                      : std::nullopt;
    int64_t count =
        cast<ShapedType>(fill.getOutputs()[0].getType()).getNumElements();
    return number ? Values(std::vector<double>(count, *number)) : std::nullopt;
  }
  if (op.getNumReductionLoops() || op->getNumResults() != 1 ||
      !op.getIndexingMapsArray().back().isIdentity())
    return std::nullopt;
  SmallVector<int64_t> shape = op.getStaticLoopRanges();
  SmallVector<int64_t> point(shape.size(), 0);
  std::vector<double> values(ShapedType::getNumElements(shape));
  for (double &value : values) {
    if (!computeElement(op, point, value))
      return std::nullopt;
    advance(point, shape);
  }
  return values;
}

/// Calls `visit` with the places in the whole array, in order of the part's.
static bool visitPart(OffsetSizeAndStrideOpInterface op,
                      ArrayRef<int64_t> shape,
                      function_ref<void(int64_t)> visit) {
  ArrayRef<int64_t> offsets = op.getStaticOffsets(),
                    sizes = op.getStaticSizes(),
                    strides = op.getStaticStrides();
  for (ArrayRef<int64_t> list : {offsets, sizes, strides})
    if (llvm::any_of(list, ShapedType::isDynamic))
      return false;
  SmallVector<int64_t> point(shape.size(), 0), index(shape.size(), 0);
  int64_t count = ShapedType::getNumElements(sizes);
  for (int64_t i = 0; i < count; ++i) {
    for (auto [d, place] : llvm::enumerate(index))
      place = offsets[d] + point[d] * strides[d];
    visit(linearize(index, shape));
    advance(point, sizes);
  }
  return true;
}

ConstantArrays::Values ConstantArrays::computeSlice(tensor::ExtractSliceOp op) {
  const std::vector<double> *source = get(op.getSource());
  std::vector<double> values;
  bool known =
      source && visitPart(op, shapeOf(op.getSource()), [&](int64_t place) {
        values.push_back((*source)[place]);
      });
  return known ? Values(std::move(values)) : std::nullopt;
}

ConstantArrays::Values
ConstantArrays::computeInsertion(tensor::InsertSliceOp op) {
  const std::vector<double> *whole = get(op.getDest());
  Values values = whole ? Values(*whole) : std::nullopt;
  const std::vector<double> *part = get(op.getSource());
  int64_t next = 0;
  bool known = values && part &&
               visitPart(op, shapeOf(op.getDest()), [&](int64_t place) {
                 (*values)[place] = (*part)[next++];
               });
  return known ? std::move(values) : std::nullopt;
}

ConstantArrays::Values ConstantArrays::compute(Value array) {
  Operation *op = array.getDefiningOp();
  auto type = dyn_cast<RankedTensorType>(array.getType());
  if (!op || !type || !type.hasStaticShape() ||
      type.getNumElements() > kMostElements)
    return std::nullopt;
  if (isa<tensor::EmptyOp>(op))
    return std::vector<double>(type.getNumElements(), 0);
  if (auto load = dyn_cast<LoadWeightsOp>(op)) {
    ArrayRef<float> values = reals.getValues(load.getWeightsAttr());
    return int64_t(values.size()) == type.getNumElements()
               ? Values(std::vector<double>(values.begin(), values.end()))
               : std::nullopt;
  }
  DenseElementsAttr constant;
  if (matchPattern(array, m_Constant(&constant))) {
    std::vector<double> values;
    for (Attribute element : constant.getValues<Attribute>()) {
      auto number = getNumber(element);
      if (!number)
        return std::nullopt;
      values.push_back(*number);
    }
    return values;
  }
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
    const std::vector<double> *source = get(op->getOperand(0));
    return source ? Values(*source) : std::nullopt;
  }
  if (auto slice = dyn_cast<tensor::ExtractSliceOp>(op))
    return computeSlice(slice);
  if (auto insertion = dyn_cast<tensor::InsertSliceOp>(op))
    return computeInsertion(insertion);
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  return linalgOp ? computeElements(linalgOp) : std::nullopt;
}

const std::vector<double> *ConstantArrays::get(Value array) {
  auto found = known.find(array);
  if (found == known.end()) {
    auto values = std::make_unique<Values>(compute(array));
    found = known.try_emplace(array, std::move(values)).first;
  }
  const Values &values = *found->second;
  return values ? &*values : nullptr;
}
