//===- SanaFeTarget.cpp - networks for the SANA-FE simulator --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One YAML file with network and mapping, for the Loihi architecture that comes
// with SANA-FE. It is written in YAML's flow style, which is JSON.
//
// Group `input` holds the stimulus; population i is group `layer<i>`. Every hop
// costs one step: run it for the length of the spike lists, which includes
// them.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/Target.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/JSON.h"

using namespace llvm;
using namespace spikequant;

namespace {

/// Membranes are kept in 1/64 in 32 bits.
constexpr unsigned exactBits = 25;

constexpr int64_t coresPerTile = 4;

/// The architecture `loihi.yaml` of SANA-FE.
TargetModel loihiArchitecture() {
  TargetModel model;
  model.name = "SANA-FE's loihi.yaml";
  model.cores = 128;
  model.neuronsPerCore = 1024;
  model.inputsPerCore = 1024;
  return model;
}

std::string groupName(size_t layer) {
  return layer == 0 ? "input" : ("layer" + Twine(layer - 1)).str();
}

/// YAML's "key: value" in lists.
template <typename Value>
void entry(json::OStream &json, StringRef key, Value &&value) {
  json.object([&] { json.attribute(key, std::forward<Value>(value)); });
}

class SanaFeNetwork {
public:
  SanaFeNetwork(const ExportJob &job, raw_ostream &os)
      : network(*job.spiking), json(os, /*IndentSize=*/1) {
    if (job.stimulus)
      counts = job.stimulus->samples.front().counts;
    else
      counts.assign(job.network.input.channels(), 0);
  }

  void write() {
    json.object([&] {
      json.attributeObject("network", [&] {
        json.attribute("name", "spikequant");
        json.attributeArray("groups", [&] { writeGroups(); });
        json.attributeArray("edges", [&] {
          for (size_t i = 0; i < network.layers.size(); ++i)
            writeEdges(i);
        });
      });
      json.attributeArray("mappings", [&] { writeMappings(); });
    });
  }

private:
  void writeGroups() {
    writeGroup(0, network.inputLines().size(),
               [&](int64_t i) { writeSpikes(network.inputLines()[i]); });
    for (size_t index = 0; index < network.layers.size(); ++index) {
      const SpikingLayer &layer = network.layers[index];
      writeGroup(index + 1, layer.neurons.size(),
                 [&](int64_t i) { writeNeuron(layer.thresholds[i]); });
    }
  }

  template <typename Writer>
  void writeGroup(size_t index, int64_t size, Writer &&writeOne) {
    json.object([&] {
      json.attribute("name", groupName(index));
      json.attributeArray("attributes",
                          [&] { entry(json, "log_spikes", index > 0); });
      json.attributeArray("neurons", [&] {
        for (int64_t i = 0; i < size; ++i)
          json.object([&] {
            json.attributeArray(std::to_string(i), [&] { writeOne(i); });
          });
      });
    });
  }

  void writeSpikes(const SpikeLine &line) {
    json::Array spikes;
    int64_t steps = network.steps + network.layers.size();
    for (int64_t step = 0; step < steps; ++step)
      spikes.push_back(int(network.spikes(line, counts, step)));
    entry(json, "spikes", json::Value(std::move(spikes)));
  }

  void writeNeuron(int64_t threshold) {
    entry(json, "soma",
          json::Object{{"threshold", threshold},
                       {"reset_mode", "soft"},
                       {"leak_decay", 1},
                       {"input_decay", 0}});
  }

  void writeEdges(size_t index) {
    const SpikingLayer &layer = network.layers[index];
    for (int64_t n = 0, e = layer.neurons.size(); n < e; ++n)
      for (int64_t line = 0, f = layer.inputs.size(); line < f; ++line)
        if (int64_t weight = layer.weight(n, line))
          writeEdge((groupName(index) + "." + Twine(line) + " -> " +
                     groupName(index + 1) + "." + Twine(n))
                        .str(),
                    weight);
  }

  void writeEdge(StringRef ends, int64_t weight) {
    json.object([&] {
      json.attributeArray(ends, [&] { entry(json, "weight", weight); });
    });
  }

  /// Populations do not share cores; each fills its cores in turn.
  void writeMappings() {
    TargetModel model = loihiArchitecture();
    int64_t perCore = *model.inputsPerCore;
    int64_t core = mapGroup(0, network.inputLines().size(), perCore, 0);
    for (auto [index, layer] : llvm::enumerate(network.layers))
      core = mapGroup(index + 1, layer.neurons.size(), *model.neuronsPerCore,
                      core);
  }

  /// \returns the next free core.
  int64_t mapGroup(size_t group, int64_t size, int64_t perCore, int64_t core) {
    for (int64_t i = 0; i < size; ++i) {
      std::string soma =
          group == 0 ? ("loihi_inputs[" + Twine(i % perCore) + "]").str()
                     : "loihi_lif";
      int64_t place = core + i / perCore;
      std::string address =
          (Twine(place / coresPerTile) + "." + Twine(place % coresPerTile))
              .str();
      json.object([&] {
        json.attributeArray(groupName(group) + "." + std::to_string(i), [&] {
          entry(json, "core", address);
          entry(json, "soma", soma);
        });
      });
    }
    return core + (size + perCore - 1) / perCore;
  }

  const SpikingNetwork &network;
  json::OStream json;
  std::vector<int16_t> counts;
};

class SanaFeTarget : public NeuromorphicTarget {
public:
  StringRef name() const override { return "sanafe"; }
  StringRef summary() const override {
    return "SANA-FE network with core mapping (YAML), stimulus row 0";
  }
  ArrayRef<SpikeCode> codes() const override {
    static const SpikeCode codes[] = {SpikeCode::Gated, SpikeCode::Ladder};
    return codes;
  }
  void check(const ExportJob &job, Problems &problems) const override {
    checkMembranes(*job.spiking, exactBits, "a soma of SANA-FE", problems);
    checkFit(*job.spiking, loihiArchitecture(), problems);
  }
  Error write(const ExportJob &job, raw_ostream &os) const override {
    SanaFeNetwork(job, os).write();
    os << "\n";
    return Error::success();
  }
};

} // namespace

namespace spikequant {
void addSanaFeTargets(TargetList &targets) {
  targets.push_back(std::make_unique<SanaFeTarget>());
}
} // namespace spikequant
