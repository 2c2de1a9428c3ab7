//===- ReadInput.h - an encode as an input population -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_READINPUT_H
#define SPIKEQUANT_LIB_CONVERSION_READINPUT_H

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Target/Network.h"

namespace mlir::spikequant {

/// Channels, windows and thresholds of `encode` (NEU-C10, NEU-C12); the caller
/// decides what its overflow means.
LogicalResult readInput(EncodeOp encode, SymbolTableCollection &tables,
                        ::spikequant::InputPopulation &input);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_READINPUT_H
