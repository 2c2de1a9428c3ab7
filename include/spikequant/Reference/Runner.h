//===- Runner.h - the reference program --------------------------*- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Runs a graph of quantised, tensor-level IR: scalar loops in one thread, each
/// spikequant operation a call of lib/Kernel, compiled in memory.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_REFERENCE_RUNNER_H
#define SPIKEQUANT_REFERENCE_RUNNER_H

#include "spikequant/Reference/Npz.h"
#include "spikequant/Weights/PackedFile.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <optional>
#include <string>

namespace mlir::spikequant {

/// A program and its weights, ready to be lowered or replayed.
struct ReferenceProgram {
  OwningOpRef<ModuleOp> module;
  std::string function;
  std::optional<::spikequant::PackedFile> weights;
};

/// Reads `path`, or `quantized.mlir` of a compiled folder `path`, chooses the
/// public function `function` (may be empty if there is one only), drops the
/// others, and finds the weights: `weightsPath` is a packed file (.sqw), or
/// safetensors that are packed to a temporary file, or empty if the IR has its
/// weights as literals or none.
llvm::Expected<ReferenceProgram> loadProgram(llvm::StringRef path,
                                             llvm::StringRef function,
                                             llvm::StringRef weightsPath,
                                             MLIRContext *context);

struct RunOptions {
  bool record = false;  ///< Insert taps if the program has none.
  int64_t rowLimit = 0; ///< See Recorder.
  /// Encode sites, by their own name or by a weight that reads their counts. If
  /// there are any: only what they read is recorded, and only
  /// what they need is run; other results are zeros, other states stay.
  std::vector<std::string> onlySites;
  /// Inputs have one leading batch axis: one call per item, each with its own
  /// state; the results are those of the last one, the taps those of all.
  bool batch = false;
  bool spikePlanes = false; ///< Integrate by additions over binary spikes.
};

struct RunResult {
  ::spikequant::NpzArrays outputs; ///< out0, out1, ..
  ::spikequant::NpzArrays taps;
};

/// Runs the program once. Inputs are arg0, arg1, .. (or the argument's
/// `spikequant.name`); state that is left out starts as zeros. Errors name the
/// array and what was expected.
llvm::Expected<RunResult> runProgram(ReferenceProgram &program,
                                     const ::spikequant::NpzArrays &inputs,
                                     const RunOptions &options);

/// Reduces a graph to the observation of what the encodes of `sites` read, as
/// `SITE.x` with the encode's own name. An error if there is no such site.
llvm::Error keepSites(func::FuncOp graph, llvm::ArrayRef<std::string> sites);

/// Recomputes counts and membranes of every site from the recorded inputs
/// (spikequant-insert-taps) and compares integers. Prints the first difference
/// of each array and a summary to `os`. \param spikePlanes see RunOptions.
/// \returns the number of arrays that differ.
llvm::Expected<int64_t> replayTaps(ReferenceProgram &program,
                                   const ::spikequant::NpzArrays &taps,
                                   llvm::raw_ostream &os,
                                   bool spikePlanes = false);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_REFERENCE_RUNNER_H
