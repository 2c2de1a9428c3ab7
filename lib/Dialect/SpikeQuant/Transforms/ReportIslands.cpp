//===- ReportIslands.cpp - list where real numbers remain -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Nothing changes in the IR. A line per kind of island goes to standard output:
//
//   norm row      1   3   0   ..  a norm needs one reciprocal ..
//
//===----------------------------------------------------------------------===//

#include "spikequant/Analysis/Islands.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_REPORTISLANDS
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

struct ReportIslandsPass : impl::ReportIslandsBase<ReportIslandsPass> {
  using ReportIslandsBase::ReportIslandsBase;

  void runOnOperation() override {
    llvm::json::Array graphs;
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isExternal())
        continue;
      IslandReport report = findIslands(function);
      if (json.empty())
        printIslands(report, llvm::outs());
      else
        graphs.push_back(describeIslands(report));
    }
    if (!json.empty() && failed(write(std::move(graphs))))
      signalPassFailure();
    markAllAnalysesPreserved();
  }

  LogicalResult write(llvm::json::Array graphs) {
    llvm::json::Value root(llvm::json::Object{{"graphs", std::move(graphs)}});
    llvm::Error failure =
        llvm::writeToOutput(json, [&](llvm::raw_ostream &out) {
          out << llvm::formatv("{0:2}\n", root);
          return llvm::Error::success();
        });
    if (!failure)
      return success();
    return emitError(UnknownLoc::get(&getContext()))
           << "option 'json': '" << json
           << "' cannot be written: " << llvm::toString(std::move(failure));
  }
};

} // namespace
} // namespace mlir::spikequant
