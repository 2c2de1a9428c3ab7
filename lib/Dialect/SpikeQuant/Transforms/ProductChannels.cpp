//===- ProductChannels.cpp - channels that meet in a product --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Arrays of channel numbers are moved as the operands are: what arrives at an
// element of the product says which channel it came from. No rule about heads,
// groups or orders of dimensions is needed.
//
//===----------------------------------------------------------------------===//

#include "ProductChannels.h"

#include "BodyInputs.h"
#include "Conditions.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"

#include <numeric>

using namespace mlir;
using namespace mlir::spikequant;

/// Adding a number to the scores of a row must not lift those below this.
static constexpr double kHidden = -1e4;

namespace {
/// A channel for each element of an array, row-major.
using Channels = std::vector<int64_t>;

RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

SmallVector<int64_t> getStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

/// What a step along each loop moves in an array read through `map`; nothing
/// if it reads other than dimensions and zeros.
std::optional<SmallVector<int64_t>> getLoopStrides(AffineMap map,
                                                   ArrayRef<int64_t> shape) {
  SmallVector<int64_t> loops(map.getNumDims(), 0);
  for (auto [expr, stride] : llvm::zip(map.getResults(), getStrides(shape))) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      loops[dim.getPosition()] += stride;
      continue;
    }
    auto constant = dyn_cast<AffineConstantExpr>(expr);
    if (!constant || constant.getValue() != 0)
      return std::nullopt;
  }
  return loops;
}

/// Calls `visit` with the places that each of `strides` gives, over all points.
void forEachPoint(ArrayRef<int64_t> shape,
                  ArrayRef<SmallVector<int64_t>> strides,
                  function_ref<void(ArrayRef<int64_t>)> visit) {
  int64_t points = std::accumulate(shape.begin(), shape.end(), int64_t{1},
                                   std::multiplies<>());
  SmallVector<int64_t> point(shape.size(), 0), places(strides.size(), 0);
  for (int64_t i = 0; i < points; ++i) {
    visit(places);
    for (size_t dim = shape.size(); dim-- > 0;) {
      bool wraps = ++point[dim] == shape[dim];
      int64_t steps = wraps ? 1 - shape[dim] : 1;
      for (auto [place, stride] : llvm::zip(places, strides))
        place += steps * stride[dim];
      if (!wraps)
        break;
      point[dim] = 0;
    }
  }
}

std::optional<Channels> moveChannels(Operation *op, const Channels &channels) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp)
    return channels;
  if (!typeOf(op->getOperand(0)).hasStaticShape() ||
      !typeOf(op->getResult(0)).hasStaticShape())
    return std::nullopt;
  auto maps = linalgOp.getIndexingMapsArray();
  auto from = getLoopStrides(maps[0], typeOf(op->getOperand(0)).getShape());
  auto to = getLoopStrides(maps[1], typeOf(op->getResult(0)).getShape());
  if (!from || !to)
    return std::nullopt;
  Channels result(typeOf(op->getResult(0)).getNumElements());
  forEachPoint(linalgOp.getStaticLoopRanges(), {*from, *to},
               [&](ArrayRef<int64_t> at) { result[at[1]] = channels[at[0]]; });
  return result;
}

std::optional<Channels> moveChannels(ArrayRef<Operation *> path,
                                     std::optional<Channels> channels) {
  for (Operation *op : path)
    if (channels)
      channels = moveChannels(op, *channels);
  return channels;
}

Channels numberChannels(Value source, int64_t channels) {
  Channels result(typeOf(source).getNumElements());
  for (auto [i, channel] : llvm::enumerate(result))
    channel = int64_t(i) % channels;
  return result;
}

/// Dimensions of a state that an insertion covers whole.
SmallVector<bool> getWholeDimensions(tensor::InsertSliceOp insertion) {
  SmallVector<bool> whole;
  for (auto [offset, size, full] :
       llvm::zip(insertion.getStaticOffsets(), insertion.getStaticSizes(),
                 insertion.getType().getShape()))
    whole.push_back(offset == 0 && size == full);
  return whole;
}

