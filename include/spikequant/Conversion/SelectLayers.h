//===- SelectLayers.h - layers of a compiled model as networks --*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A tile of one encode-integrate layer of a quantised graph, or a chain of
/// such layers, as a neuromorphic network. What stands between two layers of a
/// chain (decode, bias, ReLU, scaling, encode) becomes one fire; the last
/// layer's decode becomes a fire with a step of its own. docs/Neuromorphic.md,
/// rules SEL-C1 to SEL-C9.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_SELECTLAYERS_H
#define SPIKEQUANT_CONVERSION_SELECTLAYERS_H

#include "spikequant/Conversion/SpikeQuantToNeuromorphic.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Weights/PackedFile.h"

#include "mlir/IR/OwningOpRef.h"

namespace spikequant {
class SafetensorsFile;
}

namespace mlir::spikequant {

/// Indices first, first + 1, .., end - 1.
struct IndexRange {
  int64_t first = 0;
  int64_t end = 0;
  int64_t size() const { return end - first; }
  bool operator==(const IndexRange &other) const {
    return first == other.first && end == other.end;
  }
};

/// What the user asks for of one layer.
struct LayerSelection {
  std::string site;                  ///< The integrate site, its weight's name.
  std::optional<IndexRange> rows;    ///< Output channels; all if absent.
  std::optional<IndexRange> columns; ///< Input channels; all if absent.
};

/// Parses "SITE,SITE,..", each with an optional "[r0:r1,c0:c1]".
llvm::Expected<SmallVector<LayerSelection>> parseSelection(StringRef text);

/// An elementwise operation with a constant, as the program computes it in f32.
struct ChannelStep {
  enum class Kind { Add, Multiply, Divide, Max, Min };
  Kind kind;
  SmallVector<float> constants; ///< One per channel, or one for all.

  float constantOf(int64_t channel) const {
    return constants[constants.size() == 1 ? 0 : channel];
  }
};

/// clamp(scale y + bias, low, high)
struct ClampedLine {
  double scale = 1;
  double bias = 0;
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();

  double evaluate(double y) const;
};

/// What stands between a decode and the next encode.
struct ChannelFunction {
  SmallVector<ChannelStep> steps;

  /// As the program computes it, one f32 rounding per step.
  float evaluate(int64_t channel, float y) const;
  /// What it means in real numbers.
  ClampedLine lineOf(int64_t channel) const;
};

/// Goes up from `value` to the decode that it is computed from, and collects
/// the steps between them. Emits an error (SEL-C6) on the operation that is no
/// elementwise operation with a constant. `packed` holds constants that are no
/// literals; `user` is the layer that reads the value.
FailureOr<DecodeOp> traceToDecode(Value value, StringRef user,
                                  const ::spikequant::PackedFile *packed,
                                  ChannelFunction &function);

/// A selected layer and how exactly its fire stands for the program.
struct SelectedLayer {
  EncodeOp encode;
  IntegrateOp integrate;
  WeightsOp weights;
  IndexRange rows;
  IndexRange columns;
  /// Of all output channels, before the next encode; no steps in the last
  /// layer.
  ChannelFunction between;
  double thresholdError = 0; ///< Largest relative error of theta = 2^S / M.
  int64_t levels = 0;        ///< Thresholds T(k) of all outputs,
  int64_t changedLevels = 0; ///< those that differ from the program's in f32,
  int64_t largestChange = 0; ///< and by how many membrane units at most.

  float step() const { return EncodeOp(encode).getStep().convertToFloat(); }
  /// Of the codes.
  StringRef symbol() const { return WeightsOp(weights).getSymName(); }
};

struct SelectOptions {
  const ::spikequant::PackedFile *packed = nullptr; ///< The program's weights.
  /// Real value of one output count of the last layer. If 0: of the 25 steps
  /// from the largest |output| / window downwards by 2^(1/4), the one with the
  /// least squared error of the outputs on `inputs`.
  float outputStep = 0;
  int32_t window = 7; ///< Of the last fire: lo = -window, hi = window.
  /// Gives real inputs of an encode, row-major [rows][channels], by the site's
  /// name and its number of channels; may be null, or give none.
  std::function<llvm::Expected<std::vector<float>>(StringRef, int64_t)> inputs;
};

struct SelectedNetwork {
  LocatedNetwork located;
  SmallVector<SelectedLayer> layers;
  float outputStep = 0;
  std::vector<float> inputs; ///< Those of the selected columns.

  int64_t samples() const {
    return inputs.size() / located.network.input.channels();
  }
};

/// The selected layers as a network. Counts of the encode saturate to their
/// windows, whatever the program says; a fire has one window for all channels,
/// the largest of the encode that it stands for. Thresholds are rounded once
/// to 2^S / M with the largest S that holds them. Emits an error on the
/// operation that is in the way.
FailureOr<SelectedNetwork> selectLayers(func::FuncOp function,
                                        ArrayRef<LayerSelection> selections,
                                        const SelectOptions &options);

/// The selected layers as a program that sq-run can run on `inputs` (argument
/// 0), and its packed weights, written to `weightsPath`. It is made from the
/// program's operations, packed codes and the thresholds, independently of
/// the network's integer matrices.
llvm::Expected<OwningOpRef<ModuleOp>>
writeSelectedProgram(const SelectedNetwork &selected,
                     const ::spikequant::PackedFile &packed,
                     StringRef weightsPath);

/// Outputs of the selected layers with the weights before rounding, without
/// encodes and fires, in f64: what a float program of these layers gives.
/// [samples][outputs]; `source` may be null if all weights are literals.
llvm::Expected<std::vector<double>>
evaluateInReals(const SelectedNetwork &selected,
                const ::spikequant::SafetensorsFile *source);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_SELECTLAYERS_H
