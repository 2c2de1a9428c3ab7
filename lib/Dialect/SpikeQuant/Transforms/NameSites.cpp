//===- NameSites.cpp - find and name quantisable contractions
//-----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_NAMESITES
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {
struct NameSitesPass : impl::NameSitesBase<NameSitesPass> {
  void runOnOperation() override {}
};
} // namespace
} // namespace mlir::spikequant