/// Channels of the whole state: its other dimensions repeat what is inserted.
std::optional<Channels>
insertChannels(tensor::InsertSliceOp insertion,
               const std::optional<Channels> &channels) {
  RankedTensorType source = insertion.getSourceType();
  RankedTensorType state = insertion.getType();
  if (!channels || source.getRank() != state.getRank() ||
      !source.hasStaticShape() || !state.hasStaticShape())
    return std::nullopt;
  SmallVector<int64_t> from = getStrides(source.getShape());
  for (auto [stride, whole] : llvm::zip(from, getWholeDimensions(insertion)))
    if (!whole)
      stride = 0;
  Channels once(source.getNumElements()), result(state.getNumElements());
  bool repeats = true;
  forEachPoint(source.getShape(), {from, getStrides(source.getShape())},
               [&](ArrayRef<int64_t> at) {
                 repeats &= (*channels)[at[0]] == (*channels)[at[1]];
               });
  if (!repeats)
    return std::nullopt;
  forEachPoint(
      state.getShape(), {from, getStrides(state.getShape())},
      [&](ArrayRef<int64_t> at) { result[at[1]] = (*channels)[at[0]]; });
  return result;
}

/// Channels of the elements of operand `index` of the product.
std::optional<Channels> traceChannels(const ProductOperand &operand,
                                      int64_t channels) {
  auto result =
      moveChannels(operand.path, numberChannels(operand.source, channels));
  if (operand.insertion)
    result = moveChannels(operand.afterState,
                          insertChannels(operand.insertion, result));
  return result;
}

/// Loops that both maps have.
SmallVector<unsigned> getSharedLoops(AffineMap a, AffineMap b) {
  SmallVector<unsigned> loops;
  for (unsigned i = 0; i < a.getNumDims(); ++i)
    if (a.isFunctionOfDim(i) && b.isFunctionOfDim(i))
      loops.push_back(i);
  return loops;
}

/// An array that a product reads or writes, of channels, seen along `loops`.
struct View {
  AffineMap map;
  RankedTensorType type;
};

/// Strides of a dense array over `loops` alone.
SmallVector<int64_t> getKeys(linalg::LinalgOp op, ArrayRef<unsigned> loops) {
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  SmallVector<int64_t> keys(ranges.size(), 0);
  int64_t stride = 1;
  for (unsigned loop : llvm::reverse(loops)) {
    keys[loop] = stride;
    stride *= ranges[loop];
  }
  return keys;
}

/// Calls `visit` with key and place of the elements of an array of the product.
bool forEachKey(linalg::LinalgOp op, View view, ArrayRef<unsigned> loops,
                function_ref<void(int64_t, int64_t)> visit) {
  auto places = getLoopStrides(view.map, view.type.getShape());
  if (!places)
    return false;
  SmallVector<int64_t> ranges = op.getStaticLoopRanges();
  // What the array does not have is not walked along.
  for (auto [loop, range] : llvm::enumerate(ranges))
    if (!view.map.isFunctionOfDim(loop))
      range = 1;
  forEachPoint(ranges, {getKeys(op, loops), *places},
               [&](ArrayRef<int64_t> at) { visit(at[0], at[1]); });
  return true;
}

/// The channel of each key, if it is one.
std::optional<Channels> byKey(linalg::LinalgOp op, View view,
                              ArrayRef<unsigned> loops,
                              const Channels &channels) {
  int64_t keys = 1;
  for (unsigned loop : loops)
    keys *= op.getStaticLoopRanges()[loop];
  Channels result(keys, -1);
  bool unique = true;
  bool known = forEachKey(op, view, loops, [&](int64_t key, int64_t place) {
    unique &= result[key] < 0 || result[key] == channels[place];
    result[key] = channels[place];
  });
  return known && unique ? std::optional(result) : std::nullopt;
}

