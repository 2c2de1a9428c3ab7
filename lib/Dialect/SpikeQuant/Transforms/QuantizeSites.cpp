//===- QuantizeSites.cpp - sites become encode, integrate, decode ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Elementwise.h"
#include "RemarkLocation.h"
#include "RowShape.h"
#include "SiteBiases.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Quantize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/Remarks.h"
#include "mlir/Transforms/RegionUtils.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

using namespace mlir;
using namespace mlir::spikequant;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

FailureOr<WeightsOp>
mlir::spikequant::getOrCreateCodes(ModuleOp module, WeightsOp weights,
                                   const WeightView &view,
                                   const WeightFormats &formats) {
  auto type = RankedTensorType::get(view.getShape(),
                                    Float32Type::get(module.getContext()));
  FailureOr<WeightsContent> viewed = viewContent(weights, view, type);
  if (failed(viewed))
    return weights.emitError() << "its literal value cannot be read";
  WeightsContent content = *viewed;
  CodeFormat format{formats.bits, formats.group};
  auto chosen = formats.plan.find(getWeightPlanKey(weights.getSymName(), view));
  if (formats.heads.contains(weights.getSymName()))
    format.bits = formats.headBits;
  else if (chosen != formats.plan.end())
    format = chosen->second;
  content.format = CodesAttr::get(module.getContext(), format.bits,
                                  format.group, /*symmetric=*/false);
  std::string base =
      (content.source ? content.source.getValue() : weights.getSymName()).str();
  base += view.getBoxName() + ".codes";
  // Two views of one source need two symbols.
  std::string name = base;
  for (unsigned i = 2;; ++i, name = base + "." + std::to_string(i)) {
    Operation *existing = module.lookupSymbol(name);
    auto codes = dyn_cast_or_null<WeightsOp>(existing);
    if (!existing || (codes && WeightsContent::of(codes) == content))
      return getOrCreateWeights(module, weights.getLoc(), name, content);
  }
}

/// Whether the result of `op` is returned, reshaped at most.
static bool isReturned(Operation *op) {
  return llvm::any_of(op->getUsers(), [](Operation *user) {
    if (isa<func::ReturnOp>(user))
      return true;
    return isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp,
               tensor::ExtractSliceOp, tensor::CastOp>(user) &&
           isReturned(user);
  });
}

llvm::StringSet<> mlir::spikequant::findHeads(ModuleOp module) {
  llvm::StringSet<> heads;
  for (auto function : module.getOps<func::FuncOp>()) {
    for (Site site : getNamedSites(function))
      if (isReturned(site.op))
        heads.insert(site.getSymbol());
    function.walk([&](linalg::GenericOp op) {
      if (std::optional<RowGather> gather = matchRowGather(op))
        heads.insert(gather->table.getWeights());
    });
  }
  return heads;
}

//===----------------------------------------------------------------------===//
// Sites
//===----------------------------------------------------------------------===//

namespace {

/// An encoded activation.
struct Encoded {
  std::string name;
  /// [M, K] i16; [P, R, K] or [P, K] for slices.
  Value counts;
  float step;
  /// f32 per row, multiplies the decoded rows; null if there is none.
  Value rowFactor;
  /// Of the site's plan; empty if there are none.
  ArrayRef<float> offsets;
};

class SiteQuantizer {
public:
  SiteQuantizer(func::FuncOp function, const SitePlan &plan,
                QuantizeMethod method, const WeightFormats &formats,
                SiteBiases &biases)
      : function(function), module(function->getParentOfType<ModuleOp>()),
        plan(plan), method(method), formats(formats), biases(biases),
        rewriter(function.getContext()) {}

  LogicalResult run();

private:
  LogicalResult quantize(Site site);
  FailureOr<Value> integrate(Site site, const Encoded &input);
  FailureOr<Encoded> encode(Site site);
  FailureOr<Encoded> encodeStatic(Site site, Value rows);
  Encoded encodeRows(Site site, Value rows);
  FailureOr<FlatSymbolRefAttr> getBits(Location loc, StringRef name,
                                       ArrayRef<int8_t> bits);
  FailureOr<FlatSymbolRefAttr> getArray(Location loc, const Twine &name,
                                        DenseElementsAttr values);
  FailureOr<Value> addBias(Site site, ArrayRef<float> offsets, Value result);
  void remarkEncoded(Site site, StringRef name, StringRef why);

