//===- JsonTarget.cpp - SpikeQuant's own description ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The schema is docs/schema/network-1.json.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/Target.h"

#include "llvm/Support/JSON.h"

using namespace llvm;
using namespace spikequant;

namespace {

/// Writes an array on one line.
template <typename Range>
void writeNumbers(json::OStream &json, const Range &values) {
  json.rawValue([&](raw_ostream &os) {
    json::OStream line(os);
    line.array([&] {
      for (auto value : values)
        line.value(value);
    });
  });
}

void writeInput(json::OStream &json, const InputPopulation &input) {
  std::vector<double> rates, membranes;
  for (const EncodeThreshold &threshold : input.thresholds) {
    rates.push_back(threshold.rate);
    membranes.push_back(threshold.membrane);
  }
  json.attributeObject("input", [&] {
    json.attribute("name", input.name);
    json.attribute("channels", input.channels());
    json.attribute("overflow", "saturate");
    json.attribute("step", input.step);
    json.attributeBegin("rates");
    writeNumbers(json, rates);
    json.attributeEnd();
    json.attributeBegin("initial_membranes");
    writeNumbers(json, membranes);
    json.attributeEnd();
    json.attributeBegin("windows");
    writeNumbers(json, input.windows);
    json.attributeEnd();
  });
}

void writeThresholds(json::OStream &json, const Layer &layer) {
  json.attributeArray("thresholds", [&] {
    for (int64_t o = 0; o < layer.outputs; ++o)
      json.rawValue([&](raw_ostream &os) {
        json::OStream line(os);
        line.array([&] {
          for (int32_t k = layer.lo + 1; k <= layer.hi; ++k)
            line.value(fireLadder(k, layer.thresholds[o]));
        });
      });
  });
}

void writeLayer(json::OStream &json, const Layer &layer,
                ArrayRef<int64_t> bounds) {
  json.object([&] {
    json.attribute("name", layer.name);
    json.attribute("inputs", layer.inputs);
    json.attribute("outputs", layer.outputs);
    json.attributeArray("weights", [&] {
      for (int64_t o = 0; o < layer.outputs; ++o)
        writeNumbers(json, ArrayRef<int32_t>(layer.weights)
                               .slice(o * layer.inputs, layer.inputs));
    });
    json.attributeObject("window", [&] {
      json.attribute("lo", layer.lo);
      json.attribute("hi", layer.hi);
    });
    writeThresholds(json, layer);
    json.attributeBegin("membrane_bounds");
    writeNumbers(json, bounds);
    json.attributeEnd();
  });
}

void writeLines(json::OStream &json, StringRef key, ArrayRef<SpikeLine> lines) {
  json.attributeArray(key, [&] {
    for (const SpikeLine &line : lines)
      writeNumbers(json, std::initializer_list<int64_t>{line.channel, line.sign,
                                                        line.index});
  });
}

void writePopulation(json::OStream &json, const SpikingLayer &layer) {
  json.object([&] {
    json.attribute("name", layer.name);
    writeLines(json, "neurons", layer.neurons);
    json.attributeBegin("thresholds");
    writeNumbers(json, layer.thresholds);
    json.attributeEnd();
    json.attribute("membrane_bound", layer.membraneBound);
    json.attributeArray("synapses", [&] {
      for (int64_t n = 0, e = layer.neurons.size(); n < e; ++n)
        for (int64_t line = 0, f = layer.inputs.size(); line < f; ++line)
          if (int64_t weight = layer.weight(n, line))
            writeNumbers(json, std::initializer_list<int64_t>{line, n, weight});
    });
  });
}

void writeSpiking(json::OStream &json, const SpikingNetwork &spiking) {
  json.attributeObject("spiking", [&] {
    json.attribute("reset", "subtract");
    json.attribute("steps", spiking.steps);
    json.attributeBegin("pulses");
    writeNumbers(json, spiking.pulses);
    json.attributeEnd();
    writeLines(json, "lines", spiking.inputLines());
    json.attributeArray("populations", [&] {
      for (const SpikingLayer &layer : spiking.layers)
        writePopulation(json, layer);
    });
  });
}

void writeStimulus(json::OStream &json, const Stimulus &stimulus) {
  json.attributeObject("stimulus", [&] {
    json.attribute("values", stimulus.values);
    json.attribute("saturated", stimulus.saturated);
    json.attribute("changed_outputs", stimulus.changedOutputs);
    json.attribute("mean_output_error", stimulus.meanOutputError);
    json.attributeArray("counts", [&] {
      for (const Sample &sample : stimulus.samples)
        writeNumbers(json, sample.counts);
    });
    json.attributeArray("outputs", [&] {
      for (const Sample &sample : stimulus.samples)
        writeNumbers(json, sample.outputs);
    });
  });
}

class JsonTarget : public NeuromorphicTarget {
public:
  StringRef name() const override { return "json"; }
  StringRef summary() const override {
    return "SpikeQuant's description of populations, thresholds, weights";
  }
  ArrayRef<SpikeCode> codes() const override {
    static const SpikeCode all[] = {SpikeCode::Count, SpikeCode::Ladder,
                                    SpikeCode::Gated};
    return all;
  }

  Error write(const ExportJob &job, raw_ostream &os) const override {
    std::vector<std::vector<int64_t>> bounds = membraneBounds(job.network);
    json::OStream json(os, /*IndentSize=*/1);
    json.object([&] {
      json.attribute("format", "spikequant-network");
      json.attribute("version", 1);
      json.attribute("name", job.network.name);
      json.attribute("code", nameOf(job.network.code));
      writeInput(json, job.network.input);
      json.attributeArray("layers", [&] {
        for (auto [layer, rows] : llvm::zip(job.network.layers, bounds))
          writeLayer(json, layer, rows);
      });
      if (job.spiking)
        writeSpiking(json, *job.spiking);
      if (job.stimulus)
        writeStimulus(json, *job.stimulus);
    });
    os << "\n";
    return Error::success();
  }
};

} // namespace

namespace spikequant {
void addJsonTargets(TargetList &targets) {
  targets.push_back(std::make_unique<JsonTarget>());
}
} // namespace spikequant
