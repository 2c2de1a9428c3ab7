//===- VerifyDequantFree.cpp - real numbers only in named islands ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Analysis/Islands.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "llvm/ADT/StringSet.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_VERIFYDEQUANTFREE
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

struct VerifyDequantFreePass
    : impl::VerifyDequantFreeBase<VerifyDequantFreePass> {
  using VerifyDequantFreeBase::VerifyDequantFreeBase;

  LogicalResult initialize(MLIRContext *context) override {
    for (const std::string &name : allow)
      if (!isIslandName(name))
        return emitError(UnknownLoc::get(context))
               << "option 'allow': no island is called '" << name << "'";
    return success();
  }

  void runOnOperation() override {
    bool anyLeft = false;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal())
        for (const Island &island : findIslands(function).islands)
          if (!isAllowed(island.kind)) {
            anyLeft = true;
            report(island);
          }
    if (anyLeft && !list)
      signalPassFailure();
    markAllAnalysesPreserved();
  }

private:
  bool isAllowed(IslandKind kind) {
    return isNamedIsland(kind) ||
           llvm::is_contained(allow, getIslandName(kind));
  }

  /// One diagnostic per island, and one note per further operation if they are
  /// listed.
  void report(const Island &island) {
    Operation *first = island.operations.front();
    InFlightDiagnostic diagnostic = list ? mlir::emitWarning(first->getLoc())
                                         : mlir::emitError(first->getLoc());
    diagnostic << "'" << first->getName() << "' starts a real-valued island '"
               << getIslandName(island.kind) << "' of "
               << island.operations.size()
               << " operations: " << getIslandReason(island.kind);
    for (Operation *op : llvm::drop_begin(ArrayRef(island.operations)))
      diagnostic.attachNote(op->getLoc()) << "'" << op->getName() << "'";
  }
};

} // namespace
} // namespace mlir::spikequant