  func::FuncOp function;
  ModuleOp module;
  const SitePlan &plan;
  QuantizeMethod method;
  const WeightFormats &formats;
  SiteBiases &biases;
  IRRewriter rewriter;
  RowForms forms;
  /// By the number of the row form.
  SmallVector<Encoded> encoded;
  SmallVector<Attribute> names;
};

Value createConstant(OpBuilder &builder, Location loc, float value) {
  return arith::ConstantOp::create(builder, loc,
                                   builder.getF32FloatAttr(value));
}

/// max_j |x[..][j]| per row.
Value createRowMaximum(OpBuilder &builder, Location loc, Value rows) {
  auto type = cast<RankedTensorType>(rows.getType());
  int64_t rank = type.getRank();
  Value empty = tensor::EmptyOp::create(
      builder, loc, type.getShape().drop_back(), type.getElementType());
  Value zero = createConstant(builder, loc, 0.0f);
  Value init = linalg::FillOp::create(builder, loc, zero, empty).getResult(0);
  auto identity = AffineMap::getMultiDimIdentityMap(rank, builder.getContext());
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  loops.back() = utils::IteratorType::reduction;
  auto op = linalg::GenericOp::create(
      builder, loc, init.getType(), rows, init,
      ArrayRef<AffineMap>{identity, identity.getMajorSubMap(rank - 1)}, loops,
      [](OpBuilder &b, Location l, ValueRange arguments) {
        Value magnitude = math::AbsFOp::create(b, l, arguments[0]);
        linalg::YieldOp::create(
            b, l,
            Value(arith::MaximumFOp::create(b, l, arguments[1], magnitude)));
      });
  return op.getResult(0);
}

} // namespace

void SiteQuantizer::remarkEncoded(Site site, StringRef name, StringRef why) {
  remark::passed(getRemarkLocation(site.op.getLoc()),
                 remark::RemarkOpts::name("encode-site")
                     .category("spikequant-quantize")
                     .function(function.getSymName()))
      << remark::add("site '{0}': {1}", name, why);
}

FailureOr<FlatSymbolRefAttr>
SiteQuantizer::getBits(Location loc, StringRef name, ArrayRef<int8_t> bits) {
  if (bits.empty())
    return FlatSymbolRefAttr();
  auto type = RankedTensorType::get(static_cast<int64_t>(bits.size()),
                                    rewriter.getI8Type());
  return getArray(loc, name + ".bits", DenseElementsAttr::get(type, bits));
}

FailureOr<FlatSymbolRefAttr> SiteQuantizer::getArray(Location loc,
                                                     const Twine &name,
                                                     DenseElementsAttr values) {
  FailureOr<WeightsOp> symbol =
      getOrCreateWeights(module, loc, name.str(),
                         {cast<RankedTensorType>(values.getType()),
                          RealAttr::get(rewriter.getContext()), nullptr,
                          nullptr, nullptr, cast<ElementsAttr>(values)});
  if (failed(symbol))
    return failure();
  return FlatSymbolRefAttr::get(symbol->getSymNameAttr());
}

FailureOr<Encoded> SiteQuantizer::encodeStatic(Site site, Value rows) {
  std::string name = getEncodeSiteName(site.op);
  auto it = plan.decisions.find(name);
  if (it == plan.decisions.end())
    return site.op.emitError() << "no step was chosen for '" << name << "'";
  const SiteDecision &decision = it->second;
  Location loc = site.op.getLoc();
  FailureOr<FlatSymbolRefAttr> bits = getBits(loc, name, decision.bits);
  if (failed(bits))
    return failure();
  FailureOr<FlatSymbolRefAttr> centres = FlatSymbolRefAttr();
  if (llvm::any_of(decision.centres, [](float z) { return z != 0.0f; })) {
    auto type = RankedTensorType::get(
        static_cast<int64_t>(decision.centres.size()), rewriter.getF32Type());
    centres = getArray(
        loc, name + ".centres",
        DenseElementsAttr::get(type, ArrayRef<float>(decision.centres)));
  }
  if (failed(centres))
    return failure();
  auto type = cast<RankedTensorType>(rows.getType());
  Value counts = EncodeOp::create(
      rewriter, loc, type.clone(rewriter.getI16Type()), rows, Value(),
      rewriter.getF32FloatAttr(decision.step), rewriter.getStringAttr(name),
      *bits, nullptr, *centres, rewriter.getI32IntegerAttr(decision.tolerance),
      nullptr, nullptr);
  remarkEncoded(site, name, decision.why);
  return Encoded{name, counts, decision.step, Value(), decision.offsets};
}

