//===- QuantizeProducts.cpp - products of activations from counts ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %s = linalg.batch_matmul {spikequant.product = "v.qk"} ins(%q, %k)
// becomes
//   %a = spikequant.encode %q {site = "v.qk.left", overflow = saturate, ..}
//   %b = spikequant.encode %k {site = "v.qk.right", overflow = saturate, ..}
//   %n = linalg.generic ins(%a, %b as i8) : products and sums in i32
//   %s = f32(%n) * (step of %a * step of %b)
//
// The left operand of a product with probabilities is the softmax's numerators
// in steps of 1/255; instead of dividing each of them by their sum, the result
// is divided by the sum of their counts. Of a long row, where many keys have a
// little each, the point between two counts differs by key (getSpread).
//
//===----------------------------------------------------------------------===//

#include "Elementwise.h"
#include "FoldScales.h"
#include "Nibbles.h"
#include "ProductSteps.h"
#include "RemarkLocation.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/RegionUtils.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// A factor as i8.
struct Factor {
  Value counts;
  float step;
  bool isUnsigned;
  int64_t largest;
};

class ProductQuantizer {
public:
  ProductQuantizer(func::FuncOp function, const ProductSteps &steps)
      : function(function), module(function->getParentOfType<ModuleOp>()),
        steps(steps), b(function.getContext()) {}

  LogicalResult run(ArrayRef<Product> products);

private:
  LogicalResult quantize(const Product &product);
  LogicalResult scaleChannels(const Product &product);
  FailureOr<Factor> getFactor(const ProductOperand &operand);
  FailureOr<Factor> encode(const ProductOperand &operand);
  FailureOr<FlatSymbolRefAttr> getBits(Location loc, unsigned bits,
                                       int64_t channels);
  FailureOr<FlatSymbolRefAttr> getSpread(Location loc, float step,
                                         int64_t keys);
  Value groupChannels(Value source, const ProductStep &step);
  Value ungroupChannels(Value counts, Value source);
  Value narrow(Value counts, bool isUnsigned);
  Value replay(ArrayRef<Operation *> path, Value value);
  Value insertIntoState(const ProductOperand &operand, Value counts);
  Value multiply(linalg::LinalgOp op, ArrayRef<Factor> factors);
  Value sumRows(Location loc, const Factor &factor);
  Value decode(linalg::LinalgOp op, Value membrane, ArrayRef<Factor> factors);
  Value createGeneric(Location loc, ValueRange inputs, Value init,
                      ArrayRef<AffineMap> maps,
                      ArrayRef<utils::IteratorType> loops,
                      function_ref<Value(OpBuilder &, Location, ValueRange)>);
  Value zeros(Location loc, ArrayRef<int64_t> shape, Type type);
  void remarkQuantized(const Product &product, ArrayRef<Factor> factors);

  func::FuncOp function;
  ModuleOp module;
  const ProductSteps &steps;
  IRRewriter b;
  llvm::DenseMap<Value, Factor> encoded;
  /// Results of products that stand in for those of the graph: a factor may be
  /// one. The old operations live until all products are done.
  llvm::DenseMap<Value, Value> decoded;
  llvm::DenseMap<Operation *, Value> states;
  llvm::DenseSet<Operation *> packedStates;
};

RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

Value real(OpBuilder &b, Location loc, float value) {
  return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value));
}

SmallVector<utils::IteratorType> parallel(int64_t count) {
  return SmallVector<utils::IteratorType>(count, utils::IteratorType::parallel);
}

} // namespace

//===----------------------------------------------------------------------===//
// Counts
//===----------------------------------------------------------------------===//

Value ProductQuantizer::createGeneric(
    Location loc, ValueRange inputs, Value init, ArrayRef<AffineMap> maps,
    ArrayRef<utils::IteratorType> loops,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  auto op = linalg::GenericOp::create(
      b, loc, init.getType(), inputs, init, maps, loops,
      [&](OpBuilder &builder, Location inner, ValueRange arguments) {
        linalg::YieldOp::create(builder, inner,
                                body(builder, inner, arguments));
      });
  return op.getResult(0);
}

Value ProductQuantizer::zeros(Location loc, ArrayRef<int64_t> shape,
                              Type type) {
  Value empty = tensor::EmptyOp::create(b, loc, shape, type);
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(type));
  return linalg::FillOp::create(b, loc, zero, empty).getResult(0);
}

