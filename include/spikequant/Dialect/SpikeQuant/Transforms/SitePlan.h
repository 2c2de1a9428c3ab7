//===- SitePlan.h - what quantisation decides for each site ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_SITEPLAN_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_SITEPLAN_H

#include "mlir/IR/BuiltinOps.h"
#include "spikequant/Allocation/BitProblem.h"

#include <map>

namespace mlir::spikequant {

struct Site;

/// On the module after quantisation: a dictionary with the means that the
/// allocation predicts from the calibration text: `activation_bits`,
/// `activation_bits_by_macs`, `stored_bits`, `salient` (all f64).
inline constexpr llvm::StringLiteral kPredictedAttr = "spikequant.predicted";

/// On the module after quantisation, until the weights are packed: a dictionary
/// from encode sites to their offsets (SiteDecision), dense f32 arrays. Their
/// matrices see x - offset.
inline constexpr llvm::StringLiteral kOffsetsAttr = "spikequant.offsets";

/// A value to be encoded, the same in every function of the module.
struct EncodeSite {
  std::string name;
  /// Where the first consumer is, for diagnostics.
  Location loc;
  /// Input channels.
  int64_t channels;
  /// Outputs of all consumers in one function.
  int64_t fanOut;
  /// Whether constants may be added behind all of its consumers.
  bool biased = true;
};

/// The answer for one encode site.
struct SiteDecision {
  /// Finite and > 0, in units of the activation.
  float step = 1.0f;
  /// Per channel 0..8; empty: every count is kept.
  SmallVector<int8_t> bits;
  /// Per channel, in units of the activation: the centre of the window, and
  /// E[x - step n], which the matrices turn into a bias. Empty: none.
  std::vector<float> centres, offsets;
  /// 0 or 1.
  int32_t tolerance = 0;
  /// A sentence for the remark.
  std::string why;
};

struct SitePlan {
  std::map<std::string, SiteDecision> decisions;
  /// Value of kPredictedAttr; null if nothing was predicted.
  DictionaryAttr predicted;
};

/// The encode sites of the named sites of `module`, in order of first
/// appearance. `canBias` says whether a constant may be added behind a site.
/// Fails, with a diagnostic, if functions disagree about a site.
FailureOr<SmallVector<EncodeSite>>
collectEncodeSites(ModuleOp module,
                   llvm::function_ref<bool(const Site &)> canBias);

/// Reads the statistics in `calibrationFile` and solves for steps and bits.
/// Fails, with diagnostics, if the file is unreadable, lacks a site or has
/// another number of channels for it, or if the problem has no solution.
FailureOr<SitePlan>
planFromCalibration(ModuleOp module, ArrayRef<EncodeSite> sites,
                    StringRef calibrationFile,
                    const ::spikequant::AllocationOptions &options);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_SITEPLAN_H
