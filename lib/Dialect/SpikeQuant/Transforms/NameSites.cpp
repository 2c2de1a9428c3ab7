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

#include "RemarkLocation.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "mlir/IR/Remarks.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/ChannelRotations.h"
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
  std::string getWeightKey(const Site &site);
  std::optional<std::string> getReasonToLeave(const Site &site, StringRef key);

  /// Shared, because passes are copied.
  std::shared_ptr<std::vector<llvm::Regex>> patterns;
};

/// How the weight of `site` lies in its array.
std::string describeStorage(const Site &site) {
  if (site.isStack())
    return site.weight.choice ? "chosen at run time" : "one for each slice";
  auto getStride = [&](int64_t d) {
    const WeightView::Dimension &steps = site.codes.getDimension(d);
    return steps.empty() ? 0 : steps.back().stride;
  };
  return getStride(0) < getStride(1) ? "stored [K, N]" : "stored [N, K]";
}

void remarkTaken(func::FuncOp function, Site site, StringRef name) {
  std::string weights = "weight";
  if (site.isStack())
    weights = std::to_string(site.codes.getSize(0)) + " weights";
  remark::passed(getRemarkLocation(site.op.getLoc()),
                 remark::RemarkOpts::name("site-taken")
                     .category("spikequant-name-sites")
                     .function(function.getSymName()))
      << remark::add("site '{0}': {1} of {2} outputs and {3} channels, {4}",
                     name, weights, site.outputs, site.channels,
                     describeStorage(site));
}

void remarkLeft(func::FuncOp function, linalg::LinalgOp op, StringRef what,
                StringRef reason) {
  remark::missed(getRemarkLocation(op.getLoc()),
                 remark::RemarkOpts::name("site-left")
                     .category("spikequant-name-sites")
                     .function(function.getSymName()))
      << remark::add("{0} left: {1}", what, reason);
}

} // namespace

/// The weight's name in the safetensors file, or its symbol, and the part of it
/// that is used.
std::string NameSitesPass::getWeightKey(const Site &site) {
  StringRef key = site.getSymbol();
  WeightsOp weights = lookupWeights(getOperation(), key);
  if (weights && weights.getSource())
    key = *weights.getSource();
  StringRef rotated = hasRotatedInput(getOperation(), key) ? ".rotated" : "";
  return (key + rotated + site.codes.getBoxName()).str();
}

std::optional<std::string> NameSitesPass::getReasonToLeave(const Site &site,
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
