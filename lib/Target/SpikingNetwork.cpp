//===- SpikingNetwork.cpp - what the spike codes share --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/SpikingNetwork.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace llvm;
using namespace spikequant;

bool SpikingNetwork::spikes(const SpikeLine &line, ArrayRef<int16_t> counts,
                            int64_t step) const {
  bool isControl = line.channel == SpikeLine::control;
  if (isControl)
    return step == (code == SpikeCode::Ladder ? 0 : pulses[line.index]);
  int32_t onRail = std::max(line.sign * counts[line.channel], 0);
  if (code == SpikeCode::Ladder)
    return step == 0 && ((onRail >> line.index) & 1);
  // A burst after pulse 0; any order in the window would do.
  return step >= 1 && step <= onRail;
}

/// Matrices are dense while they are exported; more than this many weights are
/// a matter of gigabytes, in memory and in the file.
static constexpr int64_t mostWeights = int64_t(1) << 25;

/// NEU-C13, before anything is allocated.
static void checkSizes(const Network &network, Problems &problems) {
  bool isLadder = network.code == SpikeCode::Ladder;
  int64_t pulses = network.layers.size() + 2, lines = pulses;
  for (int32_t window : network.input.windows)
    lines += isLadder ? 2 * llvm::Log2_64_Ceil(uint64_t(window) + 1) : 2;
  for (auto [index, layer] : llvm::enumerate(network.layers)) {
    int64_t perOutput = isLadder ? layer.hi - layer.lo : 2;
    int64_t neurons = layer.outputs * perOutput + pulses;
    if (lines > mostWeights / neurons)
      problems.push_back(
          {int(index),
           ("NEU-C13: '" + layer.name + "' would have " + Twine(neurons) +
            " neurons with " + Twine(lines) + " synapses each in the code '" +
            nameOf(network.code) + "', more than " + Twine(mostWeights) +
            " in all; select a tile of rows and columns")
               .str()});
    lines = neurons;
  }
}

SpikingNetwork spikequant::buildSpiking(const Network &network,
                                        Problems &problems) {
  checkSizes(network, problems);
  if (!problems.empty())
    return {};
  return network.code == SpikeCode::Gated ? buildGated(network, problems)
                                          : buildLadder(network);
}

void spikequant::checkMembranes(const SpikingNetwork &network, unsigned bits,
                                StringRef why, Problems &problems) {
  int64_t limit = int64_t(1) << bits;
  for (auto [index, layer] : llvm::enumerate(network.layers))
    if (layer.membraneBound >= limit)
      problems.push_back(
          {int(index),
           ("NEU-C7: membranes of '" + layer.name + "' can reach " +
            Twine(layer.membraneBound) + ", " + why + " is exact below 2^" +
            Twine(bits) + " = " + Twine(limit) +
            "; select fewer input channels or fewer bits")
               .str()});
}
