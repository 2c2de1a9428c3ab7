//===- Compile.h - graphs and weights to a compiled folder ---- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_COMPILE_H
#define SPIKEQUANT_PIPELINES_COMPILE_H

#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace mlir::spikequant {

enum class CompileMode {
  Quantized, ///< Needs a calibration file.
  Float,     ///< The baseline: nothing is quantised.
  Observe,   ///< Float, and shows every encode site to the host.
  Probe      ///< As Observe, and rounds what sites read as the host asks.
};

/// Where to stop, for a look at the program.
enum class CompileStage {
  QuantizedMlir,
  Program, ///< A folder with quantized.mlir and weights.sqw only.
  Buffers,
  Kernels,
  Llvm,
  Object,
  Library
};

enum class InstructionSet { Automatic, Vnni, Portable };

enum class WeightRounding {
  Automatic, ///< Second order if the calibration has Gram matrices.
  Nearest,
  SecondOrder
};

struct CompileOptions {
  std::vector<std::string> graphs; ///< linalg files
  std::string weights;             ///< safetensors, may be empty
  std::string output;              ///< folder, or file if stage is not Library
  CompileMode mode = CompileMode::Quantized;
  CompileStage stage = CompileStage::Library;
  std::string calibration;
  double bits = 4.25; ///< mean activation bits, events included
  /// How steps come about, see `spikequant-quantize`.
  std::string allocation = "budget";
  std::string budgetBy = "values";
  double madFactor = 3.5;
  double percentile = 0.95;
  unsigned tolerance = 1; ///< counts so far outside the window saturate
  unsigned weightBits = 4;
  /// Mean stored bits per weight of a format for each matrix; 0: weightBits and
  /// group for all.
  double weightBudget = 0;
  unsigned group = 32;   ///< input channels per multiplier; 0: the whole row
  unsigned headBits = 8; ///< of the result's weights and of embeddings
  unsigned attentionBits = 8; ///< of products of activations; 0: real
  unsigned cacheBits = 0;     ///< of counts in states; 0: as attentionBits
  WeightRounding rounding = WeightRounding::Automatic;
  std::string method = "spike";
  bool rotateValues = false; ///< Hadamard rotations where weights absorb them
  bool centres = true; ///< Windows around centres where channels are skewed.
  bool fineCentres = false;    ///< Search them in eighths of a step.
  bool fold = true;            ///< Scales move into thresholds.
  bool foldActivations = true; ///< Functions become integer tables, if `fold`.
  bool foldResidual = true;    ///< The stream is fixed point, if `fold`.
  bool foldSoftmax = true; ///< Masks and exponents become integers, if `fold`.
  bool foldPositions = true; ///< So do rotary embeddings and divided rows.
  bool profile = false;      ///< measure the time of each kernel
  bool taps = false;         ///< also return the counts of every site
  std::string cpu = "native";
  /// Foreign system to stop at an object file for; empty: this one.
  std::string triple;
  InstructionSet instructions = InstructionSet::Automatic;
  std::string runtimeFolder; ///< where libSpikeQuantModelEntry.a is
  std::string jsonReport;    ///< also write compile.json here
};

/// Runs all stages; progress goes to standard error. Nothing is left under
/// `output` unless everything succeeded. MLIR diagnostics are reported through
/// the context's handler; the error then only says which stage failed.
llvm::Error compileModel(const CompileOptions &options, MLIRContext *context);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_COMPILE_H