/// The same bits for all channels.
FailureOr<FlatSymbolRefAttr>
ProductQuantizer::getBits(Location loc, unsigned bits, int64_t channels) {
  auto type = RankedTensorType::get(channels, b.getI8Type());
  auto value = DenseElementsAttr::get(type, static_cast<int8_t>(bits));
  std::string name =
      "bits." + std::to_string(bits) + "x" + std::to_string(channels);
  FailureOr<WeightsOp> symbol =
      getOrCreateWeights(module, loc, name,
                         {type, RealAttr::get(b.getContext()), nullptr, nullptr,
                          nullptr, cast<ElementsAttr>(value)});
  if (failed(symbol))
    return failure();
  return FlatSymbolRefAttr::get(symbol->getSymNameAttr());
}

/// Centres that make the count of an x >= 0 floor(x / step + d_j), with d_j
/// spread evenly over (0, 1) along the keys: the Weyl sequence of 40503 / 2^16,
/// the golden ratio. Rounding to nearest drops every numerator below half a
/// step, and with hundreds of keys that is a good part of their sum; so it is
/// kept by some keys for their neighbours. 0 and 1 stay exact.
FailureOr<FlatSymbolRefAttr>
ProductQuantizer::getSpread(Location loc, float step, int64_t keys) {
  std::vector<float> centres;
  for (int64_t j = 0; j < keys; ++j) {
    float d = (static_cast<float>(j * 40503 % 65536) + 0.5f) / 65536.0f;
    centres.push_back((0.5f - d) * step);
  }
  return getRealArray(module, loc, "spread." + std::to_string(keys), centres);
}

/// i16 to i8: exact for windows of 8 bits; numerators end at 255.
Value ProductQuantizer::narrow(Value counts, bool isUnsigned) {
  return createElementwise(
      b, counts.getLoc(), counts, b.getI8Type(),
      [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
        Value n = in[0];
        if (isUnsigned) {
          auto limit = [&](int64_t value) -> Value {
            return arith::ConstantOp::create(b, loc,
                                             b.getI16IntegerAttr(value));
          };
          n = arith::MaxSIOp::create(b, loc, n, limit(0));
          n = arith::MinSIOp::create(b, loc, n, limit(255));
        }
        return arith::TruncIOp::create(b, loc, b.getI8Type(), n);
      });
}

/// Gains of two dimensions: as one.
Value ProductQuantizer::groupChannels(Value source, const ProductStep &step) {
  RankedTensorType type = typeOf(source);
  int64_t rank = type.getRank();
  if (step.gains.empty() ||
      static_cast<int64_t>(step.gains.size()) == type.getShape().back())
    return source;
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0; i + 1 < rank; ++i)
    groups.push_back({i});
  groups.back().push_back(rank - 1);
  return tensor::CollapseShapeOp::create(b, source.getLoc(), source, groups);
}

Value ProductQuantizer::ungroupChannels(Value counts, Value source) {
  RankedTensorType type = typeOf(source).clone(b.getI16Type());
  if (counts.getType() == type)
    return counts;
  auto groups = *getReassociationIndicesForCollapse(type.getShape(),
                                                    typeOf(counts).getShape());
  return tensor::ExpandShapeOp::create(b, source.getLoc(), type, counts,
                                       groups);
}

FailureOr<Factor> ProductQuantizer::encode(const ProductOperand &operand) {
  auto product = decoded.find(operand.source);
  Value shown = product == decoded.end() ? operand.source : product->second;
  auto known = encoded.find(shown);
  if (known != encoded.end())
    return known->second;
  const ProductStep &step = steps.at(operand.name);
  Location loc = shown.getLoc();
  b.setInsertionPointAfterValue(shown);
  Value source = groupChannels(shown, step);
  RankedTensorType type = typeOf(source);
  FlatSymbolRefAttr bits, gains, centres;
  OverflowAttr overflow;
  if (step.spread) {
    auto symbol = getSpread(loc, step.step, type.getShape().back());
    if (failed(symbol))
      return failure();
    centres = *symbol;
  }
  if (!operand.isNumerators) {
    auto symbol = getBits(loc, step.bits, type.getShape().back());
    if (failed(symbol))
      return failure();
    bits = *symbol;
    overflow = OverflowAttr::get(b.getContext(), Overflow::Saturate);
  }
  auto store = [&](StringRef suffix, ArrayRef<float> values,
                   FlatSymbolRefAttr &symbol) -> LogicalResult {
    if (values.empty())
      return success();
    auto made =
        getRealArray(module, loc, (operand.name + suffix).str(), values);
    if (succeeded(made))
      symbol = *made;
    return made;
  };
  if (failed(store(".step_gains", step.gains, gains)) ||
      failed(store(".step_centres", step.centres, centres)))
    return failure();
  Value counts = EncodeOp::create(
      b, loc, type.clone(b.getI16Type()), source, Value(),
      b.getF32FloatAttr(step.step), b.getStringAttr(operand.name), bits, gains,
      centres, b.getI32IntegerAttr(0), overflow, nullptr);
  int64_t largest =
      operand.isNumerators ? 255 : (int64_t(1) << (step.bits - 1)) - 1;
  counts = ungroupChannels(counts, shown);
  Factor factor{narrow(counts, operand.isNumerators), step.step,
                operand.isNumerators, largest};
  encoded[shown] = factor;
  return factor;
}

