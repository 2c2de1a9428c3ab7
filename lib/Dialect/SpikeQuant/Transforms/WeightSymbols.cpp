//===- WeightSymbols.cpp - creating and viewing weights symbols -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::spikequant;

WeightsContent WeightsContent::of(WeightsOp op) {
  return {op.getArrayType(),       op.getFormat(),   op.getSourceAttr(),
          op.getPermutationAttr(), op.getViewAttr(), op.getValueAttr()};
}

bool WeightsContent::operator==(const WeightsContent &other) const {
  return type == other.type && format == other.format &&
         source == other.source && permutation == other.permutation &&
         view == other.view && value == other.value;
}

WeightsOp mlir::spikequant::lookupWeights(ModuleOp module, StringRef name) {
  return module.lookupSymbol<WeightsOp>(name);
}

/// Weights come first in the module, in order of creation.
static void setInsertionPointForWeights(OpBuilder &builder, ModuleOp module) {
  Block *body = module.getBody();
  auto first =
      llvm::find_if(*body, [](Operation &op) { return !isa<WeightsOp>(op); });
  builder.setInsertionPoint(body, first);
}

FailureOr<WeightsOp>
mlir::spikequant::getOrCreateWeights(ModuleOp module, Location loc,
                                     StringRef name,
                                     const WeightsContent &content) {
  if (Operation *existing = module.lookupSymbol(name)) {
    auto weights = dyn_cast<WeightsOp>(existing);
    if (weights && WeightsContent::of(weights) == content)
      return weights;
    InFlightDiagnostic diag =
        emitError(loc) << "weight '" << name << "' of type " << content.type
                       << " conflicts with another use of the name";
    if (weights)
      diag.attachNote(existing->getLoc())
          << "there it has type " << weights.getArrayType();
    else
      diag.attachNote(existing->getLoc()) << "it names this operation";
    return failure();
  }
  OpBuilder builder(module.getContext());
  setInsertionPointForWeights(builder, module);
  return WeightsOp::create(builder, loc, name, content.type, content.format,
                           content.source, content.permutation, content.view,
                           content.value);
}

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

ArrayRef<char> mlir::spikequant::getLiteralBytes(Attribute value) {
  if (auto dense = dyn_cast_or_null<DenseIntOrFPElementsAttr>(value))
    return dense.isSplat() ? ArrayRef<char>() : dense.getRawData();
  if (auto resource = dyn_cast_or_null<DenseResourceElementsAttr>(value))
    if (AsmResourceBlob *blob = resource.getRawHandle().getBlob())
      return blob->getData();
  return {};
}

/// Narrow floating-point numbers as f32, exactly.
static AsmResourceBlob extendToF32(ArrayRef<char> narrow, FloatType type) {
  size_t bytes = type.getWidth() / 8, count = narrow.size() / bytes;
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocate(count * sizeof(float), 64);
  auto *out = reinterpret_cast<float *>(blob.getMutableData().data());
  for (size_t i = 0; i < count; ++i) {
    uint64_t bits = 0;
    std::memcpy(&bits, narrow.data() + i * bytes, bytes);
    APFloat value(type.getFloatSemantics(), APInt(type.getWidth(), bits));
    bool losesInfo;
    value.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven,
                  &losesInfo);
    out[i] = value.convertToFloat();
  }
  return blob;
}

static FailureOr<ElementsAttr>
viewLiteral(ElementsAttr value, const WeightView &view, RankedTensorType type) {
  Type element = value.getElementType();
  if (auto splat = dyn_cast<SplatElementsAttr>(value);
      splat && element == type.getElementType())
    return cast<ElementsAttr>(splat.resizeSplat(type));
  ArrayRef<char> bytes = getLiteralBytes(value);
  if (bytes.empty() || bytes.size() % value.getNumElements() != 0 ||
      element.getIntOrFloatBitWidth() % 8 != 0)
    return failure();
  size_t elementBytes = bytes.size() / value.getNumElements();
  AsmResourceBlob blob =
      HeapAsmResourceBlob::allocate(type.getNumElements() * elementBytes, 64);
  view.gather(bytes, elementBytes, blob.getMutableData().data());
  if (element != type.getElementType()) {
    auto narrow = dyn_cast<FloatType>(element);
    if (!narrow || !type.getElementType().isF32())
      return failure();
    blob = extendToF32(blob.getData(), narrow);
  }
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(value))
    return cast<ElementsAttr>(DenseResourceElementsAttr::get(
        type, resource.getRawHandle().getKey(), std::move(blob)));
  return cast<ElementsAttr>(
      DenseElementsAttr::getFromRawBuffer(type, blob.getData()));
}

FailureOr<WeightsContent> mlir::spikequant::viewContent(WeightsOp weights,
                                                        const WeightView &view,
                                                        RankedTensorType type) {
  WeightsContent content = WeightsContent::of(weights);
  content.type = type;
  content.permutation = nullptr;
  content.view = nullptr;
  if (content.value) {
    FailureOr<ElementsAttr> value = viewLiteral(content.value, view, type);
    if (failed(value))
      return failure();
    content.value = *value;
  }
  if (!content.source)
    return content;
  std::optional<SmallVector<int64_t>> permutation = view.getPermutation();
  if (!permutation)
    content.view = view.getAttr(type.getContext());
  else if (!isIdentityPermutation(*permutation))
    content.permutation =
        DenseI64ArrayAttr::get(type.getContext(), *permutation);
  return content;
}

