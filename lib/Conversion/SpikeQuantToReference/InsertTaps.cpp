//===- InsertTaps.cpp - shows the integers of every site -----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/IR/Builders.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_SPIKEQUANTINSERTTAPS
#include "spikequant/Conversion/Passes.h.inc"

namespace {

void observe(OpBuilder &builder, Location loc, Value value, const Twine &site) {
  if (value)
    ObserveOp::create(builder, loc, value, builder.getStringAttr(site));
}

struct InsertTapsPass : impl::SpikeQuantInsertTapsBase<InsertTapsPass> {
  using SpikeQuantInsertTapsBase::SpikeQuantInsertTapsBase;

  void runOnOperation() override {
    getOperation()->walk([&](Operation *op) {
      OpBuilder builder(op->getContext());
      if (auto encode = dyn_cast<EncodeOp>(op))
        tapEncode(builder, encode);
      else if (auto fire = dyn_cast<FireOp>(op))
        tapFire(builder, fire);
      else if (auto exponent = dyn_cast<ExponentOp>(op))
        tapExponent(builder, exponent);
      else if (auto integrate = dyn_cast<IntegrateOp>(op))
        tapIntegrate(builder, integrate);
    });
  }

  void tapEncode(OpBuilder &builder, EncodeOp op) {
    StringRef site = op.getSite();
    Location loc = op.getLoc();
    if (inputs) {
      builder.setInsertionPoint(op);
      observe(builder, loc, op.getInput(), site + ".x");
      observe(builder, loc, op.getRowScale(), site + ".row_scale");
    }
    builder.setInsertionPointAfter(op);
    observe(builder, loc, op.getCounts(), site + ".counts");
  }

  void tapFire(OpBuilder &builder, FireOp op) {
    if (!op.getSite())
      return;
    builder.setInsertionPointAfter(op);
    observe(builder, op.getLoc(), op.getCounts(), *op.getSite() + ".counts");
  }

  void tapExponent(OpBuilder &builder, ExponentOp op) {
    builder.setInsertionPointAfter(op);
    observe(builder, op.getLoc(), op.getCounts(), op.getSite() + ".counts");
  }

  void tapIntegrate(OpBuilder &builder, IntegrateOp op) {
    builder.setInsertionPointAfter(op);
    observe(builder, op.getLoc(), op.getMembrane(), op.getWeights() + ".acc");
  }
};

} // namespace
} // namespace mlir::spikequant
