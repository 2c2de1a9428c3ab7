//===- NameSites.cpp - find and name quantisable contractions -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %w = spikequant.load_weights @up
//   %y = linalg.matmul ins(%x, %w) ..
// becomes
//   %y = linalg.matmul {spikequant.site = "up"} ins(%x, %w) ..
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "mlir/IR/Remarks.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Regex.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_NAMESITES
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

/// Hands out names: the second user of `up` is `up.2`.
struct UniqueNames {
  std::string get(StringRef base) {
    unsigned count = ++uses[base];
    return count == 1 ? base.str() : (base + "." + Twine(count)).str();
  }
  llvm::StringMap<unsigned> uses;
};

/// Name of the `ordinal`th product of activations (from 0) after a site: an
/// attention has two.
std::string getProductName(StringRef site, unsigned ordinal) {
  if (ordinal < 2)
    return (site + (ordinal == 0 ? ".qk" : ".pv")).str();
  return (site + ".product" + Twine(ordinal)).str();
}

struct NameSitesPass : impl::NameSitesBase<NameSitesPass> {
  using NameSitesBase::NameSitesBase;

  LogicalResult initialize(MLIRContext *context) override {
    patterns = std::make_shared<std::vector<llvm::Regex>>();
    for (const std::string &pattern : leave) {
      std::string error;
      patterns->emplace_back(pattern);
      if (!patterns->back().isValid(error))
        return emitError(UnknownLoc::get(context))
               << "option 'leave': '" << pattern
               << "' is no regular expression: " << error;
    }
    return success();
  }

  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      nameSites(function);
    getOperation()->setAttr(kSitesNamedAttr, UnitAttr::get(&getContext()));
  }

  void nameSites(func::FuncOp function);
  void nameProducts(func::FuncOp function,
                    ArrayRef<std::pair<linalg::LinalgOp, bool>> order);
  std::string getWeightKey(Site site);
  std::optional<std::string> getReasonToLeave(Site site, StringRef key);

  /// Shared, because passes are copied.
  std::shared_ptr<std::vector<llvm::Regex>> patterns;
};

void remarkTaken(func::FuncOp function, Site site, StringRef name) {
  remark::passed(site.op.getLoc(), remark::RemarkOpts::name("site-taken")
                                       .category("spikequant-name-sites")
                                       .function(function.getSymName()))
      << remark::add("site '{0}': weight of {1} outputs and {2} channels, "
                     "stored {3}",
                     name, site.outputs, site.channels,
                     site.channelsFirst ? "[K, N]" : "[N, K]");
}

void remarkLeft(func::FuncOp function, linalg::LinalgOp op, StringRef what,
                StringRef reason) {
  remark::missed(op.getLoc(), remark::RemarkOpts::name("site-left")
                                  .category("spikequant-name-sites")
                                  .function(function.getSymName()))
      << remark::add("{0} left: {1}", what, reason);
}

} // namespace

/// The weight's name in the safetensors file, or its symbol.
std::string NameSitesPass::getWeightKey(Site site) {
  StringRef symbol = site.weights.getWeights();
  WeightsOp weights = lookupWeights(getOperation(), symbol);
  if (weights && weights.getSource())
    return weights.getSource()->str();
  return symbol.str();
}

std::optional<std::string> NameSitesPass::getReasonToLeave(Site site,
                                                           StringRef key) {
  for (const auto &[text, pattern] : llvm::zip_equal(leave, *patterns))
    if (pattern.match(key))
      return "option 'leave' has '" + text + "'";
  if (site.channels < minChannels)
    return "it has only " + std::to_string(site.channels) + " channels";
  return std::nullopt;
}

void NameSitesPass::nameSites(func::FuncOp function) {
  UniqueNames names;
  auto *context = &getContext();
  SmallVector<std::pair<linalg::LinalgOp, bool>> order;
  function.walk([&](linalg::LinalgOp op) {
    std::optional<Contraction> contraction = classifyContraction(op);
    if (!contraction)
      return;
    if (contraction->kind == Contraction::Kind::Product) {
      order.push_back({op, false});
      return;
    }
    if (contraction->kind == Contraction::Kind::Left)
      return remarkLeft(function, op, "contraction", contraction->reason);
    std::string key = getWeightKey(contraction->site);
    if (auto reason = getReasonToLeave(contraction->site, key))
      return remarkLeft(function, op, "contraction of '" + key + "'", *reason);
    std::string name = names.get(key);
    op->setAttr(kSiteAttr, StringAttr::get(context, name));
    order.push_back({op, true});
    remarkTaken(function, contraction->site, name);
  });
  nameProducts(function, order);
}

/// Products of activations are named after the site before them, or, at the
/// start of a function, the first one after.
void NameSitesPass::nameProducts(
    func::FuncOp function, ArrayRef<std::pair<linalg::LinalgOp, bool>> order) {
  auto siteName = [](linalg::LinalgOp op) {
    return op->getAttrOfType<StringAttr>(kSiteAttr).getValue();
  };
  const auto *firstSite =
      llvm::find_if(order, [](const auto &entry) { return entry.second; });
  StringRef nearest = firstSite == order.end() ? function.getSymName()
                                               : siteName(firstSite->first);
  llvm::StringMap<unsigned> ordinals;
  for (auto [op, isSite] : order) {
    if (isSite) {
      nearest = siteName(op);
      continue;
    }
    std::string name = getProductName(nearest, ordinals[nearest]++);
    op->setAttr(kProductAttr, StringAttr::get(&getContext(), name));
    remarkLeft(function, op, "'" + name + "'", "a product of two activations");
  }
}

} // namespace mlir::spikequant
