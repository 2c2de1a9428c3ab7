//===- FoldScales.h - scales into thresholds --------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FOLDSCALES_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FOLDSCALES_H

#include "ScaleForm.h"

#include "mlir/IR/Remarks.h"

namespace mlir::spikequant {

/// On an encode: its row scale, gains and centres were operations before; its
/// calibration saw the values after them.
inline constexpr llvm::StringLiteral kFoldedAttr = "spikequant.folded";

/// What folding into one encode works with.
struct FoldContext {
  ModuleOp module;
  func::FuncOp function;
  IRRewriter &rewriter;

  remark::RemarkOpts remark(StringRef name) {
    return remark::RemarkOpts::name(name)
        .category("spikequant-fold-scales")
        .function(function.getSymName());
  }
};

/// Calls `fold` for the encodes of `module` in program order, with the values
/// of the weights file `weights` if it is not empty, and drops what is dead
/// then. Fails, with a diagnostic, with `fold` or if the file cannot be read.
LogicalResult foldEncodes(
    ModuleOp module, StringRef weights,
    function_ref<LogicalResult(EncodeOp, ConstantReals &, FoldContext)> fold);

/// Symbol of a real f32 array with these values, called `name`.
FailureOr<FlatSymbolRefAttr> getRealArray(ModuleOp module, Location loc,
                                          StringRef name,
                                          ArrayRef<float> values);

/// Whether the row factors of `form` are tensors of one shape: scalars have
/// nothing to read.
bool areRowTensors(const ScaleForm &form);

/// The product of the row factors of `form`, one per row of what it describes.
Value getRowScale(OpBuilder &builder, Location loc, const ScaleForm &form);

/// Makes `form` of the input of `op` part of the threshold: row factors become
/// its row scale, C its gains and (z - A) / C its centres, z those that it has.
/// Returns whether it did; a failure has a diagnostic.
FailureOr<bool> foldIntoEncode(EncodeOp op, const ScaleForm &form,
                               ConstantReals &constants, FoldContext context);

/// Whether the base of `form` is a decode whose membrane can fire the counts of
/// `op` directly: no row factors, all C_j above 0, gains that are known;
/// with centres only if nothing is rectified, for the least count would be
/// another one for each channel.
bool canFire(EncodeOp op, const ScaleForm &form, ConstantReals &constants);

/// What the channels of an encode have of their own; empty is 1 and 0.
struct EncodeChannels {
  ArrayRef<float> gains, centres;

  double gain(int64_t j) const { return gains.empty() ? 1.0 : gains[j]; }
  double centre(int64_t j) const { return centres.empty() ? 0.0 : centres[j]; }
};

/// Nothing if `op` has gains or centres whose values are not known.
std::optional<EncodeChannels> getChannels(EncodeOp op,
                                          ConstantReals &constants);

/// Replaces `op` by a fire of that membrane.
FailureOr<bool> foldIntoFire(EncodeOp op, const ScaleForm &form,
                             ConstantReals &constants, FoldContext context);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FOLDSCALES_H
