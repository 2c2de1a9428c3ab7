//===- CountsTarget.cpp - operations of a layer in every code -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Exact counts over the stimulus, no prices. The definitions are a table in
// docs/Neuromorphic.md; f_j is the number of outputs that channel j reaches by
// a weight that is not zero.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/Target.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cstdlib>

using namespace llvm;
using namespace spikequant;

namespace {

/// What a code does with a count of magnitude m.
using SpikesOf = int64_t (*)(uint32_t magnitude);

int64_t unary(uint32_t m) { return m; }
int64_t binary(uint32_t m) { return llvm::popcount(m); }
/// Digits that are not 0 in the non-adjacent form.
int64_t signedDigits(uint32_t m) { return llvm::popcount(m ^ (3 * m)); }
int64_t single(uint32_t m) { return m != 0; }

class LayerCounts {
public:
  LayerCounts(const Layer &layer, int64_t inputWindow,
              std::vector<std::vector<int16_t>> inputs)
      : layer(layer), inputWindow(inputWindow), inputs(std::move(inputs)),
        fanOut(layer.inputs, 0) {
    for (int64_t o = 0; o < layer.outputs; ++o)
      for (int64_t j = 0; j < layer.inputs; ++j)
        fanOut[j] += layer.weight(o, j) != 0;
  }

  void write(json::OStream &json) const {
    int64_t samples = inputs.size(), fires = samples * layer.outputs;
    int64_t levels = layer.hi - layer.lo, rails = layer.lo < 0 ? 2 : 1;
    int64_t steps = std::max(layer.hi, -layer.lo);
    int64_t products = fires * layer.inputs;
    int64_t search = llvm::Log2_64_Ceil(levels + 1);
    json.attribute("name", layer.name);
    json.attributeObject("codes", [&] {
      writeCode(json, "integer", 0, 0, products, products, fires * search);
      writeSpikes(json, "rate", unary, 1, 0, fires * rails * steps);
      writeSpikes(json, "binary_planes", binary, 1, 0, fires * search);
      writeSpikes(json, "signed_digits", signedDigits, 1, 0, fires * search);
      writeSpikes(json, "one_spike", single, 1, fires * inputWindow,
                  fires * rails * steps);
      writeSpikes(json, "ladder", unary, levels, 0, fires * levels);
    });
  }

private:
  void writeSpikes(json::OStream &json, StringRef code, SpikesOf spikesOf,
                   int64_t copies, int64_t moreAdditions,
                   int64_t comparisons) const {
    int64_t spikes = 0, events = 0;
    for (const std::vector<int16_t> &counts : inputs)
      for (auto [count, reached] : llvm::zip(counts, fanOut)) {
        int64_t emitted = spikesOf(std::abs(int32_t(count)));
        spikes += emitted;
        events += emitted * reached * copies;
      }
    writeCode(json, code, spikes, events, events + moreAdditions, 0,
              comparisons);
  }

  static void writeCode(json::OStream &json, StringRef code, int64_t spikes,
                        int64_t events, int64_t additions,
                        int64_t multiplications, int64_t comparisons) {
    json.attributeObject(code, [&] {
      json.attribute("spikes", spikes);
      json.attribute("synaptic_events", events);
      json.attribute("additions", additions);
      json.attribute("multiplications", multiplications);
      json.attribute("comparisons", comparisons);
    });
  }

  const Layer &layer;
  int64_t inputWindow; ///< Steps that the input's largest count takes.
  std::vector<std::vector<int16_t>> inputs;
  std::vector<int64_t> fanOut;
};

class CountsTarget : public NeuromorphicTarget {
public:
  StringRef name() const override { return "counts"; }
  StringRef summary() const override {
    return "operations per layer and spike code, counted on the stimulus";
  }
  ArrayRef<SpikeCode> codes() const override {
    static const SpikeCode codes[] = {SpikeCode::Count};
    return codes;
  }
  void check(const ExportJob &job, Problems &problems) const override {
    if (!job.stimulus)
      problems.push_back({Problem::onInput, "needs --stimulus=in.npz"});
  }

  Error write(const ExportJob &job, raw_ostream &os) const override {
    const Network &network = job.network;
    std::vector<std::vector<std::vector<int16_t>>> inputs(
        network.layers.size());
    for (const Sample &sample : job.stimulus->samples) {
      auto populations = evaluateLayers(network, sample.counts);
      for (size_t i = 0; i < inputs.size(); ++i)
        inputs[i].push_back(std::move(populations[i]));
    }
    ArrayRef<int32_t> windows = network.input.windows;
    int64_t window = *std::max_element(windows.begin(), windows.end());
    json::OStream json(os, /*IndentSize=*/1);
    json.object([&] {
      json.attribute("format", "spikequant-counts");
      json.attribute("version", 1);
      json.attribute("name", network.name);
      json.attribute("samples", int64_t(job.stimulus->samples.size()));
      json.attributeArray("layers", [&] {
        for (size_t i = 0; i < inputs.size(); ++i) {
          const Layer &layer = network.layers[i];
          json.object([&] {
            LayerCounts(layer, window, std::move(inputs[i])).write(json);
          });
          window = std::max(layer.hi, -layer.lo);
        }
      });
    });
    os << "\n";
    return Error::success();
  }
};

} // namespace

namespace spikequant {
void addCountsTargets(TargetList &targets) {
  targets.push_back(std::make_unique<CountsTarget>());
}
} // namespace spikequant