/// `base` for the identity, else `base.t` and the digits of the permutation.
static std::string getViewName(StringRef base, ArrayRef<int64_t> permutation) {
  if (isIdentityPermutation(permutation))
    return base.str();
  std::string name = (base + ".t").str();
  for (int64_t dimension : permutation)
    name += std::to_string(dimension);
  return name;
}

/// Narrow weights that are read as f32 are another symbol.
constexpr llvm::StringLiteral kExtended = ".f32";

static std::string getBaseName(WeightsOp weights, StringRef source) {
  std::string extended = (source + kExtended).str();
  return weights.getSymName().starts_with(extended) ? extended : source.str();
}

FailureOr<WeightsOp>
mlir::spikequant::getOrCreateTransposed(ModuleOp module, WeightsOp weights,
                                        ArrayRef<int64_t> permutation) {
  RankedTensorType type = weights.getArrayType();
  FailureOr<WeightsContent> view = viewContent(
      weights, WeightView::of(weights).permute(permutation),
      RankedTensorType::get(applyPermutation(type.getShape(), permutation),
                            type.getElementType()));
  if (failed(view))
    return failure();
  std::string name;
  if (view->source && view->permutation)
    name = getViewName(getBaseName(weights, view->source.getValue()),
                       view->permutation.asArrayRef());
  else if (view->source)
    name = getBaseName(weights, view->source.getValue());
  else
    name = getViewName(weights.getSymName(), permutation);
  return getOrCreateWeights(module, weights.getLoc(), name, *view);
}

void mlir::spikequant::eraseUnusedWeights(ModuleOp module) {
  llvm::DenseSet<StringAttr> used;
  if (auto uses = SymbolTable::getSymbolUses(&module.getBodyRegion()))
    for (const SymbolTable::SymbolUse &use : *uses)
      used.insert(use.getSymbolRef().getRootReference());
  else
    return; // An unknown operation may refer to anything.
  for (WeightsOp op : llvm::make_early_inc_range(module.getOps<WeightsOp>()))
    if (!used.contains(op.getSymNameAttr()))
      op.erase();
}

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

namespace {

/// The permutation of an op that only transposes its one input.
std::optional<SmallVector<int64_t>> matchTranspose(linalg::LinalgOp op) {
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op.getOperation()))
    return SmallVector<int64_t>(transpose.getPermutation());
  if (auto generic = dyn_cast<linalg::GenericOp>(op.getOperation()))
    if (generic.getNumDpsInputs() == 1 && generic.getNumDpsInits() == 1)
      return linalg::isaTransposeOpInterface(generic);
  return std::nullopt;
}

struct FoldTransposeOfWeights : OpInterfaceRewritePattern<linalg::LinalgOp> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;

  LogicalResult matchAndRewrite(linalg::LinalgOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics() || op.getNumDpsInputs() != 1)
      return failure();
    auto load = op.getDpsInputOperand(0)->get().getDefiningOp<LoadWeightsOp>();
    std::optional<SmallVector<int64_t>> permutation = matchTranspose(op);
    if (!load || !permutation || isIdentityPermutation(*permutation))
      return failure();
    auto module = op->getParentOfType<ModuleOp>();
    WeightsOp weights = lookupWeights(module, load.getWeights());
    if (!weights)
      return failure();
    FailureOr<WeightsOp> view =
        getOrCreateTransposed(module, weights, *permutation);
    if (failed(view))
      return failure();
    rewriter.replaceOpWithNewOp<LoadWeightsOp>(op, op->getResult(0).getType(),
                                               view->getSymName());
    return success();
  }
};

/// Whether `op` does nothing but convert its input to f32.
bool isExtensionToF32(linalg::GenericOp op) {
  if (op.getNumDpsInputs() != 1 || op.getNumDpsInits() != 1 ||
      !llvm::all_of(op.getIndexingMapsArray(),
                    [](AffineMap map) { return map.isIdentity(); }))
    return false;
  auto extension = op.getBody()
                       ->getTerminator()
                       ->getOperand(0)
                       .getDefiningOp<arith::ExtFOp>();
  return extension && extension.getType().isF32() &&
         extension.getIn() == op.getBody()->getArgument(0);
}

/// The packer converts f16 and bf16 to f32 exactly.
struct FoldExtensionOfWeights : OpRewritePattern<linalg::GenericOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(linalg::GenericOp op,
                                PatternRewriter &rewriter) const override {
    if (!op.hasPureTensorSemantics() || !isExtensionToF32(op))
      return failure();
    auto load = op.getDpsInputs()[0].getDefiningOp<LoadWeightsOp>();
    auto module = op->getParentOfType<ModuleOp>();
    WeightsOp weights =
        load ? lookupWeights(module, load.getWeights()) : WeightsOp();
    if (!weights || !weights.getSource())
      return failure();
    auto type = cast<RankedTensorType>(op.getResult(0).getType());
    WeightsContent content = WeightsContent::of(weights);
    content.type = type;
    std::string name = (*weights.getSource() + kExtended).str();
    if (auto permutation = weights.getPermutation())
      name = getViewName(name, *permutation);
    FailureOr<WeightsOp> view =
        getOrCreateWeights(module, weights.getLoc(), name, content);
    if (failed(view))
      return failure();
    rewriter.replaceOpWithNewOp<LoadWeightsOp>(op, type, view->getSymName());
    return success();
  }
};

} // namespace

void mlir::spikequant::populateFoldWeightTransposePatterns(
    RewritePatternSet &patterns) {
  patterns.add<FoldTransposeOfWeights, FoldExtensionOfWeights>(
      patterns.getContext());
}
