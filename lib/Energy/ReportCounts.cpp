//===- ReportCounts.cpp - prints and writes operation counts --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectLayers.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Energy/Passes.h"
#include "spikequant/Pipelines/PackWeights.h"

using namespace llvm;
namespace sq = ::spikequant;

namespace mlir::spikequant {
#define GEN_PASS_DEF_REPORTCOUNTS
#include "spikequant/Energy/Passes.h.inc"

namespace {

struct ReportCountsPass : impl::ReportCountsBase<ReportCountsPass> {
  using ReportCountsBase::ReportCountsBase;

  void runOnOperation() override {
    markAllAnalysesPreserved();
    if (failed(report()))
      signalPassFailure();
  }

private:
  LogicalResult report() {
    ModuleOp module = getOperation();
    if (assumedWindow < 1 || assumedWindow > 32767)
      return emitError(module.getLoc())
             << "assumed-window must be 1 to 32767, not "
             << assumedWindow.getValue();
    FailureOr<func::FuncOp> graph = findGraph();
    if (failed(graph))
      return failure();
    CountSources sources;
    sources.assumedWindow = assumedWindow;
    Expected<sq::PackedFile> packed = openWeights();
    if (!packed)
      return emitError(module.getLoc()) << toString(packed.takeError());
    sources.weights = &*packed;
    if (Error failed = readSources(sources))
      return emitError(module.getLoc()) << toString(std::move(failed));
    auto layers = collectLayers(*graph, sources);
    if (failed(layers))
      return failure();
    sq::CountsReport report;
    report.name = graph->getName().str();
    report.layers = std::move(*layers);
    report.others = countRealOperations(*graph, report.unknownLoops);
    return write(report);
  }

  FailureOr<func::FuncOp> findGraph() {
    SmallVector<func::FuncOp> found;
    std::string names;
    for (auto candidate : getOperation().getOps<func::FuncOp>()) {
      if (!candidate.isPublic() || candidate.isDeclaration())
        continue;
      names += (names.empty() ? "" : ", ") + candidate.getName().str();
      if (function.empty() || candidate.getName() == function)
        found.push_back(candidate);
    }
    if (found.size() == 1)
      return found.front();
    return emitError(getOperation().getLoc())
           << "choose one of these graphs with function=..: " << names;
  }

  /// The packed file, or literals packed into one that is gone at once.
  Expected<sq::PackedFile> openWeights() {
    if (!weights.empty())
      return sq::PackedFile::open(weights, /*verifyChecksum=*/false);
    OwningOpRef<ModuleOp> copy = getOperation().clone();
    return packTemporarily(*copy, "");
  }

  Error readSources(CountSources &sources) {
    if (!recorded.empty()) {
      Expected<sq::NpzArrays> arrays = sq::readNpz(recorded);
      if (!arrays)
        return arrays.takeError();
      sources.recorded = std::move(*arrays);
    }
    if (!calibration.empty()) {
      Expected<sq::CalibrationData> data = sq::loadCalibration(calibration);
      if (!data)
        return data.takeError();
      sources.calibration = std::move(*data);
    }
    return Error::success();
  }

  LogicalResult write(const sq::CountsReport &report) {
    sq::printCounts(report, errs());
    if (json.empty())
      return success();
    Error failed = writeToOutput(json, [&](raw_ostream &os) {
      json::OStream stream(os, /*IndentSize=*/1);
      sq::writeCounts(report, stream);
      os << "\n";
      return Error::success();
    });
    if (failed)
      return emitError(getOperation().getLoc()) << toString(std::move(failed));
    return success();
  }
};

} // namespace
} // namespace mlir::spikequant
