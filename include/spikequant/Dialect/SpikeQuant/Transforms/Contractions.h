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
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightOperand.h"
#include "llvm/ADT/DenseMap.h"

#include <vector>

namespace mlir::spikequant {

/// On a contraction that is a site: its name, unique in the function.
inline constexpr llvm::StringLiteral kSiteAttr = "spikequant.site";
/// On a product of two activations: its name.
inline constexpr llvm::StringLiteral kProductAttr = "spikequant.product";

/// On the module: its sites were named (perhaps none was found).
inline constexpr llvm::StringLiteral kSitesNamedAttr = "spikequant.sites_named";

/// Names of the loops of a contraction, in the order that a site puts them in.
struct LoopOrder {
  /// One matrix of a stack of weights for each: batch dimensions of the weight
  /// and those along which matrices are gathered. The last `summed` of them are
  /// contracted by the operation.
  SmallVector<unsigned> slices;
  unsigned summed = 0;
  /// Of the activation alone.
  SmallVector<unsigned> rows;
  /// Of the weight alone.
  SmallVector<unsigned> outputs;
  /// Contracted.
  SmallVector<unsigned> channels;
};

/// An activation as rows of channels: [.., K], or [P, R, K] (or [P, K]) if
/// there are P slices.
struct RowForm {
  Value value;
  /// From slices, rows and channels, in order, to the element of `value`: a
  /// permutation mostly; it repeats slices that `value` does not have, and
  /// reads the windows of a convolution.
  AffineMap reads;
  /// Of slices, rows and channels.
  SmallVector<int64_t> sizes;
  unsigned slices = 0;
  unsigned channels = 0;

  bool operator==(const RowForm &other) const {
    return value == other.value && reads == other.reads &&
           slices == other.slices && channels == other.channels &&
           sizes == other.sizes;
  }
};

/// Numbers row forms in the order of their first appearance: an encode each.
class RowForms {
public:
  /// The number of `form`, and whether it is new.
  std::pair<unsigned, bool> insert(const RowForm &form);

private:
  llvm::DenseMap<Value, SmallVector<std::pair<RowForm, unsigned>, 1>> known;
  unsigned count = 0;
};

/// A contraction (or convolution) of an f32 activation with a weight, as an
/// integrate sees it:
/// [.., K] with [N, K], or, per slice, with one of a stack [L, N, K].
struct Site {
  linalg::LinalgOp op;
  RowForm activation;
  WeightOperand weight;
  LoopOrder loops;
  /// The weight's elements as [N, K] or [L, N, K].
  WeightView codes;
  int64_t channels;
  int64_t outputs;

  bool isStack() const { return codes.getRank() == 3; }
  StringRef getSymbol() const {
    return LoadWeightsOp(weight.load).getWeights();
  }
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

/// Nothing if `op` is no contraction of two tensors and no convolution with
/// weights.
std::optional<Contraction> classifyContraction(linalg::LinalgOp op);

/// The operations of `function` that carry the name of a site, in program
/// order.
SmallVector<linalg::LinalgOp> getNamedOperations(func::FuncOp function);

/// The sites of `function` that carry a name, in program order.
std::vector<Site> getNamedSites(func::FuncOp function);

/// The operation before which the input of `site` is observed or encoded: it
/// dominates every later consumer too, also in other regions.
Operation *getEncodePoint(const Site &site);

/// Name of the encode site whose first consumer is the site `op`.
std::string getEncodeSiteName(linalg::LinalgOp op);

/// The activation's values in its row form.
Value buildRows(OpBuilder &builder, Location loc, const RowForm &form);

/// The operand that chooses a matrix per slice: null if there is no stack, an
/// index, or a tensor<P x i32>.
Value buildStackIndex(OpBuilder &builder, Location loc, const Site &site);

/// What the operation of `site` yields, from the results [M, N], [P, N] or
/// [P, R, N] of its rows.
Value buildResult(OpBuilder &builder, Location loc, const Site &site,
                  Value results);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CONTRACTIONS_H
