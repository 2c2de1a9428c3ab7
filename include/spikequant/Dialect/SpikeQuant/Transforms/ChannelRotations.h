//===- ChannelRotations.h - which weights are stored rotated ----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CHANNELROTATIONS_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CHANNELROTATIONS_H

#include "mlir/IR/BuiltinOps.h"
#include "spikequant/Weights/Safetensors.h"

namespace mlir::spikequant {

/// On the module: a dictionary from arrays of the weights file to lists of
/// `[dimension, begin, end, block]` (ChannelRotation), which whoever reads the
/// file applies.
inline constexpr llvm::StringLiteral kRotationsAttr = "spikequant.rotations";
/// On the module: names of those arrays that rotated channels are multiplied
/// with. Their sites are called `<key>.rotated`, so that a calibration of the
/// other program is not taken for this one's.
inline constexpr llvm::StringLiteral kRotatedInputsAttr =
    "spikequant.rotated_inputs";

/// Tells `file` about the rotations of `module`.
void addRotations(ModuleOp module, ::spikequant::SafetensorsFile &file);

/// Whether the input of the sites of this array is rotated.
bool hasRotatedInput(ModuleOp module, StringRef source);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_CHANNELROTATIONS_H