//===----------------------------------------------------------------------===//
// Movement and states
//===----------------------------------------------------------------------===//

/// The same movement of counts, where the operations stand.
Value ProductQuantizer::replay(ArrayRef<Operation *> path, Value value) {
  for (Operation *op : path) {
    b.setInsertionPoint(op);
    auto type = typeOf(op->getResult(0)).clone(b.getI8Type());
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      Value empty = tensor::EmptyOp::create(b, op->getLoc(), type.getShape(),
                                            b.getI8Type());
      value = createGeneric(
          op->getLoc(), value, empty, linalgOp.getIndexingMapsArray(),
          linalgOp.getIteratorTypesArray(),
          [](OpBuilder &, Location, ValueRange in) { return in[0]; });
      continue;
    }
    IRMapping mapping;
    mapping.map(op->getOperand(0), value);
    Operation *copy = b.clone(*op, mapping);
    copy->getResult(0).setType(type);
    value = copy->getResult(0);
  }
  return value;
}

/// The state holds counts from now on: argument, insertion and result.
Value ProductQuantizer::insertIntoState(const ProductOperand &operand,
                                        Value counts) {
  tensor::InsertSliceOp old = operand.insertion;
  Value &state = states[old];
  if (state)
    return state;
  std::optional<int64_t> packed;
  if (steps.at(operand.name).bits <= 4)
    packed = getPackedDimension(operand);
  BlockArgument argument = operand.getState();
  b.setInsertionPoint(old);
  SmallVector<OpFoldResult> sizes = old.getMixedSizes();
  SmallVector<int64_t> shape(typeOf(argument).getShape());
  if (packed) {
    shape[*packed] /= 2;
    sizes[*packed] = b.getIndexAttr(shape[*packed]);
    counts = packNibbles(b, counts, *packed);
  }
  argument.setType(RankedTensorType::get(shape, b.getI8Type()));
  Value bytes = tensor::InsertSliceOp::create(b, old.getLoc(), counts, argument,
                                              old.getMixedOffsets(), sizes,
                                              old.getMixedStrides());
  state = packed ? unpackNibbles(b, bytes, *packed) : bytes;
  if (packed)
    packedStates.insert(old);
  // Products are rewritten one by one; the old insertion dies with the last.
  old.getDestMutable().assign(
      tensor::EmptyOp::create(b, old.getLoc(), old.getType().getShape(),
                              old.getType().getElementType()));
  b.replaceUsesWithIf(old.getResult(), bytes, [](OpOperand &use) {
    return isa<func::ReturnOp>(use.getOwner());
  });
  return state;
}

