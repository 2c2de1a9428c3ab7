//===- Contractions.h - which contractions are sites ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CONTRACTIONS_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CONTRACTIONS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

namespace mlir::spikequant {

/// On a contraction that is a site: its name, unique in the function.
inline constexpr llvm::StringLiteral kSiteAttr = "spikequant.site";
/// On a product of two activations: its name.
inline constexpr llvm::StringLiteral kProductAttr = "spikequant.product";

/// On the module: its sites were named (perhaps none was found).
inline constexpr llvm::StringLiteral kSitesNamedAttr = "spikequant.sites_named";

/// A contraction of an activation [.., K] with a weight [N, K] or [K, N] into
/// [.., N], all f32.
struct Site {
  linalg::LinalgOp op;
  Value activation;
  LoadWeightsOp weights;
  /// Whether the weight is stored [K, N].
  bool channelsFirst;
  int64_t channels;
  int64_t outputs;
};

/// What a contraction turned out to be.
struct Contraction {
  enum class Kind { Site, Product, Left };
  Kind kind;
  /// For Kind::Site.
  Site site;
  /// Why it was left, for the other kinds.
  std::string reason;
};

/// Nothing if `op` is no multiply-and-add contraction of two tensors.
std::optional<Contraction> classifyContraction(linalg::LinalgOp op);

/// The weight that `value` is computed from by data movement or conversion
/// alone, or null. `through` receives the first operation in between, if any.
LoadWeightsOp findWeights(Value value, Operation *&through);

/// The sites of `function` that carry a name, in program order.
SmallVector<Site> getNamedSites(func::FuncOp function);

/// The operation before which the input of `site` is observed or encoded: it
/// dominates every later consumer too, also in other regions.
Operation *getEncodePoint(Site site);

/// Name of the encode site whose first consumer is the site `op`.
std::string getEncodeSiteName(linalg::LinalgOp op);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CONTRACTIONS_H