/// For each of `count` channels what it is paired with, if it is one.
std::optional<Channels> pairUp(const Channels &channels,
                               const Channels &partners, int64_t count) {
  Channels result(count, -1);
  for (auto [channel, partner] : llvm::zip_equal(channels, partners)) {
    if (result[channel] >= 0 && result[channel] != partner)
      return std::nullopt;
    result[channel] = partner;
  }
  if (llvm::is_contained(result, -1))
    return std::nullopt;
  return result;
}

View getView(linalg::LinalgOp op, unsigned number) {
  return {op.getMatchingIndexingMap(op.getDpsInputOperand(number)),
          typeOf(op.getDpsInputs()[number])};
}

View getResultView(linalg::LinalgOp op) {
  return {op.getMatchingIndexingMap(op.getDpsInitOperand(0)),
          typeOf(op->getResult(0))};
}

/// Held channels of the elements of `view`, which has the keys' loops.
std::optional<Channels> spread(linalg::LinalgOp op, View view,
                               ArrayRef<unsigned> loops,
                               const Channels &byKeys) {
  Channels result(view.type.getNumElements(), -1);
  bool known = forEachKey(op, view, loops, [&](int64_t key, int64_t place) {
    result[place] = byKeys[key];
  });
  return known ? std::optional(result) : std::nullopt;
}

} // namespace

//===----------------------------------------------------------------------===//
// Channels of one operand
//===----------------------------------------------------------------------===//

int64_t mlir::spikequant::countGroupedChannels(const Product &product,
                                               unsigned index) {
  const ProductOperand &operand = product.operands[index];
  ArrayRef<int64_t> shape = typeOf(operand.source).getShape();
  int64_t channels = shape.back();
  if (shape.size() < 2 || shape[shape.size() - 2] == 1)
    return channels;
  // The dimension before the last counts if each batch of the product has one.
  linalg::LinalgOp op = product.op;
  int64_t heads = shape[shape.size() - 2];
  auto traced = traceChannels(operand, heads * channels);
  if (!traced)
    return channels;
  Channels head = *traced;
  for (int64_t &channel : head)
    channel /= channels;
  View view = getView(op, index);
  SmallVector<unsigned> loops =
      getSharedLoops(view.map, getView(op, 1 - index).map);
  llvm::erase_if(loops, [&](unsigned loop) {
    return op.getIteratorTypesArray()[loop] == utils::IteratorType::reduction;
  });
  return byKey(op, view, loops, head) ? heads * channels : channels;
}