/// Each row becomes counts -7..7 of its largest magnitude. Rows below 1e-30,
/// whose reciprocal may overflow, become 0.
Encoded SiteQuantizer::encodeRows(Site site, Value rows) {
  std::string name = getEncodeSiteName(site.op);
  Location loc = site.op.getLoc();
  Value maximum = createRowMaximum(rewriter, loc, rows);
  Value seven = createConstant(rewriter, loc, 7.0f);
  Value one = createConstant(rewriter, loc, 1.0f);
  Value tiny = createConstant(rewriter, loc, 1e-30f);
  Value scale = createElementwise(
      rewriter, loc, maximum, rewriter.getF32Type(),
      [&](OpBuilder &b, Location l, ValueRange in) -> Value {
        Value isTiny =
            arith::CmpFOp::create(b, l, arith::CmpFPredicate::OLT, in[0], tiny);
        Value reciprocal = arith::DivFOp::create(b, l, seven, in[0]);
        return arith::SelectOp::create(b, l, isTiny, one, reciprocal);
      });
  Value factor =
      createElementwise(rewriter, loc, maximum, rewriter.getF32Type(),
                        [&](OpBuilder &b, Location l, ValueRange in) -> Value {
                          return arith::DivFOp::create(b, l, in[0], seven);
                        });
  auto type = cast<RankedTensorType>(rows.getType());
  Value counts = EncodeOp::create(
      rewriter, loc, type.clone(rewriter.getI16Type()), rows, scale,
      rewriter.getF32FloatAttr(1.0f), rewriter.getStringAttr(name), nullptr,
      nullptr, nullptr, rewriter.getI32IntegerAttr(0), nullptr, nullptr);
  remarkEncoded(site, name, "each row scaled by 7 / max |x|, 4 bits");
  return {name, counts, 1.0f, factor, {}};
}

FailureOr<Encoded> SiteQuantizer::encode(Site site) {
  auto [number, isNew] = forms.insert(site.activation);
  if (!isNew)
    return encoded[number];
  rewriter.setInsertionPoint(getEncodePoint(site));
  Location loc = site.op.getLoc();
  Value rows = buildRows(rewriter, loc, site.activation);
  if (site.activation.slices == 0)
    rows = flattenRows(rewriter, loc, rows);
  FailureOr<Encoded> result = method == QuantizeMethod::Spike
                                  ? encodeStatic(site, rows)
                                  : FailureOr<Encoded>(encodeRows(site, rows));
  if (failed(result))
    return failure();
  names.push_back(rewriter.getStringAttr(result->name));
  encoded.push_back(*result);
  return result;
}

/// Whether a contraction starts from zero.
static bool startsFromZero(Value init) {
  if (auto fill = init.getDefiningOp<linalg::FillOp>())
    return matchPattern(fill.getInputs()[0], m_AnyZeroFloat());
  return matchPattern(init, m_AnyZeroFloat());
}

/// Erases the operation behind `value`, and those before it, as far as nobody
/// uses them: the real weights.
static void eraseDead(RewriterBase &rewriter, Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !op->use_empty() || !isMemoryEffectFree(op))
    return;
  SetVector<Value> operands(op->operand_begin(), op->operand_end());
  getUsedValuesDefinedAbove(op->getRegions(), operands);
  rewriter.eraseOp(op);
  for (Value operand : operands)
    eraseDead(rewriter, operand);
}

