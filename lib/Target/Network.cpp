//===- Network.cpp - rules and bounds of a network ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/Network.h"
#include "spikequant/Kernel/Integrate.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/ErrorHandling.h"

#include <algorithm>
#include <cstdlib>

using namespace llvm;
using namespace spikequant;

StringRef spikequant::nameOf(SpikeCode code) {
  switch (code) {
  case SpikeCode::Count:
    return "count";
  case SpikeCode::Ladder:
    return "ladder";
  case SpikeCode::Gated:
    return "gated";
  }
  llvm_unreachable("a new code");
}

static void checkLayer(const Layer &layer, int64_t inputs, int index,
                       Problems &problems) {
  auto report = [&](const Twine &message) {
    problems.push_back({index, message.str()});
  };
  if (layer.inputs != inputs)
    report("NEU-C2: '" + layer.name + "' has " + Twine(layer.inputs) +
           " inputs, the population before it " + Twine(inputs) + " channels");
  if (layer.lo > 0 || layer.hi < 1)
    report("NEU-C3: a count of no spikes must be possible: needs lo <= 0 < hi,"
           " not lo = " +
           Twine(layer.lo) + " and hi = " + Twine(layer.hi));
}

Problems spikequant::checkNetwork(const Network &network) {
  Problems problems;
  if (network.layers.empty())
    problems.push_back({Problem::onInput, "NEU-C1: there is no layer"});
  if (llvm::all_of(network.input.windows, [](int32_t w) { return w == 0; }))
    problems.push_back(
        {Problem::onInput, "NEU-C4: every channel of '" + network.input.name +
                               "' is silent; give at least one 2 bits"});
  int64_t inputs = network.input.channels();
  for (auto [index, layer] : llvm::enumerate(network.layers)) {
    checkLayer(layer, inputs, index, problems);
    inputs = layer.outputs;
  }
  return problems;
}

std::vector<std::vector<int64_t>>
spikequant::membraneBounds(const Network &network) {
  std::vector<std::vector<int64_t>> bounds;
  std::vector<int64_t> largest(network.input.windows.begin(),
                               network.input.windows.end());
  for (const Layer &layer : network.layers) {
    std::vector<int64_t> &rows = bounds.emplace_back(layer.outputs, 0);
    for (int64_t o = 0; o < layer.outputs; ++o)
      for (int64_t j = 0; j < layer.inputs; ++j)
        rows[o] += std::abs(int64_t(layer.weight(o, j))) * largest[j];
    largest.assign(layer.outputs, std::max(layer.hi, -layer.lo));
  }
  return bounds;
}

std::vector<int64_t> spikequant::positiveLadder(const Layer &layer, int64_t o) {
  std::vector<int64_t> ladder;
  for (int32_t k = 1; k <= layer.hi; ++k)
    ladder.push_back(fireLadder(k, layer.thresholds[o]));
  return ladder;
}

std::vector<int64_t> spikequant::negativeLadder(const Layer &layer, int64_t o) {
  std::vector<int64_t> ladder;
  for (int32_t k = 1; k <= -layer.lo; ++k) {
    int64_t least = fireLadder(1 - k, layer.thresholds[o]);
    // T saturates to the i64 range; its mirror has to as well.
    ladder.push_back(least == INT64_MIN ? INT64_MAX : 1 - least);
  }
  return ladder;
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

std::vector<std::vector<int16_t>>
spikequant::evaluateLayers(const Network &network, ArrayRef<int16_t> counts) {
  std::vector<std::vector<int16_t>> populations = {counts.vec()};
  for (const Layer &layer : network.layers) {
    std::vector<int16_t> next(layer.outputs);
    for (int64_t o = 0; o < layer.outputs; ++o) {
      int64_t membrane =
          integrateRow(populations.back().data(),
                       layer.weights.data() + o * layer.inputs, layer.inputs);
      next[o] = fireCount(membrane, layer.thresholds[o], layer.lo, layer.hi);
    }
    populations.push_back(std::move(next));
  }
  return populations;
}

static int16_t encodeExactly(const InputPopulation &input, int64_t j,
                             float value) {
  return encodeValue(value, 1.0f, input.thresholds[j]);
}

std::vector<int16_t> spikequant::encodeSaturated(const InputPopulation &input,
                                                 ArrayRef<float> values) {
  std::vector<int16_t> counts;
  for (auto [j, value] : llvm::enumerate(values))
    counts.push_back(std::clamp<int32_t>(encodeExactly(input, j, value),
                                         -input.windows[j], input.windows[j]));
  return counts;
}

Stimulus spikequant::evaluateNetwork(const Network &network,
                                     ArrayRef<float> values, int64_t rows) {
  Stimulus stimulus;
  const InputPopulation &input = network.input;
  int64_t changes = 0, outputs = 0;
  for (int64_t row = 0; row < rows; ++row) {
    ArrayRef<float> real =
        values.slice(row * input.channels(), input.channels());
    std::vector<int16_t> exact, saturated = encodeSaturated(input, real);
    for (int64_t j = 0; j < input.channels(); ++j) {
      exact.push_back(encodeExactly(input, j, real[j]));
      stimulus.saturated += exact.back() != saturated[j];
    }
    std::vector<int16_t> wanted = evaluateLayers(network, exact).back();
    std::vector<int16_t> result = evaluateLayers(network, saturated).back();
    for (auto [want, got] : llvm::zip(wanted, result)) {
      changes += std::abs(want - got);
      stimulus.changedOutputs += want != got;
    }
    outputs += result.size();
    stimulus.values += input.channels();
    stimulus.samples.push_back(
        {std::move(saturated), std::move(result), std::move(wanted)});
  }
  stimulus.meanOutputError = outputs ? double(changes) / outputs : 0;
  return stimulus;
}
