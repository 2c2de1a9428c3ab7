//===- SpikingNetwork.h - populations, synapses, thresholds -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A network in one of the spike codes: a chain of integer matrices and
/// integrate-and-fire populations, and the binary stimulus that drives it.
/// Derivations and conditions: docs/Neuromorphic.md.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TARGET_SPIKINGNETWORK_H
#define SPIKEQUANT_TARGET_SPIKINGNETWORK_H

#include "spikequant/Target/Network.h"

#include <optional>

namespace spikequant {

/// What a neuron or an input line stands for.
struct SpikeLine {
  static constexpr int64_t control = -1;
  int64_t channel = control; ///< Of the count, or `control` (clock, gate).
  int32_t sign = 1;          ///< +1 or -1: the rail.
  int32_t index = 0;         ///< Level k, bit plane, or number of the pulse.
};

/// Neurons that integrate the spikes of the lines before them and fire at most
/// once per step.
struct SpikingLayer {
  std::string name;
  std::vector<SpikeLine> inputs;   ///< Columns of the matrix.
  std::vector<SpikeLine> neurons;  ///< Rows.
  std::vector<int64_t> weights;    ///< [neurons][inputs]
  std::vector<int64_t> thresholds; ///< One per neuron, even; never a tie.
  int64_t membraneBound = 0;       ///< |v| stays below it at all times.

  int64_t weight(int64_t neuron, int64_t line) const {
    return weights[neuron * inputs.size() + line];
  }
};

struct SpikingNetwork {
  SpikeCode code = SpikeCode::Ladder;
  std::vector<SpikingLayer> layers;
  int64_t steps = 0; ///< Of an inference, hops without delay.
  /// Gated: step of pulse 0, 1, .. (start, open layer 1, open layer 2 and close
  /// layer 1, ..).
  std::vector<int64_t> pulses;

  llvm::ArrayRef<SpikeLine> inputLines() const { return layers[0].inputs; }
  llvm::ArrayRef<SpikeLine> outputLines() const {
    return layers.back().neurons;
  }
  /// Whether an input line spikes in a step, for these counts.
  bool spikes(const SpikeLine &line, llvm::ArrayRef<int16_t> counts,
              int64_t step) const;
};

/// One neuron per level k: it fires iff acc >= T(k). One step per layer;
/// independent of reset, leak and of > against >=. Never fails.
SpikingNetwork buildLadder(const Network &network);

/// One neuron per rail, subtract reset, a window of hi steps per layer. Adds
/// to `problems` what has no such form (NEU-C5, NEU-C6).
SpikingNetwork buildGated(const Network &network, Problems &problems);

/// The network in the code that `network.code` names (ladder or gated). Adds to
/// `problems` what is too large (NEU-C13).
SpikingNetwork buildSpiking(const Network &network, Problems &problems);

/// NEU-C7: every membrane bound is below 2^bits, where additions are exact.
void checkMembranes(const SpikingNetwork &network, unsigned bits,
                    llvm::StringRef why, Problems &problems);

/// An integrate-and-fire form of a ladder.
struct UniformThreshold {
  int64_t scale;     ///< a >= 1: factor of the weights.
  int64_t threshold; ///< th >= 1
  int64_t start;     ///< o
};

/// The smallest a with an a, th and o such that for k = 1..n and all integers
/// |acc| <= bound: a acc + o >= k th exactly if acc >= ladder[k - 1]. Exists
/// for every ladder ceil((k 2^S - B) / M), with a <= max(1, n - 1). Nothing if
/// the ladder is not of this kind.
std::optional<UniformThreshold> uniformThreshold(llvm::ArrayRef<int64_t> ladder,
                                                 int64_t bound);

} // namespace spikequant

#endif // SPIKEQUANT_TARGET_SPIKINGNETWORK_H
