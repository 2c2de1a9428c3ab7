//===- SitePlan.cpp - what quantisation decides for each site -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/SitePlan.h"

#include "mlir/IR/Builders.h"
#include "spikequant/Allocation/Solvers.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace mlir::spikequant;

/// The encode sites of one function.
static SmallVector<EncodeSite>
collectFromFunction(func::FuncOp function,
                    llvm::function_ref<bool(const Site &)> canBias) {
  RowForms forms;
  SmallVector<EncodeSite> sites;
  for (Site site : getNamedSites(function)) {
    auto [number, isNew] = forms.insert(site.activation);
    if (isNew)
      sites.push_back(
          {getEncodeSiteName(site.op), site.op.getLoc(), site.channels, 0});
    sites[number].fanOut += site.outputs;
    sites[number].biased &= canBias(site);
  }
  return sites;
}

FailureOr<SmallVector<EncodeSite>> mlir::spikequant::collectEncodeSites(
    ModuleOp module, llvm::function_ref<bool(const Site &)> canBias) {
  llvm::MapVector<StringRef, EncodeSite> all;
  SmallVector<SmallVector<EncodeSite>> perFunction;
  for (auto function : module.getOps<func::FuncOp>())
    perFunction.push_back(collectFromFunction(function, canBias));
  for (const SmallVector<EncodeSite> &sites : perFunction)
    for (const EncodeSite &site : sites) {
      auto [it, isNew] = all.insert({site.name, site});
      EncodeSite &first = it->second;
      first.biased &= site.biased;
      if (isNew ||
          (first.channels == site.channels && first.fanOut == site.fanOut))
        continue;
      InFlightDiagnostic diag =
          emitError(site.loc)
          << "encode site '" << site.name << "' has " << site.channels
          << " channels that drive " << site.fanOut
          << " outputs; every graph must use a site alike";
      diag.attachNote(first.loc) << "another graph has " << first.channels
                                 << " channels that drive " << first.fanOut;
      return failure();
    }
  return llvm::map_to_vector(all, [](auto &entry) { return entry.second; });
}

/// Adds the statistics of each site to `problem`.
static LogicalResult addSites(::spikequant::BitProblem &problem,
                              ArrayRef<EncodeSite> sites,
                              const ::spikequant::CalibrationData &data,
                              StringRef file) {
  // Sorted, so that the answer does not depend on the order of graphs.
  SmallVector<const EncodeSite *> sorted =
      llvm::map_to_vector(sites, [](const EncodeSite &site) { return &site; });
  llvm::sort(sorted, [](const EncodeSite *a, const EncodeSite *b) {
    return a->name < b->name;
  });
  for (const EncodeSite *site : sorted) {
    const ::spikequant::SiteStatistics *statistics = data.findSite(site->name);
    if (!statistics)
      return emitError(site->loc)
             << "calibration file '" << file << "' has no site '" << site->name
             << "'; calibrate this model again";
    if (statistics->getChannels() != site->channels)
      return emitError(site->loc)
             << "calibration file '" << file << "' has "
             << statistics->getChannels() << " channels for site '"
             << site->name << "', this model " << site->channels
             << "; calibrate this model again";
    problem.addSite(*statistics, static_cast<double>(site->fanOut),
                    site->biased);
  }
  return success();
}

static DictionaryAttr getPredicted(MLIRContext *context,
                                   const ::spikequant::BitSolution &solution) {
  Builder b(context);
  return b.getDictionaryAttr(
      {b.getNamedAttr("activation_bits",
                      b.getF64FloatAttr(solution.activationBits)),
       b.getNamedAttr("activation_bits_by_macs",
                      b.getF64FloatAttr(solution.activationBitsByMacs)),
       b.getNamedAttr("stored_bits", b.getF64FloatAttr(solution.storedBits)),
       b.getNamedAttr("salient", b.getF64FloatAttr(solution.salient))});
}

FailureOr<SitePlan> mlir::spikequant::planFromCalibration(
    ModuleOp module, ArrayRef<EncodeSite> sites, StringRef calibrationFile,
    const ::spikequant::AllocationOptions &options) {
  auto data = ::spikequant::loadSharedCalibration(calibrationFile);
  if (!data)
    return emitError(module.getLoc()) << llvm::toString(data.takeError());
  ::spikequant::BitProblem problem;
  problem.options = options;
  if (failed(addSites(problem, sites, **data, calibrationFile)))
    return failure();
  if (problem.sites.empty())
    return SitePlan();
  auto solution = ::spikequant::solve(problem);
  if (!solution)
    return emitError(module.getLoc()) << "choosing steps and bits: "
                                      << llvm::toString(solution.takeError());
  SitePlan plan;
  for (const ::spikequant::SiteSolution &site : solution->sites) {
    SiteDecision &decision = plan.decisions[site.name];
    decision.step = site.step;
    decision.bits.assign(site.bits.begin(), site.bits.end());
    decision.tolerance = options.tolerance;
    decision.centres = site.centres;
    decision.offsets = site.offsets;
    decision.why = ::spikequant::describe(problem, site);
  }
  plan.predicted = getPredicted(module.getContext(), *solution);
  return plan;
}
