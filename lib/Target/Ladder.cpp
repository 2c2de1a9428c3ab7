//===- Ladder.cpp - one neuron per level ----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Neuron (o, k) has to fire iff 2 acc - 2 T(k) + 1 > 0. A clock line adds the
// constant, and a threshold TH that all neurons of the layer share keeps the
// membrane v = TH + 2 acc - 2 T(k) + 1 between 0 and 2 TH: odd, so that > and
// >= agree with the even TH, and never large enough for a second spike.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/SpikingNetwork.h"

#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace llvm;
using namespace spikequant;

/// Bit planes of both rails of every channel, and the clock.
static std::vector<SpikeLine> planeLines(const InputPopulation &input) {
  std::vector<SpikeLine> lines;
  for (int64_t j = 0; j < input.channels(); ++j)
    for (int32_t sign : {1, -1})
      for (int32_t plane = 0; input.windows[j] >> plane; ++plane)
        lines.push_back({j, sign, plane});
  lines.push_back(SpikeLine());
  return lines;
}

namespace {
class LadderLayer {
public:
  LadderLayer(const Layer &layer, ArrayRef<int64_t> bounds,
              std::vector<SpikeLine> inputs, bool linesArePlanes)
      : layer(layer), bounds(bounds), linesArePlanes(linesArePlanes) {
    result.name = layer.name;
    result.inputs = std::move(inputs);
    threshold = 4 * (*std::max_element(bounds.begin(), bounds.end()) + 1);
    result.membraneBound = 2 * threshold;
  }

  SpikingLayer build(bool relaysClock) && {
    for (int64_t o = 0; o < layer.outputs; ++o) {
      addRail(o, 1, positiveLadder(layer, o));
      addRail(o, -1, negativeLadder(layer, o));
    }
    if (relaysClock)
      addNeuron(SpikeLine(), threshold + threshold / 2);
    result.thresholds.assign(result.neurons.size(), threshold);
    return std::move(result);
  }

private:
  void addRail(int64_t o, int32_t sign, ArrayRef<int64_t> ladder) {
    for (auto [index, least] : llvm::enumerate(ladder)) {
      int64_t reachable = std::clamp(least, -bounds[o], bounds[o] + 1);
      addNeuron({o, sign, int32_t(index) + 1}, threshold - 2 * reachable + 1);
    }
  }

  /// Relays have no weights but the clock's.
  void addNeuron(SpikeLine neuron, int64_t clock) {
    result.neurons.push_back(neuron);
    for (const SpikeLine &line : result.inputs)
      result.weights.push_back(weightOf(neuron, line, clock));
  }

  int64_t weightOf(SpikeLine neuron, SpikeLine line, int64_t clock) const {
    if (line.channel == SpikeLine::control)
      return clock;
    if (neuron.channel == SpikeLine::control)
      return 0;
    int64_t weight = 2 * int64_t(neuron.sign) * line.sign *
                     layer.weight(neuron.channel, line.channel);
    return linesArePlanes ? weight * (int64_t(1) << line.index) : weight;
  }

  const Layer &layer;
  ArrayRef<int64_t> bounds;
  bool linesArePlanes;
  int64_t threshold;
  SpikingLayer result;
};
} // namespace

SpikingNetwork spikequant::buildLadder(const Network &network) {
  SpikingNetwork result;
  result.code = SpikeCode::Ladder;
  result.steps = 1;
  std::vector<std::vector<int64_t>> bounds = membraneBounds(network);
  std::vector<SpikeLine> lines = planeLines(network.input);
  for (size_t i = 0; i < network.layers.size(); ++i) {
    LadderLayer layer(network.layers[i], bounds[i], std::move(lines), i == 0);
    result.layers.push_back(
        std::move(layer).build(i + 1 < network.layers.size()));
    lines = result.layers.back().neurons;
  }
  return result;
}
