//===- InsertObservers.cpp - show encode sites to the host ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %q = linalg.matmul {spikequant.site = "q"} ins(%x, %wq) ..
//   %k = linalg.matmul {spikequant.site = "k"} ins(%x, %wk) ..
// becomes
//   spikequant.observe %x {site = "q.in"} : ..
//   %q = ..
//   %k = ..
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_INSERTOBSERVERS
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

void observe(func::FuncOp function) {
  RowForms seen;
  SmallVector<Attribute> names;
  OpBuilder builder(function.getContext());
  for (Site site : getNamedSites(function)) {
    if (!seen.insert(site.activation).second)
      continue;
    Location loc = site.op.getLoc();
    auto name = builder.getStringAttr(getEncodeSiteName(site.op));
    builder.setInsertionPoint(getEncodePoint(site));
    ObserveOp::create(builder, loc, buildRows(builder, loc, site.activation),
                      name);
    names.push_back(name);
  }
  for (auto &[name, value] : findProductInputs(function)) {
    builder.setInsertionPointAfterValue(value);
    auto attribute = builder.getStringAttr(name);
    ObserveOp::create(builder, value.getLoc(), value, attribute);
    names.push_back(attribute);
  }
  function->setAttr(kSitesAttr, builder.getArrayAttr(names));
}

struct InsertObserversPass : impl::InsertObserversBase<InsertObserversPass> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal())
        observe(function);
  }
};

} // namespace
} // namespace mlir::spikequant