FailureOr<Factor> ProductQuantizer::getFactor(const ProductOperand &operand) {
  FailureOr<Factor> factor = encode(operand);
  if (failed(factor))
    return failure();
  Factor result = *factor;
  result.counts = replay(operand.path, result.counts);
  if (operand.insertion)
    result.counts =
        replay(operand.afterState, insertIntoState(operand, result.counts));
  return result;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static Value extend(OpBuilder &b, Location loc, Type type, Value count,
                    bool isUnsigned) {
  if (isUnsigned)
    return arith::ExtUIOp::create(b, loc, type, count);
  return arith::ExtSIOp::create(b, loc, type, count);
}

static int64_t countTerms(linalg::LinalgOp op) {
  SmallVector<unsigned> loops;
  op.getReductionDims(loops);
  int64_t terms = 1;
  for (unsigned loop : loops)
    terms *= op.getStaticLoopRanges()[loop];
  return terms;
}

/// Exact: i32 where the largest counts cannot leave it, else i64.
Value ProductQuantizer::multiply(linalg::LinalgOp op,
                                 ArrayRef<Factor> factors) {
  int64_t limit = std::numeric_limits<int32_t>::max();
  bool fits =
      countTerms(op) <= limit / (factors[0].largest * factors[1].largest);
  Type type = fits ? b.getI32Type() : b.getI64Type();
  Location loc = op.getLoc();
  Value init = zeros(loc, typeOf(op->getResult(0)).getShape(), type);
  return createGeneric(
      loc, {factors[0].counts, factors[1].counts}, init,
      op.getIndexingMapsArray(), op.getIteratorTypesArray(),
      [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
        Value left = extend(b, loc, type, in[0], factors[0].isUnsigned);
        Value right = extend(b, loc, type, in[1], factors[1].isUnsigned);
        Value product = arith::MulIOp::create(b, loc, left, right);
        return arith::AddIOp::create(b, loc, in[2], product);
      });
}

/// Sums of the numerators' counts: one for each of the operand's loops that the
/// result has.
Value ProductQuantizer::sumRows(Location loc, const Factor &factor) {
  RankedTensorType type = typeOf(factor.counts);
  unsigned rank = type.getRank();
  auto identity = AffineMap::getMultiDimIdentityMap(rank, b.getContext());
  SmallVector<utils::IteratorType> loops = parallel(rank);
  loops.back() = utils::IteratorType::reduction;
  Value init = zeros(loc, type.getShape().drop_back(), b.getI32Type());
  return createGeneric(
      loc, factor.counts, init, {identity, identity.getMajorSubMap(rank - 1)},
      loops, [](OpBuilder &b, Location loc, ValueRange in) -> Value {
        Value count = arith::ExtUIOp::create(b, loc, b.getI32Type(), in[0]);
        return arith::AddIOp::create(b, loc, in[1], count);
      });
}

/// From dimensions of the result to those of operand `number` but its last.
static AffineMap getRowMap(linalg::LinalgOp op, unsigned number) {
  AffineMap result = op.getMatchingIndexingMap(op.getDpsInitOperand(0));
  AffineMap operand = op.getMatchingIndexingMap(op.getDpsInputOperand(number));
  SmallVector<AffineExpr> rows;
  for (AffineExpr expr : operand.getResults().drop_back())
    rows.push_back(
        getAffineDimExpr(*result.getResultPosition(expr), op.getContext()));
  return AffineMap::get(result.getNumResults(), 0, rows, op.getContext());
}

/// f32(membrane) times the steps; with probabilities, over their sum.
Value ProductQuantizer::decode(linalg::LinalgOp op, Value membrane,
                               ArrayRef<Factor> factors) {
  Location loc = op.getLoc();
  RankedTensorType type = typeOf(op->getResult(0));
  auto identity =
      AffineMap::getMultiDimIdentityMap(type.getRank(), b.getContext());
  SmallVector<Value> inputs = {membrane};
  SmallVector<AffineMap> maps = {identity};
  float scale = factors[0].step * factors[1].step;
  for (unsigned i = 0; i < 2; ++i)
    if (factors[i].isUnsigned) {
      Value sums = sumRows(loc, factors[i]);
      float step = factors[1 - i].step;
      inputs.push_back(createElementwise(
          b, loc, sums, b.getF32Type(),
          [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
            Value sum = arith::SIToFPOp::create(b, loc, b.getF32Type(), in[0]);
            return arith::DivFOp::create(b, loc, real(b, loc, step), sum);
          }));
      maps.push_back(getRowMap(op, i));
    }
  maps.push_back(identity);
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getF32Type());
  return createGeneric(
      loc, inputs, empty, maps, parallel(type.getRank()),
      [&](OpBuilder &b, Location loc, ValueRange in) -> Value {
        Value y = arith::SIToFPOp::create(b, loc, b.getF32Type(), in[0]);
        Value factor = inputs.size() > 1 ? in[1] : real(b, loc, scale);
        return arith::MulFOp::create(b, loc, y, factor);
      });
}

static bool startsFromZero(Value init) {
  auto fill = init.getDefiningOp<linalg::FillOp>();
  return matchPattern(fill ? fill.getInputs()[0] : init, m_AnyZeroFloat());
}

/// The channels of what the result is moved to get their steps.
LogicalResult ProductQuantizer::scaleChannels(const Product &product) {
  auto scale = steps.scales.find(product.name);
  if (scale == steps.scales.end())
    return success();
  Value array = getScaledArray(product, scale->second.pairing);
  Location loc = array.getLoc();
  b.setInsertionPointAfterValue(array);
  auto symbol = getRealArray(module, loc, product.name + ".scales",
                             scale->second.factors);
  if (failed(symbol))
    return failure();
  RankedTensorType type = typeOf(array);
  auto all = AffineMap::getMultiDimIdentityMap(type.getRank(), b.getContext());
  Value factors = LoadWeightsOp::create(
      b, loc, RankedTensorType::get(type.getShape().back(), b.getF32Type()),
      symbol->getAttr());
  Value empty =
      tensor::EmptyOp::create(b, loc, type.getShape(), b.getF32Type());
  Value scaled =
      createGeneric(loc, {array, factors}, empty,
                    {all, all.getMinorSubMap(1), all}, parallel(type.getRank()),
                    [](OpBuilder &b, Location loc, ValueRange in) -> Value {
                      return arith::MulFOp::create(b, loc, in[0], in[1]);
                    });
  b.replaceAllUsesExcept(array, scaled, scaled.getDefiningOp());
  return success();
}

