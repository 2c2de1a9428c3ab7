//===- Selection.h - layers of a compiled model for sq-translate -*- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TOOLS_SQTRANSLATE_SELECTION_H
#define SPIKEQUANT_TOOLS_SQTRANSLATE_SELECTION_H

#include "spikequant/Conversion/SelectLayers.h"
#include "spikequant/Target/SpikingNetwork.h"

#include <memory>

namespace mlir::spikequant {

/// What --select names, and the packed weights that it was read from.
struct Selection {
  std::unique_ptr<::spikequant::PackedFile> packed;
  SelectedNetwork selected;
};

/// Real inputs of a site from an .npz file: its array `SITE.x`, as
/// `sq-run --record` writes it, or `arg0`; float32 [.., channels].
llvm::Expected<std::vector<float>>
readRealInputs(StringRef path, StringRef site, int64_t channels);

/// Whether --select was given.
bool isSelectionWanted();

/// Reads what --select names, by --weights, --output-step, --output-bits and
/// --rows. `stimulus` may be empty.
FailureOr<Selection> readSelection(func::FuncOp function, StringRef stimulus);

/// Writes to --selection-folder, if that was given: the selected layers as a
/// program (quantized.mlir, weights.sqw, for sq-run), inputs.npz and
/// expected.npz, and report.json (docs/schema/selection-1.json).
llvm::Error writeSelection(const Selection &selection, StringRef target,
                           const ::spikequant::SpikingNetwork &realised,
                           const ::spikequant::Stimulus *stimulus);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_TOOLS_SQTRANSLATE_SELECTION_H
