//===- NirTarget.cpp - spiking networks as NIR graphs ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A pure chain Input, Affine, IF, Affine, IF, .., Output, which is what every
// importer agrees on: no side branches, zero biases, no v_reset, r = 1, one
// threshold per node, integers as f32, names in topological order. Two variants
// take other neurons in the place of IF, for importers that read them better.
//
//===----------------------------------------------------------------------===//

#include "Hdf5Writer.h"
#include "spikequant/Target/Target.h"

#include "llvm/ADT/Twine.h"
#include "llvm/Support/FormatVariadic.h"

using namespace llvm;
using namespace spikequant;

namespace {

/// The version of the format, that of the `nir` package.
constexpr StringLiteral nirVersion = "1.0.8";

/// Bits of exact integers in f32, which simulators compute with.
constexpr unsigned exactBits = 24;

/// Readers walk groups by name: the order must be topological.
std::string nodeName(size_t position, StringRef kind) {
  return formatv("n{0,0+3}_{1}", position, kind);
}

std::string inputName() { return nodeName(0, "input"); }
std::string outputName(const SpikingNetwork &network) {
  return nodeName(2 * network.layers.size() + 1, "output");
}

/// NIR's name of the neurons.
enum class Neuron { IF, LIF, CubaLIF };

/// Seconds per step of the variants that have time constants. Importers have
/// their own: 1e-4 is the only one that snntorch knows.
constexpr double lifStep = 1e-4;

class NirGraph {
public:
  NirGraph(const SpikingNetwork &network, Neuron neuron)
      : network(network), neuron(neuron) {}

  Error write(raw_ostream &os) {
    writer.text("version", nirVersion);
    writer.text("node/type", "NIRGraph");
    addShape(inputName(), "Input", network.inputLines().size());
    for (const SpikingLayer &layer : network.layers)
      addLayer(layer);
    addShape(outputName(network), "Output", network.outputLines().size());
    addEdges();
    addMetadata();
    return writer.finish(os);
  }

private:
  std::string addNode(StringRef name, StringRef type) {
    names.push_back(name.str());
    std::string path = ("node/nodes/" + name).str();
    writer.text(path + "/type", type);
    return path;
  }

  void addShape(StringRef name, StringRef type, int64_t size) {
    writer.integers(addNode(name, type) + "/shape", size);
  }

  void addLayer(const SpikingLayer &layer) {
    int64_t neurons = layer.neurons.size(), lines = layer.inputs.size();
    std::vector<float> weights(layer.weights.begin(), layer.weights.end());
    std::vector<float> thresholds(layer.thresholds.begin(),
                                  layer.thresholds.end());
    std::string affine = addNode(nodeName(names.size(), "affine"), "Affine");
    writer.reals(affine + "/weight", {neurons, lines}, weights);
    writer.reals(affine + "/bias", neurons, std::vector<float>(neurons, 0.0f));
    addNeurons(thresholds);
  }

  /// Integrates without loss: with r = tau / dt a step adds its input; what
  /// leaks afterwards is nothing (CubaLIF) or does not matter (LIF, a ladder).
  void addNeurons(ArrayRef<float> thresholds) {
    const StringRef nodes[] = {"if", "lif", "cubalif"};
    const StringRef types[] = {"IF", "LIF", "CubaLIF"};
    auto kind = static_cast<size_t>(neuron);
    std::string node =
        addNode(nodeName(names.size(), nodes[kind]), types[kind]);
    int64_t neurons = thresholds.size();
    auto all = [&](StringRef name, double value) {
      std::vector<float> values(neurons, static_cast<float>(value));
      writer.reals(node + "/" + name.str(), neurons, values);
    };
    writer.reals(node + "/v_threshold", neurons, thresholds);
    if (neuron == Neuron::IF)
      return all("r", 1);
    all("v_leak", 0);
    if (neuron == Neuron::LIF) {
      all("tau", 2 * lifStep);
      return all("r", 2);
    }
    // dt = 1; a decay of 2^-40 is lost against any integer below 2^24.
    all("tau_mem", 0x1p40);
    all("tau_syn", 1);
    all("r", 0x1p40);
    all("w_in", 1);
  }

  void addEdges() {
    std::vector<std::array<StringRef, 2>> edges;
    for (size_t i = 0; i + 1 < names.size(); ++i)
      edges.push_back({names[i], names[i + 1]});
    std::vector<ArrayRef<StringRef>> rows(edges.begin(), edges.end());
    writer.texts("node/edges", rows);
  }

