//===- Quantize.cpp - the quantisation pass -------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %w = spikequant.load_weights @up : tensor<64x8xf32>
//   %y = linalg.matmul {spikequant.site = "up"} ins(%x, %w ..
// becomes
//   %n = spikequant.encode %x {site = "up.in", step = .., bits = @up.in.bits,
//   ..} %acc = spikequant.integrate %n, @up.codes %y = spikequant.decode %acc,
//   @up.codes {step = ..}
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Quantize.h"

#include "SiteBiases.h"

#include "mlir/Pass/PassManager.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_QUANTIZE
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

struct QuantizePass : impl::QuantizeBase<QuantizePass> {
  using QuantizeBase::QuantizeBase;

  LogicalResult initialize(MLIRContext *context) override;
  void runOnOperation() override;

private:
  LogicalResult nameSitesIfNeeded();
  FailureOr<SitePlan> makePlan(const MatrixReader &reader);
  FailureOr<WeightFormats> getFormats();
  void setOffsets(const SitePlan &plan);
  QuantizeMethod getMethod() {
    return method == "rtn" ? QuantizeMethod::RoundToNearest
                           : QuantizeMethod::Spike;
  }

  ::spikequant::AllocationOptions allocation;
};

llvm::StringSet<> getSiteWeights(ModuleOp module) {
  llvm::StringSet<> weights;
  for (auto function : module.getOps<func::FuncOp>())
    for (const Site &site : getNamedSites(function))
      weights.insert(site.getSymbol());
  return weights;
}

/// Weights that several encode sites are multiplied with. They are rounded for
/// none of them in particular, and so do not allow for what an offset leaves.
llvm::StringSet<> findShared(ModuleOp module) {
  llvm::StringMap<std::string> inputs;
  llvm::StringSet<> shared;
  for (auto function : module.getOps<func::FuncOp>()) {
    RowForms forms;
    std::vector<std::string> names;
    for (Site site : getNamedSites(function)) {
      auto [number, isNew] = forms.insert(site.activation);
      if (isNew)
        names.push_back(getEncodeSiteName(site.op));
      auto [known, first] = inputs.try_emplace(site.getSymbol(), names[number]);
      if (known->second != names[number])
        shared.insert(site.getSymbol());
    }
  }
  return shared;
}

} // namespace

LogicalResult QuantizePass::initialize(MLIRContext *context) {
  auto fail = [&](const Twine &message) {
    return emitError(UnknownLoc::get(context)) << message;
  };
  if (method != "spike" && method != "rtn")
    return fail("option 'method' must be 'spike' or 'rtn', not '" + method +
                "'");
  if (tolerance > 1)
    return fail("option 'tolerance' must be 0 or 1");
  if (weightBits < 1 || weightBits > 8 || headBits < 1 || headBits > 8)
    return fail("options 'weight-bits' and 'head-bits' must be 1 to 8");
  if (weightBudget != 0 && !(weightBudget >= 2 && weightBudget <= 16))
    return fail("option 'weight-budget' must be 2 to 16 bits, or 0 for none");
  if (group % 8 != 0)
    return fail("option 'group' must be 0 or a multiple of 8");
  auto isWidth = [](unsigned bits) {
    return bits == 0 || (bits > 1 && bits < 9);
  };
  if (!isWidth(attentionBits) || !isWidth(cacheBits))
    return fail(
        "options 'attention-bits' and 'cache-bits' must be 0 or 2 to 8");
  auto stepRule = ::spikequant::parseStepRule(rule);
  if (!stepRule)
    return fail("option 'rule': " + llvm::toString(stepRule.takeError()));
  auto by = ::spikequant::parseBudgetBy(budgetBy);
  if (!by)
    return fail("option 'budget-by': " + llvm::toString(by.takeError()));
  allocation.rule = *stepRule;
  allocation.budgetBy = *by;
  allocation.meanBits = bits;
  allocation.tolerance = tolerance;
  allocation.madFactor = madFactor;
  allocation.fineCentres = fineCentres;
  allocation.percentile = percentile;
  return success();
}