LogicalResult ProductQuantizer::quantize(const Product &product) {
  linalg::LinalgOp op = product.op;
  SmallVector<Factor> factors;
  for (const ProductOperand &operand : product.operands) {
    FailureOr<Factor> factor = getFactor(operand);
    if (failed(factor))
      return failure();
    factors.push_back(*factor);
  }
  b.setInsertionPoint(op);
  Value membrane = multiply(op, factors);
  membrane.getDefiningOp()->setAttr(kProductAttr,
                                    b.getStringAttr(product.name));
  Value result = decode(op, membrane, factors);
  Value init = op.getDpsInits()[0];
  if (!startsFromZero(init))
    result = createElementwise(
        b, op.getLoc(), {result, init}, b.getF32Type(),
        [](OpBuilder &b, Location loc, ValueRange in) -> Value {
          return arith::AddFOp::create(b, loc, in[0], in[1]);
        });
  remarkQuantized(product, factors);
  LogicalResult scaled = scaleChannels(product);
  b.replaceAllUsesWith(op->getResult(0), result);
  decoded[op->getResult(0)] = result;
  return scaled;
}

void ProductQuantizer::remarkQuantized(const Product &product,
                                       ArrayRef<Factor> factors) {
  std::string text;
  for (auto [operand, factor] : llvm::zip(product.operands, factors)) {
    text += text.empty() ? "" : ", ";
    text += operand.name + " in steps of " + std::to_string(factor.step) +
            " up to " + std::to_string(factor.largest);
    const ProductStep &step = steps.at(operand.name);
    if (!step.gains.empty())
      text += ", times a gain for each of " +
              std::to_string(step.gains.size()) + " channels";
    if (!step.centres.empty())
      text += ", around centres";
    if (operand.insertion)
      text += packedStates.contains(operand.insertion)
                  ? ", held in a state, two a byte"
                  : ", held in a state";
  }
  linalg::LinalgOp op = product.op;
  remark::passed(getRemarkLocation(op.getLoc()),
                 remark::RemarkOpts::name("product-quantized")
                     .category("spikequant-quantize")
                     .function(function.getSymName()))
      << remark::add("product '{0}': {1}", product.name, text);
}

LogicalResult ProductQuantizer::run(ArrayRef<Product> products) {
  for (const Product &product : products)
    if (failed(quantize(product)))
      return failure();
  (void)runRegionDCE(b, function->getRegions());
  Block &body = function.getBody().front();
  function.setFunctionType(b.getFunctionType(
      body.getArgumentTypes(), body.getTerminator()->getOperandTypes()));
  return success();
}

//===----------------------------------------------------------------------===//
// The module
//===----------------------------------------------------------------------===//

static void remarkLeft(func::FuncOp function, linalg::LinalgOp op,
                       StringRef reason) {
  remark::missed(getRemarkLocation(op.getLoc()),
                 remark::RemarkOpts::name("product-left")
                     .category("spikequant-quantize")
                     .function(function.getSymName()))
      << remark::add("product '{0}' stays real: {1}",
                     op->getAttrOfType<StringAttr>(kProductAttr).getValue(),
                     reason);
}

LogicalResult
mlir::spikequant::quantizeProducts(ModuleOp module, StringRef calibration,
                                   const ProductOptions &options) {
  if (options.bits == 0)
    return success();
  SmallVector<std::pair<func::FuncOp, std::vector<Product>>> found;
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal())
      found.emplace_back(function,
                         findProducts(function, [&](auto op, StringRef why) {
                           remarkLeft(function, op, why);
                         }));
  if (llvm::all_of(found, [](auto &entry) { return entry.second.empty(); }))
    return success();
  FailureOr<ProductSteps> steps =
      chooseProductSteps(module, found, calibration, options);
  if (failed(steps))
    return failure();
  keepConsistent(found, *steps, remarkLeft);
  for (auto &[function, products] : found)
    if (failed(ProductQuantizer(function, *steps).run(products)))
      return failure();
  return success();
}