std::optional<int64_t>
mlir::spikequant::getPackedDimension(const ProductOperand &operand) {
  tensor::InsertSliceOp insertion = operand.insertion;
  if (!insertion)
    return std::nullopt;
  int64_t channels = typeOf(operand.source).getShape().back();
  auto traced = insertChannels(
      insertion,
      moveChannels(operand.path, numberChannels(operand.source, channels)));
  if (!traced)
    return std::nullopt;
  RankedTensorType state = insertion.getType();
  SmallVector<int64_t> strides = getStrides(state.getShape());
  SmallVector<bool> whole = getWholeDimensions(insertion);
  for (int64_t dim = 0; dim < state.getRank(); ++dim) {
    bool runs = whole[dim] && state.getDimSize(dim) % 2 == 0;
    for (int64_t i = 0; runs && i < state.getDimSize(dim); ++i)
      runs = (*traced)[i * strides[dim]] == (*traced)[0] + i;
    if (runs)
      return dim;
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Numbers that are added to rows of scores
//===----------------------------------------------------------------------===//

/// The array that `op` adds constants to, multiplies with constants or hides.
static Value skipElementwise(linalg::LinalgOp op) {
  if (!op || op.getNumReductionLoops() || op->getNumResults() != 1 ||
      op.hasIndexSemantics() || !op.getIndexingMapsArray().back().isIdentity())
    return {};
  auto getConstant = [&](Value scalar) {
    OpOperand *operand = getBodyInput(op, scalar);
    return getSplat(operand ? operand->get() : scalar);
  };
  Value scalar = op.getBlock()->getTerminator()->getOperand(0);
  while (!getBodyInput(op, scalar)) {
    Operation *inner = scalar.getDefiningOp();
    if (!inner || inner->getBlock() != op.getBlock())
      return {};
    if (auto choice = dyn_cast<arith::SelectOp>(inner)) {
      auto onTrue = getConstant(choice.getTrueValue());
      auto onFalse = getConstant(choice.getFalseValue());
      if (onTrue.has_value() == onFalse.has_value() ||
          (onTrue ? *onTrue : *onFalse) > kHidden)
        return {};
      scalar = onTrue ? choice.getFalseValue() : choice.getTrueValue();
    } else if (isa<arith::MulFOp, arith::DivFOp>(inner)) {
      bool second = getConstant(inner->getOperand(1)).has_value();
      if (!second &&
          (isa<arith::DivFOp>(inner) || !getConstant(inner->getOperand(0))))
        return {};
      scalar = inner->getOperand(second ? 0 : 1);
    } else {
      return {};
    }
  }
  OpOperand *operand = getBodyInput(op, scalar);
  return op.getMatchingIndexingMap(operand).isIdentity() ? operand->get()
                                                         : Value();
}

/// Whether movement keeps rows: the last dimension last, whole.
static bool keepsRows(Operation *op) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
  if (!linalgOp && (typeOf(op->getOperand(0)).getRank() == 0 ||
                    typeOf(op->getResult(0)).getRank() == 0))
    return false;
  if (!linalgOp)
    return typeOf(op->getOperand(0)).getShape().back() ==
           typeOf(op->getResult(0)).getShape().back();
  auto maps = linalgOp.getIndexingMapsArray();
  return maps[0].getNumResults() && maps[1].getNumResults() &&
         maps[0].getResults().back() == maps[1].getResults().back();
}

/// Whether only the softmax whose numerators are `numerators` sees `product`,
/// so that numbers added to its rows change nothing.
static bool isSoftmaxOf(Value numerators, Value product) {
  auto exponent = matchNumerators(numerators);
  if (!exponent || typeOf(product).getRank() == 0)
    return false;
  Value value = exponent->scores;
  // The maximum and the difference.
  unsigned uses = 2;
  while (value && std::distance(value.use_begin(), value.use_end()) <= uses) {
    if (value == product)
      return true;
    uses = 1;
    Operation *op = value.getDefiningOp();
    Value moved = op ? getMovedValue(op) : Value();
    if (moved && !keepsRows(op))
      return false;
    value =
        moved ? moved : skipElementwise(dyn_cast_or_null<linalg::LinalgOp>(op));
  }
  return false;
}

//===----------------------------------------------------------------------===//
// Pairs
//===----------------------------------------------------------------------===//

/// An array whose last dimension has the channels, and these.
static std::optional<std::pair<Value, Channels>>
findScaledArray(const Product &product, ArrayRef<unsigned> loops,
                const Channels &byKeys) {
  linalg::LinalgOp op = product.op;
  Value value = op->getResult(0);
  auto channels = spread(op, getResultView(op), loops, byKeys);
  while (channels && typeOf(value).getRank() > 0) {
    int64_t width = typeOf(value).getShape().back();
    auto last = pairUp(numberChannels(value, width), *channels, width);
    if (last)
      return std::pair(value, *last);
    if (!value.hasOneUse() || getMovedValue(*value.user_begin()) != value)
      break;
    channels = moveChannels(*value.user_begin(), *channels);
    value = (*value.user_begin())->getResult(0);
  }
  return std::nullopt;
}

static bool isAlone(const ProductOperand &operand, ArrayRef<Product> products) {
  int64_t count = 0;
  for (const Product &product : products)
    for (const ProductOperand &other : product.operands)
      count += other.name == operand.name;
  return count == 1;
}

static bool isShiftable(const Product &product, ArrayRef<Product> products) {
  linalg::LinalgOp op = product.op;
  return llvm::any_of(products, [&](const Product &other) {
    return llvm::any_of(other.operands, [&](const ProductOperand &operand) {
      return operand.isNumerators &&
             isSoftmaxOf(operand.source, op->getResult(0));
    });
  });
}

/// Whether the last dimension of the scores is one of the held operand alone.
static bool scoresAlongHeld(linalg::LinalgOp op, unsigned held) {
  AffineMap result = getResultView(op).map;
  if (result.getNumResults() == 0)
    return false;
  auto last = dyn_cast<AffineDimExpr>(result.getResults().back());
  return last && getView(op, held).map.isFunctionOfDim(last.getPosition()) &&
         !getView(op, 1 - held).map.isFunctionOfDim(last.getPosition());
}

/// The channels of `other`, or else those of its last two dimensions, by the
/// held channels `met` that its elements meet.
static std::optional<Channels> pairOther(const ProductOperand &other,
                                         const Channels &met) {
  ArrayRef<int64_t> shape = typeOf(other.source).getShape();
  std::optional<Channels> pairs;
  int64_t count = 1;
  for (int64_t size : llvm::reverse(shape.take_back(2))) {
    count *= size;
    auto traced = pairs ? std::nullopt : traceChannels(other, count);
    if (traced)
      pairs = pairUp(*traced, met, count);
  }
  return pairs;
}

std::optional<ChannelPairing>
mlir::spikequant::pairChannels(const Product &product,
                               ArrayRef<Product> products) {
  linalg::LinalgOp op = product.op;
  unsigned held = product.operands[0].insertion ? 0 : 1;
  const ProductOperand &other = product.operands[1 - held];
  if (!product.operands[held].insertion || other.insertion ||
      !isAlone(product.operands[held], products))
    return std::nullopt;
  ChannelPairing pairing{held,
                         countGroupedChannels(product, held),
                         !other.isNumerators,
                         false,
                         {}};
  auto channels = traceChannels(product.operands[held], pairing.heldChannels);
  if (!channels)
    return std::nullopt;
  View view = getView(op, held);
  View partner = pairing.contracted ? getView(op, 1 - held) : getResultView(op);
  SmallVector<unsigned> loops = getSharedLoops(view.map, partner.map);
  auto byKeys = byKey(op, view, loops, *channels);
  if (!byKeys)
    return std::nullopt;
  if (!pairing.contracted) {
    auto scaled = findScaledArray(product, loops, *byKeys);
    if (!scaled)
      return std::nullopt;
    pairing.partners = std::move(scaled->second);
    return pairing;
  }
  if (!isAlone(other, products))
    return std::nullopt;
  auto met = spread(op, partner, loops, *byKeys);
  auto pairs = met ? pairOther(other, *met) : std::nullopt;
  if (!pairs)
    return std::nullopt;
  pairing.partners = std::move(*pairs);
  pairing.shiftable =
      scoresAlongHeld(op, held) && isShiftable(product, products);
  return pairing;
}

Value mlir::spikequant::getScaledArray(const Product &product,
                                       const ChannelPairing &pairing) {
  linalg::LinalgOp op = product.op;
  View view = getView(op, pairing.held);
  SmallVector<unsigned> loops = getSharedLoops(view.map, getResultView(op).map);
  auto channels =
      traceChannels(product.operands[pairing.held], pairing.heldChannels);
  auto byKeys = channels ? byKey(op, view, loops, *channels) : std::nullopt;
  auto scaled =
      byKeys ? findScaledArray(product, loops, *byKeys) : std::nullopt;
  return scaled ? scaled->first : Value();
}