/// On a module whose sites were not named yet, does the stages before.
LogicalResult QuantizePass::nameSitesIfNeeded() {
  ModuleOp module = getOperation();
  if (module->hasAttr(kSitesNamedAttr))
    return success();
  OpPassManager stages(ModuleOp::getOperationName());
  stages.addPass(createWeightsToSymbols());
  stages.addPass(createNameSites());
  return runPipeline(stages, module);
}

FailureOr<SitePlan> QuantizePass::makePlan(const MatrixReader &reader) {
  ModuleOp module = getOperation();
  llvm::StringSet<> shared = findShared(module);
  FailureOr<SmallVector<EncodeSite>> sites =
      collectEncodeSites(module, [&](const Site &site) {
        return centres && !shared.contains(site.getSymbol()) &&
               SiteBiases::isPossible(module, reader, site);
      });
  if (failed(sites))
    return failure();
  if (getMethod() == QuantizeMethod::RoundToNearest)
    return SitePlan();
  if (calibration.empty())
    return emitError(module.getLoc())
           << "option 'calibration' must name the file that `spikequant "
              "calibrate` wrote";
  return planFromCalibration(module, *sites, calibration, allocation);
}

FailureOr<WeightFormats> QuantizePass::getFormats() {
  WeightFormats formats;
  formats.bits = weightBits;
  formats.group = group;
  formats.headBits = headBits;
  formats.heads = findHeads(getOperation());
  if (weightBudget == 0)
    return formats;
  FailureOr<WeightPlan> plan = planWeights(
      getOperation(), formats.heads, {weightBudget, weights, calibration});
  if (failed(plan))
    return failure();
  formats.plan = std::move(*plan);
  return formats;
}

/// For those who round the weights.
void QuantizePass::setOffsets(const SitePlan &plan) {
  Builder b(&getContext());
  NamedAttrList sites;
  for (const auto &[name, decision] : plan.decisions)
    if (!decision.offsets.empty())
      sites.append(name, b.getDenseF32ArrayAttr(decision.offsets));
  if (!sites.empty())
    getOperation()->setAttr(kOffsetsAttr, sites.getDictionary(&getContext()));
}

void QuantizePass::runOnOperation() {
  ModuleOp module = getOperation();
  if (failed(nameSitesIfNeeded()))
    return signalPassFailure();
  MatrixReader reader(module);
  if (!weights.empty())
    if (llvm::Error error = reader.open(weights)) {
      module.emitError() << "option 'weights': "
                         << llvm::toString(std::move(error));
      return signalPassFailure();
    }
  FailureOr<SitePlan> plan = makePlan(reader);
  if (failed(plan))
    return signalPassFailure();
  ProductOptions products{attentionBits, cacheBits ? cacheBits : attentionBits};
  if (getMethod() == QuantizeMethod::Spike &&
      failed(quantizeProducts(module, calibration, products)))
    return signalPassFailure();
  FailureOr<WeightFormats> formats = getFormats();
  if (failed(formats))
    return signalPassFailure();
  llvm::StringSet<> siteWeights = getSiteWeights(module);
  SiteBiases biases(module, reader);
  for (auto function : module.getOps<func::FuncOp>()) {
    if (function.isExternal())
      continue;
    if (failed(
            convertGathers(function, *formats, lookupMinBytes, siteWeights)) ||
        failed(quantizeSites(function, *plan, getMethod(), *formats, biases)))
      return signalPassFailure();
  }
  setOffsets(*plan);
  if (plan->predicted)
    module->setAttr(kPredictedAttr, plan->predicted);
  module.walk([](LoadWeightsOp op) {
    if (op.use_empty())
      op.erase();
  });
  eraseUnusedWeights(module);
}

} // namespace mlir::spikequant
