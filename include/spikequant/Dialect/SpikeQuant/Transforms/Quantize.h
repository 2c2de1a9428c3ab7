//===- Quantize.h - sites to encode, integrate, decode --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_QUANTIZE_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_QUANTIZE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/SitePlan.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightPlan.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::spikequant {

/// How activations become counts.
enum class QuantizeMethod {
  /// Static step per site, bits per channel, salient counts kept.
  Spike,
  /// Baseline: each row scaled by 7 / max |x| and rounded to nearest.
  RoundToNearest
};

/// Formats of the weights.
struct WeightFormats {
  /// Bits of a code, 1..8.
  unsigned bits = 4;
  /// Channels that share a multiplier and an offset; 0: the whole row.
  unsigned group = 32;
  /// Bits of the weights in `heads`.
  unsigned headBits = 8;
  /// Others, where one was chosen.
  WeightPlan plan;
  /// Symbols of weights that compute a function's result or hold an embedding.
  llvm::StringSet<> heads;
};

/// A gather of whole rows of a loaded weight [N, K]: result[.., :] is row
/// ids[..], clamped to [0, N - 1].
struct RowGather {
  LoadWeightsOp table;
  /// Static shape; in row-major order one id per row of the result.
  Value ids;
};

/// Recognises a linalg.generic that gathers rows through tensor.extract.
std::optional<RowGather> matchRowGather(linalg::GenericOp op);

/// Symbols that are heads: gathered from, or the weight of a site whose result
/// is returned.
llvm::StringSet<> findHeads(ModuleOp module);

class SiteBiases;

/// Replaces the named sites of `function` by encode, integrate and decode as
/// `plan` says (which has every encode site of the function), and lists the
/// encode sites in `spikequant.sites`. Offsets of the plan become biases behind
/// the matrices. For RoundToNearest the plan is ignored.
LogicalResult quantizeSites(func::FuncOp function, const SitePlan &plan,
                            QuantizeMethod method, const WeightFormats &formats,
                            SiteBiases &biases);

/// Replaces gathers of rows by `spikequant.lookup` where a site uses the same
/// table or the table has at least `minBytes` bytes.
LogicalResult convertGathers(func::FuncOp function,
                             const WeightFormats &formats, uint64_t minBytes,
                             const llvm::StringSet<> &siteWeights);

/// The symbol of the codes of `weights` seen through `view`, which is [N, K] or
/// a stack [L, N, K] and composed with the symbol's own view.
FailureOr<WeightsOp> getOrCreateCodes(ModuleOp module, WeightsOp weights,
                                      const WeightView &view,
                                      const WeightFormats &formats);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_QUANTIZE_H
