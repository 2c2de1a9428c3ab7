//===- WeightsToSymbols.cpp - weight arguments become symbols -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   func.func @f(%x: .., %w: tensor<4x8xf32> {spikequant.weight = "up"})
// becomes
//   spikequant.weights @up : tensor<4x8xf32> format(..) source("up")
//   func.func @f(%x: ..) {
//     %w = spikequant.load_weights @up : tensor<4x8xf32>
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/IR/LinalgInterfaces.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Transforms/WalkPatternRewriteDriver.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/InlineResources.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/xxhash.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_WEIGHTSTOSYMBOLS
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

/// The key of a weight argument, null for other arguments. Fails with a
/// diagnostic if the attribute or the type is unusable.
FailureOr<StringAttr> getWeightKey(func::FuncOp function, unsigned index) {
  Attribute attribute = function.getArgAttr(index, kWeightAttr);
  if (!attribute)
    return StringAttr();
  BlockArgument argument = function.getArgument(index);
  auto key = dyn_cast<StringAttr>(attribute);
  auto type = dyn_cast<RankedTensorType>(argument.getType());
  if (!key || key.getValue().empty())
    return emitError(argument.getLoc())
           << "WGT-C3: '" << kWeightAttr << "' of argument " << index
           << " must be the weight's name, a string that is not empty";
  if (!type || !type.hasStaticShape())
    return emitError(argument.getLoc())
           << "WGT-C4: weight '" << key.getValue()
           << "' must be a tensor of static shape, not " << argument.getType();
  return key;
}

/// Weight arguments of one function become loads at its entry.
LogicalResult convertArguments(func::FuncOp function, ModuleOp module) {
  BitVector erased(function.getNumArguments());
  auto builder = OpBuilder::atBlockBegin(&function.front());
  auto format = RealAttr::get(module.getContext());
  for (BlockArgument argument : function.getArguments()) {
    FailureOr<StringAttr> key = getWeightKey(function, argument.getArgNumber());
    if (failed(key))
      return failure();
    if (!*key)
      continue;
    auto type = cast<RankedTensorType>(argument.getType());
    FailureOr<WeightsOp> weights =
        getOrCreateWeights(module, argument.getLoc(), key->getValue(),
                           {type, format, *key, nullptr, nullptr, nullptr});
    if (failed(weights))
      return failure();
    auto load = LoadWeightsOp::create(builder, argument.getLoc(), type,
                                      weights->getSymName());
    argument.replaceAllUsesWith(load);
    erased.set(argument.getArgNumber());
  }
  if (erased.any() && !SymbolTable::symbolKnownUseEmpty(function, module))
    return function.emitError() << "has weight arguments and is called; inline "
                                   "it into its callers first";
  return function.eraseArguments(erased);
}

/// Bytes of a constant that can live in the packed file as they are.
ArrayRef<char> getConstantBytes(Attribute attribute) {
  auto elements = dyn_cast<ElementsAttr>(attribute);
  if (!elements || !isa<RankedTensorType>(elements.getShapedType()))
    return {};
  Type type = elements.getElementType();
  if (!type.isIntOrFloat() || type.getIntOrFloatBitWidth() % 8 != 0)
    return {};
  return getLiteralBytes(attribute);
}

/// Whether `value` is an input of a contraction, moved or converted at most.
bool reachesContraction(Value value) {
  return llvm::any_of(value.getUses(), [](OpOperand &use) {
    Operation *user = use.getOwner();
    if (isa<tensor::CastOp, tensor::CollapseShapeOp, tensor::ExpandShapeOp,
            tensor::ExtractSliceOp>(user))
      return reachesContraction(user->getResult(0));
    bool isGather = isa<tensor::ExtractOp>(user);
    auto op = dyn_cast<linalg::LinalgOp>(isGather ? user->getParentOp() : user);
    if (!op || !op.hasPureTensorSemantics() ||
        (!isGather && !op.isDpsInput(&use)))
      return false;
    if (!isGather && (linalg::isaContractionOpInterface(op) ||
                      linalg::isaConvolutionOpInterface(op)))
      return true;
    return op.getNumDpsInputs() <= 1 && op.getNumReductionLoops() == 0 &&
           op->getNumResults() == 1 && reachesContraction(op->getResult(0));
  });
}

/// The name depends on the data only, so that graphs share their constants.
std::string getConstantName(Type type, ArrayRef<char> bytes) {
  std::string name;
  llvm::raw_string_ostream os(name);
  os << "constant." << type;
  uint64_t hash = llvm::xxh3_64bits(
      ArrayRef(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size()));
  os << '.' << llvm::format_hex_no_prefix(hash, 16);
  llvm::erase_if(
      name, [](char c) { return !llvm::isAlnum(c) && c != '.' && c != '_'; });
  return name;
}

/// Whether a constant is the weight of a contraction.
bool isWeight(arith::ConstantOp op, uint64_t minElements) {
  auto type = cast<RankedTensorType>(op.getType());
  return type.getRank() >= 2 && isa<FloatType>(type.getElementType()) &&
         type.getNumElements() >= static_cast<int64_t>(minElements) &&
         reachesContraction(op);
}

LogicalResult convertConstant(arith::ConstantOp op, ModuleOp module,
                              uint64_t maxBytes, uint64_t minElements) {
  ArrayRef<char> bytes = getConstantBytes(op.getValue());
  if (bytes.empty() || (bytes.size() <= maxBytes && !isWeight(op, minElements)))
    return success();
  auto type = cast<RankedTensorType>(op.getType());
  auto value = cast<ElementsAttr>(op.getValue());
  FailureOr<WeightsOp> weights =
      getOrCreateWeights(module, op.getLoc(), getConstantName(type, bytes),
                         {type, RealAttr::get(module.getContext()), nullptr,
                          nullptr, nullptr, value});
  if (failed(weights))
    return failure();
  OpBuilder builder(op);
  auto load =
      LoadWeightsOp::create(builder, op.getLoc(), type, weights->getSymName());
  op.replaceAllUsesWith(load.getResult());
  op.erase();
  return success();
}

struct WeightsToSymbolsPass : impl::WeightsToSymbolsBase<WeightsToSymbolsPass> {
  using WeightsToSymbolsBase::WeightsToSymbolsBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (failed(inlineResources(module)))
      return signalPassFailure();
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isExternal() && function.isPublic() &&
          failed(convertArguments(function, module)))
        return signalPassFailure();
    WalkResult walked = module.walk([&](arith::ConstantOp op) {
      return WalkResult(
          convertConstant(op, module, maxConstantBytes, minWeightElements));
    });
    if (walked.wasInterrupted())
      return signalPassFailure();
    RewritePatternSet patterns(&getContext());
    populateFoldWeightTransposePatterns(patterns);
    FrozenRewritePatternSet frozen(std::move(patterns));
    for (auto function : module.getOps<func::FuncOp>())
      walkAndApplyPatterns(function, frozen);
    eraseUnusedLoads(module);
    eraseUnusedWeights(module);
  }

  static void eraseUnusedLoads(ModuleOp module) {
    module.walk([](LoadWeightsOp op) {
      if (op.use_empty())
        op.erase();
    });
  }
};

} // namespace
} // namespace mlir::spikequant