/// What the offsets of the inputs give behind the matrix is added.
FailureOr<Value> SiteQuantizer::addBias(Site site, ArrayRef<float> offsets,
                                        Value result) {
  if (offsets.empty())
    return result;
  FailureOr<WeightsOp> symbol = biases.get(site, offsets);
  if (failed(symbol))
    return failure();
  Location loc = site.op.getLoc();
  Value bias = LoadWeightsOp::create(rewriter, loc, symbol->getArrayType(),
                                     symbol->getSymName());
  auto type = cast<RankedTensorType>(result.getType());
  int64_t rank = type.getRank();
  auto identity = rewriter.getMultiDimIdentityMap(rank);
  AffineMap channel =
      AffineMap::get(rank, 0, rewriter.getAffineDimExpr(rank - 1));
  Value empty = tensor::EmptyOp::create(rewriter, loc, type.getShape(),
                                        type.getElementType());
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  auto sum = linalg::GenericOp::create(
      rewriter, loc, type, ValueRange{result, bias}, empty,
      ArrayRef<AffineMap>{identity, channel, identity}, loops,
      [](OpBuilder &b, Location l, ValueRange in) {
        linalg::YieldOp::create(
            b, l, Value(arith::AddFOp::create(b, l, in[0], in[1])));
      });
  return sum.getResult(0);
}

/// Counts to the real results of their rows.
FailureOr<Value> SiteQuantizer::integrate(Site site, const Encoded &input) {
  Location loc = site.op.getLoc();
  FailureOr<WeightsOp> codes = getOrCreateCodes(
      module, lookupWeights(module, site.getSymbol()), site.codes, formats);
  if (failed(codes))
    return failure();
  SmallVector<int64_t> shape(
      cast<RankedTensorType>(input.counts.getType()).getShape());
  shape.back() = site.outputs;
  auto realType = RankedTensorType::get(shape, rewriter.getF32Type());
  Value index = buildStackIndex(rewriter, loc, site);
  Value membrane =
      IntegrateOp::create(rewriter, loc, realType.clone(rewriter.getI64Type()),
                          input.counts, codes->getSymName(), index, nullptr);
  Value result =
      DecodeOp::create(rewriter, loc, realType, membrane, codes->getSymName(),
                       index, APFloat(input.step));
  if (!input.rowFactor)
    return addBias(site, input.offsets, result);
  return createElementwise(
      rewriter, loc, {result, input.rowFactor}, realType.getElementType(),
      [](OpBuilder &b, Location l, ValueRange in) -> Value {
        return arith::MulFOp::create(b, l, in[0], in[1]);
      });
}

LogicalResult SiteQuantizer::quantize(Site site) {
  Location loc = site.op.getLoc();
  FailureOr<Encoded> input = encode(site);
  if (failed(input))
    return failure();
  rewriter.setInsertionPoint(site.op);
  FailureOr<Value> results = integrate(site, *input);
  if (failed(results))
    return failure();
  Value result = buildResult(rewriter, loc, site, *results);
  Value init = site.op.getDpsInits()[0];
  if (!startsFromZero(init))
    result =
        createElementwise(rewriter, loc, {result, init}, rewriter.getF32Type(),
                          [](OpBuilder &b, Location l, ValueRange in) -> Value {
                            return arith::AddFOp::create(b, l, in[0], in[1]);
                          });
  SmallVector<Value> inputs = site.op.getDpsInputs();
  rewriter.replaceOp(site.op, result);
  for (Value value : inputs)
    if (value != site.activation.value)
      eraseDead(rewriter, value);
  return success();
}

LogicalResult SiteQuantizer::run() {
  // A site's input may be the result of one before: looks at one after another.
  for (linalg::LinalgOp op : getNamedOperations(function)) {
    std::optional<Contraction> contraction = classifyContraction(op);
    if (contraction && contraction->kind == Contraction::Kind::Site &&
        failed(quantize(contraction->site)))
      return failure();
  }
  function->setAttr(kSitesAttr, rewriter.getArrayAttr(names));
  return success();
}

LogicalResult mlir::spikequant::quantizeSites(func::FuncOp function,
                                              const SitePlan &plan,
                                              QuantizeMethod method,
                                              const WeightFormats &formats,
                                              SiteBiases &biases) {
  return SiteQuantizer(function, plan, method, formats, biases).run();
}
