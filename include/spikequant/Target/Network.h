//===- Network.h - what a neuromorphic target is given ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A chain encode -> integrate -> fire -> integrate -> fire .. as plain data,
/// free of IR. It says what is computed (integers, section by section as in
/// docs/spec.md); SpikingNetwork.h says with which spikes.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TARGET_NETWORK_H
#define SPIKEQUANT_TARGET_NETWORK_H

#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Fire.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <string>
#include <vector>

namespace spikequant {

/// How counts travel; the meaning is the same.
enum class SpikeCode { Count, Ladder, Gated };

/// "count", "ladder" or "gated".
llvm::StringRef nameOf(SpikeCode code);

/// The encode site: real values to counts that saturate to +-window.
struct InputPopulation {
  std::string name;
  float step = 1;                          ///< Units of x per count.
  std::vector<EncodeThreshold> thresholds; ///< One per channel.
  std::vector<int32_t> windows;            ///< L_j, 0..127, one per channel.

  int64_t channels() const { return windows.size(); }
};

/// One integrate with its fire.
struct Layer {
  std::string name; ///< Of the weights.
  int64_t outputs = 0;
  int64_t inputs = 0;
  std::vector<int32_t> weights;          ///< W, row-major [outputs][inputs].
  std::vector<FireThreshold> thresholds; ///< One per output.
  int32_t lo = 0;                        ///< Least and
  int32_t hi = 1;                        ///< largest count.

  int32_t weight(int64_t o, int64_t j) const { return weights[o * inputs + j]; }
};

struct Network {
  std::string name;
  SpikeCode code = SpikeCode::Count;
  InputPopulation input;
  std::vector<Layer> layers;

  int64_t outputs() const { return layers.back().outputs; }
};

/// What is wrong with a network, and where.
struct Problem {
  static constexpr int onInput = -1;
  int layer = onInput; ///< Index into `layers`, or onInput.
  std::string message; ///< Starts with the number of the rule.
};
using Problems = std::vector<Problem>;

/// The rules that hold for every target and code (NEU-C1 to NEU-C4 of
/// docs/Neuromorphic.md). Everything below requires that there is no problem.
Problems checkNetwork(const Network &network);

/// max |acc_o| of every output of every layer, from the weights and from the
/// windows of its inputs.
std::vector<std::vector<int64_t>> membraneBounds(const Network &network);

/// T(1)..T(hi), the least membranes of output `o` that give counts of 1..hi.
std::vector<int64_t> positiveLadder(const Layer &layer, int64_t o);

/// The same for counts -1..lo, of the negated membrane: n' <= -k exactly if
/// -acc >= 1 - T(1 - k). Not the mirror of the positive ladder, because ties
/// round up.
std::vector<int64_t> negativeLadder(const Layer &layer, int64_t o);

/// Counts of the input and of every layer, by the definitions of lib/Kernel.
std::vector<std::vector<int16_t>>
evaluateLayers(const Network &network, llvm::ArrayRef<int16_t> counts);

/// Counts of one real vector, saturated to the windows.
std::vector<int16_t> encodeSaturated(const InputPopulation &input,
                                     llvm::ArrayRef<float> values);

/// Inputs and outputs of one inference.
struct Sample {
  std::vector<int16_t> counts;  ///< After saturation, what the spikes carry.
  std::vector<int16_t> outputs; ///< By the definitions of lib/Kernel.
  std::vector<int16_t> unsaturated; ///< Outputs if no input saturated.
};

/// Samples, and what saturation changed in them.
struct Stimulus {
  std::vector<Sample> samples;
  int64_t values = 0;         ///< Encoded values.
  int64_t saturated = 0;      ///< Those outside their window.
  int64_t changedOutputs = 0; ///< Output counts that saturation changed.
  double meanOutputError = 0; ///< Mean |change| of an output count.
};

/// Encodes `rows` real vectors and evaluates the network on them, with and
/// without saturation. `values` is row-major [rows][channels].
Stimulus evaluateNetwork(const Network &network, llvm::ArrayRef<float> values,
                         int64_t rows);

} // namespace spikequant

#endif // SPIKEQUANT_TARGET_NETWORK_H
