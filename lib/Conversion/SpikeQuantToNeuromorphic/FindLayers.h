//===- FindLayers.h - selected layers in a function -------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_FINDLAYERS_H
#define SPIKEQUANT_LIB_CONVERSION_FINDLAYERS_H

#include "spikequant/Conversion/SelectLayers.h"

namespace mlir::spikequant {

/// The operations, ranges and functions between the layers of a selection;
/// emits errors SEL-C1 to SEL-C4 and SEL-C6, SEL-C7.
FailureOr<SmallVector<SelectedLayer>>
findLayers(func::FuncOp function, ArrayRef<LayerSelection> selections,
           const ::spikequant::PackedFile *packed);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_FINDLAYERS_H
