//===- Products.cpp - which products of activations counts can compute ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductChannels.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "llvm/ADT/DenseMap.h"

using namespace mlir;
using namespace mlir::spikequant;

/// With fewer channels the products cost less than making counts.
static constexpr int64_t kLeastChannels = 4;
/// So many products of counts of 8 bits fit i64 with room to spare.
static constexpr int64_t kMostChannels = int64_t(1) << 40;

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// Follows movement in one block back from `value`; `path` gets it in order.
static Value skipMovement(Value value, SmallVectorImpl<Operation *> &path) {
  Block *block = value.getParentBlock();
  while (Operation *op = value.getDefiningOp()) {
    Value source = getMovedValue(op);
    if (!source || source.getParentBlock() != block)
      break;
    path.insert(path.begin(), op);
    value = source;
  }
  return value;
}

/// The number of the result that is the next value of `argument`, or -1.
static int64_t getStateResult(BlockArgument argument) {
  auto function = dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp());
  auto state = function ? function.getArgAttrOfType<IntegerAttr>(
                              argument.getArgNumber(), "spikequant.state")
                        : IntegerAttr();
  return state ? state.getInt() : -1;
}

/// Whether `value` reaches nothing but products, and as the next value of a
/// state, result `result`.
static bool feedsOnlyProducts(Value value, int64_t result) {
  return llvm::all_of(value.getUses(), [&](OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<func::ReturnOp>(user))
      return use.getOperandNumber() == result;
    if (user->hasAttr(kProductAttr))
      return true;
    return getMovedValue(user) == value &&
           feedsOnlyProducts(user->getResult(0), -1);
  });
}

/// An insertion of rows into a state that products alone read, once per step.
static tensor::InsertSliceOp matchStateUpdate(Value value) {
  auto insertion = value.getDefiningOp<tensor::InsertSliceOp>();
  auto state = insertion ? dyn_cast<BlockArgument>(insertion.getDest())
                         : BlockArgument();
  int64_t result = state ? getStateResult(state) : -1;
  if (result < 0 || !state.hasOneUse() ||
      !feedsOnlyProducts(insertion.getResult(), result))
    return {};
  bool returned = llvm::any_of(insertion->getUsers(), [](Operation *user) {
    return isa<func::ReturnOp>(user);
  });
  return returned ? insertion : tensor::InsertSliceOp();
}

static ProductOperand traceOperand(Value value, std::string name) {
  ProductOperand operand;
  operand.name = std::move(name);
  operand.source = skipMovement(value, operand.path);
  if (auto softmax = matchSoftmax(operand.source)) {
    operand.source = softmax->numerators;
    operand.isNumerators = true;
  } else if (auto insertion = matchStateUpdate(operand.source)) {
    operand.insertion = insertion;
    operand.afterState = std::move(operand.path);
    operand.path.clear();
    operand.source = skipMovement(insertion.getSource(), operand.path);
  }
  return operand;
}

//===----------------------------------------------------------------------===//
// Reasons to leave a product
//===----------------------------------------------------------------------===//

static bool isStaticReal(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && type.hasStaticShape() && type.getElementType().isF32() &&
         type.getNumElements() > 0;
}

/// Whether movement keeps the last dimension the last one, whole.
static bool keepsLast(Operation *op) {
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    auto maps = linalgOp.getIndexingMapsArray();
    auto last = [](AffineMap map) {
      return map.getNumResults() ? map.getResults().back() : AffineExpr();
    };
    return last(maps[0]) && last(maps[0]) == last(maps[1]);
  }
  auto getLast = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getShape().back();
  };
  return getLast(op->getOperand(0)) == getLast(op->getResult(0));
}

static int64_t countChannels(linalg::LinalgOp op) {
  SmallVector<unsigned> loops;
  op.getReductionDims(loops);
  int64_t channels = 1;
  for (unsigned loop : loops)
    channels *= op.getStaticLoopRanges()[loop];
  return channels;
}

/// Probabilities must be contracted over the dimension that they add up along.
static bool contractsLast(linalg::LinalgOp op, unsigned number,
                          const ProductOperand &operand) {
  SmallVector<unsigned> loops;
  op.getReductionDims(loops);
  AffineMap map = op.getMatchingIndexingMap(op.getDpsInputOperand(number));
  return loops.size() == 1 && map.getNumResults() > 0 &&
         map.getResults().back() ==
             getAffineDimExpr(loops.front(), op.getContext()) &&
         llvm::all_of(operand.path, keepsLast);
}

static bool computesExponential(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op)
    return false;
  auto has = [](linalg::GenericOp generic) {
    return !generic.getBody()->getOps<math::ExpOp>().empty();
  };
  return has(op) || llvm::any_of(op.getDpsInputs(), [&](Value input) {
           auto producer = input.getDefiningOp<linalg::GenericOp>();
           return producer && has(producer);
         });
}

static std::string getReasonToLeave(const Product &product) {
  linalg::LinalgOp op = product.op;
  for (Value operand : op->getOperands())
    if (!isStaticReal(operand))
      return "it is not f32 of static shape";
  if (!linalg::isaContractionOpInterface(op))
    return "it is no plain contraction";
  int64_t channels = countChannels(op);
  if (channels < kLeastChannels)
    return "it has only " + std::to_string(channels) + " channels";
  if (channels > kMostChannels)
    return "it has too many channels";
  for (auto [number, operand] : llvm::enumerate(product.operands)) {
    if (!isStaticReal(operand.source) ||
        cast<RankedTensorType>(operand.source.getType()).getRank() == 0)
      return "an operand is no array of static shape";
    if (operand.isNumerators && !contractsLast(op, number, operand))
      return "it does not contract the dimension of its softmax";
    if (!operand.isNumerators && computesExponential(operand.source))
      return "its exponentials are no softmax that is recognised";
  }
  if (product.operands[0].isNumerators && product.operands[1].isNumerators)
    return "both operands are probabilities";
  return "";
}

std::vector<Product> mlir::spikequant::findProducts(
    func::FuncOp function,
    function_ref<void(linalg::LinalgOp, StringRef)> leave) {
  std::vector<Product> products;
  // What is encoded for several operands is named after the first.
  llvm::DenseMap<Value, std::string> names;
  function.walk([&](linalg::LinalgOp op) {
    auto name = op->getAttrOfType<StringAttr>(kProductAttr);
    if (!name || op.getNumDpsInputs() != 2)
      return;
    Product product;
    product.op = op;
    product.name = name.getValue().str();
    for (unsigned i = 0; i < 2; ++i)
      product.operands[i] = traceOperand(
          op.getDpsInputs()[i], product.name + (i == 0 ? ".left" : ".right"));
    std::string reason = getReasonToLeave(product);
    if (!reason.empty()) {
      if (leave)
        leave(op, reason);
      return;
    }
    for (ProductOperand &operand : product.operands)
      operand.name =
          names.try_emplace(operand.source, operand.name).first->second;
    products.push_back(std::move(product));
  });
  return products;
}

std::vector<ProductInput>
mlir::spikequant::findProductInputs(func::FuncOp function) {
  std::vector<ProductInput> inputs;
  llvm::DenseSet<Value> seen;
  for (const Product &product : findProducts(function))
    for (auto [number, operand] : llvm::enumerate(product.operands))
      if (!operand.isNumerators && seen.insert(operand.source).second) {
        auto type = cast<RankedTensorType>(operand.source.getType());
        bool grouped =
            operand.insertion &&
            countGroupedChannels(product, number) != type.getShape().back();
        inputs.push_back({operand.name, operand.source, grouped});
      }
  return inputs;
}
