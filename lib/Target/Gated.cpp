//===- Gated.cpp - one neuron per rail, a window per layer ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Spikes cannot be taken back, so a layer must not fire before all of its input
// has come. Pulse 0 puts -B on every neuron; pulse l opens layer l with
// B + 2 o + 1 and closes layer l - 1 with -B again. In between the neuron fires
// once per step while v >= 2 th, and v falls by 2 th: after hi steps that is
// clamp(floor((a acc + o) / th), 0, hi). Membranes are odd, thresholds even.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/SpikingNetwork.h"

#include "llvm/ADT/Twine.h"

#include <algorithm>
#include <cstdlib>

using namespace llvm;
using namespace spikequant;

/// Longer windows are longer inferences; no target wants them.
static constexpr int32_t longestWindow = 255;

/// Both rails of every channel, and pulses 0..layers + 1.
static std::vector<SpikeLine> railLines(const Network &network) {
  std::vector<SpikeLine> lines;
  for (int64_t j = 0; j < network.input.channels(); ++j)
    for (int32_t sign : {1, -1})
      lines.push_back({j, sign, 0});
  for (size_t pulse = 0; pulse < network.layers.size() + 2; ++pulse)
    lines.push_back({SpikeLine::control, 1, int32_t(pulse)});
  return lines;
}

namespace {
class GatedLayer {
public:
  GatedLayer(const Layer &layer, int index, ArrayRef<int64_t> bounds,
             std::vector<SpikeLine> inputs)
      : layer(layer), index(index), bounds(bounds) {
    result.name = layer.name;
    result.inputs = std::move(inputs);
  }

  SpikingLayer build(bool relaysPulses, Problems &problems) && {
    if (!checkWindow(problems))
      return std::move(result);
    for (int64_t o = 0; o < layer.outputs; ++o) {
      addRail(o, 1, positiveLadder(layer, o), problems);
      if (layer.lo < 0)
        addRail(o, -1, negativeLadder(layer, o), problems);
    }
    if (relaysPulses)
      addRelays();
    fillWeights();
    return std::move(result);
  }

private:
  bool checkWindow(Problems &problems) const {
    if ((layer.lo == 0 || layer.lo == -layer.hi) && layer.hi <= longestWindow)
      return true;
    problems.push_back(
        {index, ("NEU-C5: both rails of a gated layer share a window of at "
                 "most " +
                 Twine(longestWindow) +
                 " steps: needs lo = 0 or lo = -hi, "
                 "not lo = " +
                 Twine(layer.lo) + " and hi = " + Twine(layer.hi))
                    .str()});
    return false;
  }

  void addRail(int64_t o, int32_t sign, ArrayRef<int64_t> ladder,
               Problems &problems) {
    std::optional<UniformThreshold> form = uniformThreshold(ladder, bounds[o]);
    if (!form) {
      problems.push_back(
          {index, ("NEU-C6: output " + Twine(o) + " of '" + layer.name +
                   "' has no exact form with one repeated threshold")
                      .str()});
      return;
    }
    result.neurons.push_back({o, sign, 0});
    result.thresholds.push_back(2 * form->threshold);
    forms.push_back(*form);
    gate = std::max(gate, 2 * form->scale * bounds[o] + 2 * form->threshold +
                              2 * std::abs(form->start) + 2);
  }

  /// Later layers need pulse 0 and the pulses after this layer's own.
  void addRelays() {
    for (const SpikeLine &line : result.inputs)
      if (line.channel == SpikeLine::control &&
          (line.index == 0 || line.index > index + 1)) {
        result.neurons.push_back(line);
        result.thresholds.push_back(2);
      }
  }

  void fillWeights() {
    gate += gate % 2;
    result.membraneBound = 2 * gate;
    for (size_t neuron = 0; neuron < result.neurons.size(); ++neuron)
      for (const SpikeLine &line : result.inputs)
        result.weights.push_back(neuron < forms.size()
                                     ? weightOf(neuron, line)
                                     : relayWeight(neuron, line));
  }

  int64_t relayWeight(size_t neuron, const SpikeLine &line) const {
    bool own = line.channel == SpikeLine::control &&
               line.index == result.neurons[neuron].index;
    return own ? 3 : 0; // Above the threshold 2 for > as well as >=.
  }

  int64_t weightOf(size_t neuron, const SpikeLine &line) const {
    const UniformThreshold &form = forms[neuron];
    int layerNumber = index + 1;
    if (line.channel != SpikeLine::control)
      return 2 * form.scale * result.neurons[neuron].sign * line.sign *
             layer.weight(result.neurons[neuron].channel, line.channel);
    if (line.index == layerNumber)
      return gate + 2 * form.start + 1;
    return line.index == 0 || line.index == layerNumber + 1 ? -gate : 0;
  }

  const Layer &layer;
  int index;
  ArrayRef<int64_t> bounds;
  std::vector<UniformThreshold> forms; ///< Of the neurons that are no relays.
  int64_t gate = 0;                    ///< B
  SpikingLayer result;
};
} // namespace

SpikingNetwork spikequant::buildGated(const Network &network,
                                      Problems &problems) {
  SpikingNetwork result;
  result.code = SpikeCode::Gated;
  std::vector<std::vector<int64_t>> bounds = membraneBounds(network);
  std::vector<SpikeLine> lines = railLines(network);
  ArrayRef<int32_t> windows = network.input.windows;
  result.pulses = {0, *std::max_element(windows.begin(), windows.end()) + 1};
  for (auto [index, source] : llvm::enumerate(network.layers)) {
    GatedLayer layer(source, index, bounds[index], std::move(lines));
    result.layers.push_back(
        std::move(layer).build(index + 1 < network.layers.size(), problems));
    result.pulses.push_back(result.pulses.back() + source.hi);
    lines = result.layers.back().neurons;
  }
  result.steps = result.pulses.back() + 1;
  return result;
}