  /// The graph is right without it; it says how to read the output.
  void addMetadata() {
    std::vector<int64_t> channels, signs;
    for (const SpikeLine &line : network.outputLines()) {
      channels.push_back(line.channel);
      signs.push_back(line.sign);
    }
    writer.text("node/metadata/spikequant_code", nameOf(network.code));
    writer.integers("node/metadata/spikequant_output_channel", channels);
    writer.integers("node/metadata/spikequant_output_sign", signs);
  }

  const SpikingNetwork &network;
  Neuron neuron;
  Hdf5Writer writer;
  std::vector<std::string> names;
};

/// Stimulus and expected output as NIRData.
class NirData {
public:
  NirData(const SpikingNetwork &network, const Stimulus &stimulus)
      : network(network), stimulus(stimulus) {}

  Error write(raw_ostream &os) {
    addObservable(inputName(), network.inputLines(),
                  [&](const Sample &sample, const SpikeLine &line) {
                    return network.spikes(line, sample.counts, 0);
                  });
    addObservable(outputName(network), network.outputLines(),
                  [&](const Sample &sample, const SpikeLine &line) {
                    return line.sign * sample.outputs[line.channel] >=
                           line.index;
                  });
    writer.attribute("/", "__type__", StringRef("NIRGraphData"));
    return writer.finish(os);
  }

private:
  template <typename Spikes>
  void addObservable(StringRef node, ArrayRef<SpikeLine> lines,
                     Spikes &&spikes) {
    std::string path = ("nodes/" + node).str();
    std::string observable = path + "/observables/spikes";
    std::vector<int8_t> grid;
    for (const Sample &sample : stimulus.samples)
      for (const SpikeLine &line : lines)
        grid.push_back(spikes(sample, line));
    int64_t samples = stimulus.samples.size();
    writer.booleans(observable + "/data", {samples, 1, int64_t(lines.size())},
                    grid);
    writer.attribute(path, "__type__", StringRef("NIRNodeData"));
    writer.attribute(observable, "__type__", StringRef("TimeGriddedData"));
    writer.attribute(observable, "dt", 1.0);
  }

  const SpikingNetwork &network;
  const Stimulus &stimulus;
  Hdf5Writer writer;
};

class NirTarget : public NeuromorphicTarget {
public:
  explicit NirTarget(Neuron neuron = Neuron::IF) : neuron(neuron) {}

  StringRef name() const override {
    const StringRef names[] = {"nir", "nir-lif", "nir-cubalif"};
    return names[static_cast<size_t>(neuron)];
  }
  StringRef summary() const override {
    const StringRef summaries[] = {
        "NIR graph of integrate-and-fire nodes, an HDF5 file",
        "NIR graph of LIF nodes, tau = 2e-4 s, for a step of 1e-4 s",
        "NIR graph of CubaLIF nodes, for subtract reset and a step of 1 s"};
    return summaries[static_cast<size_t>(neuron)];
  }
  ArrayRef<SpikeCode> codes() const override {
    static const SpikeCode ladder[] = {SpikeCode::Ladder};
    static const SpikeCode gated[] = {SpikeCode::Gated};
    return neuron == Neuron::CubaLIF ? gated : ladder;
  }
  void check(const ExportJob &job, Problems &problems) const override {
    checkMembranes(*job.spiking, exactBits, "f32", problems);
  }
  Error write(const ExportJob &job, raw_ostream &os) const override {
    return NirGraph(*job.spiking, neuron).write(os);
  }

private:
  Neuron neuron;
};

class NirDataTarget : public NirTarget {
public:
  StringRef name() const override { return "nir-data"; }
  StringRef summary() const override {
    return "NIRData file: the stimulus and the expected output of the graph";
  }
  void check(const ExportJob &job, Problems &problems) const override {
    NirTarget::check(job, problems);
    if (!job.stimulus)
      problems.push_back({Problem::onInput, "needs --stimulus=in.npz"});
  }
  Error write(const ExportJob &job, raw_ostream &os) const override {
    return NirData(*job.spiking, *job.stimulus).write(os);
  }
};

} // namespace

namespace spikequant {
void addNirTargets(TargetList &targets) {
  for (Neuron neuron : {Neuron::IF, Neuron::LIF, Neuron::CubaLIF})
    targets.push_back(std::make_unique<NirTarget>(neuron));
  targets.push_back(std::make_unique<NirDataTarget>());
}
} // namespace spikequant
