//===- FoldScales.cpp - scales move into the next threshold ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %s = %x * broadcast %r : per row
//   %y = %s * broadcast %w : per channel
//   %n = spikequant.encode %y {step = 0.5 : f32, site = "q.in"}
// becomes
//   %n = spikequant.encode %x row_scale(%r) {gains = @w, step = .., site = ..}
//
//   %y = spikequant.decode %acc, @w ..
//   %z = max(%y + broadcast %b, 0)
//   %n = spikequant.encode %z ..
// becomes
//   %n = spikequant.fire %acc {thresholds = ..}
//
// For each encode the forms of its input are found (see ScaleForm.h); the
// farthest one that its threshold can hold is taken.
//
//===----------------------------------------------------------------------===//

#include "FoldScales.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "mlir/Transforms/RegionUtils.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_FOLDSCALES
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

LogicalResult foldEncodes(
    ModuleOp module, StringRef weights,
    function_ref<LogicalResult(EncodeOp, ConstantReals &, FoldContext)> fold) {
  ConstantReals constants(module);
  if (!weights.empty())
    if (llvm::Error failure = constants.open(weights))
      return module.emitError()
             << "option 'weights': " << llvm::toString(std::move(failure));
  IRRewriter rewriter(module.getContext());
  for (auto function : module.getOps<func::FuncOp>()) {
    SmallVector<EncodeOp> encodes;
    function.walk([&](EncodeOp op) { encodes.push_back(op); });
    for (EncodeOp op : encodes)
      if (failed(fold(op, constants, {module, function, rewriter})))
        return failure();
    (void)runRegionDCE(rewriter, function->getRegions());
  }
  eraseUnusedWeights(module);
  return success();
}

namespace {

struct FoldScalesPass : impl::FoldScalesBase<FoldScalesPass> {
  using FoldScalesBase::FoldScalesBase;

  void runOnOperation() override {
    if (failed(foldEncodes(getOperation(), weights, fold)))
      signalPassFailure();
  }

private:
  static LogicalResult fold(EncodeOp op, ConstantReals &constants,
                            FoldContext context) {
    std::vector<ScaleForm> forms = findScaleForms(op.getInput(), constants);
    for (const ScaleForm &form : llvm::reverse(forms))
      if (canFire(op, form, constants))
        return foldIntoFire(op, form, constants, context);
    for (const ScaleForm &form : llvm::reverse(forms)) {
      if (form.isTrivial() || form.rectified)
        continue;
      return foldIntoEncode(op, form, constants, context);
    }
    return success();
  }
};

} // namespace
} // namespace mlir::spikequant
