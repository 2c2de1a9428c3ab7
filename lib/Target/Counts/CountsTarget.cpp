//===- CountsTarget.cpp - operations of a layer in every code -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Exact counts over the stimulus, no prices. The definitions are a table in
// docs/OperationCounts.md. Weights are not packed here: no bytes from DRAM.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Energy/OperationCounts.h"
#include "spikequant/Target/Target.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace llvm;
using namespace spikequant;

namespace {

LayerActivity describe(const Layer &layer,
                       ArrayRef<std::vector<int16_t>> rows) {
  LayerActivity activity;
  activity.name = layer.name;
  activity.inputs = layer.inputs;
  activity.outputs = layer.outputs;
  activity.lo = layer.lo;
  activity.hi = layer.hi;
  activity.fanOut.assign(layer.inputs, 0);
  for (int64_t o = 0; o < layer.outputs; ++o)
    for (int64_t j = 0; j < layer.inputs; ++j)
      activity.fanOut[j] += layer.weight(o, j) != 0;
  auto [least, largest] =
      std::minmax_element(layer.weights.begin(), layer.weights.end());
  activity.weightBits = signedBits(std::min(*least, 0), std::max(*largest, 0));
  for (const std::vector<int16_t> &counts : rows)
    activity.observe(counts);
  activity.rows = activity.observedRows;
  return activity;
}

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
    CountsReport report;
    report.name = network.name;
    for (size_t i = 0; i < inputs.size(); ++i)
      report.layers.push_back(describe(network.layers[i], inputs[i]));
    setWindows(network, report);
    json::OStream json(os, /*IndentSize=*/1);
    writeCounts(report, json);
    os << "\n";
    return Error::success();
  }

private:
  static void setWindows(const Network &network, CountsReport &report) {
    LayerActivity &first = report.layers[0];
    first.input = network.input.name;
    for (int32_t window : network.input.windows) {
      first.windows.push_back(window);
      first.bits.push_back(llvm::Log2_64_Ceil(2 * window + 1));
    }
    for (size_t i = 1; i < report.layers.size(); ++i) {
      const Layer &before = network.layers[i - 1];
      LayerActivity &layer = report.layers[i];
      layer.input = before.name;
      layer.windows.assign(layer.inputs, std::max(before.hi, -before.lo));
      layer.bits.assign(layer.inputs,
                        llvm::Log2_64_Ceil(before.hi - before.lo + 1));
    }
  }
};

} // namespace

namespace spikequant {
void addCountsTargets(TargetList &targets) {
  targets.push_back(std::make_unique<CountsTarget>());
}
} // namespace spikequant
