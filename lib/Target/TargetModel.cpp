//===- TargetModel.cpp - limits from a file and the fit check -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/TargetModel.h"

#include "spikequant/Support/Json.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cstdlib>

using namespace llvm;
using namespace spikequant;

static Error modelError(StringRef what, const Twine &message) {
  return createStringError("target model " + what + ": " + message);
}

static Error checkHeader(const json::Object &object, StringRef what) {
  if (object.getString("format") != "spikequant-target-model")
    return modelError(what, "'format' must be \"spikequant-target-model\"");
  if (object.getInteger("version") != 1)
    return modelError(what, "'version' must be 1");
  if (!object.getString("name"))
    return modelError(what, "needs a 'name'");
  return Error::success();
}

Expected<TargetModel> spikequant::parseTargetModel(StringRef text,
                                                   StringRef what) {
  Expected<json::Object> object =
      parseJsonObject(text, "target model " + Twine(what));
  if (!object)
    return object.takeError();
  if (Error failure = checkHeader(*object, what))
    return std::move(failure);
  TargetModel model;
  model.name = object->getString("name")->str();
  StringMap<std::optional<int64_t> *> limits = {
      {"cores", &model.cores},
      {"neurons_per_core", &model.neuronsPerCore},
      {"inputs_per_core", &model.inputsPerCore},
      {"fan_in", &model.fanIn},
      {"weight_bits", &model.weightBits},
      {"membrane_bits", &model.membraneBits}};
  for (const auto &[key, value] : *object) {
    StringRef name = key;
    if (name == "format" || name == "version" || name == "name" ||
        name == "comment")
      continue;
    auto limit = limits.find(name);
    if (limit == limits.end())
      return modelError(what, "unknown key '" + name + "'");
    std::optional<int64_t> number = value.getAsInteger();
    bool isBits = name.ends_with("_bits");
    if (!number || *number < 1 || (isBits && *number > 62))
      return modelError(what, "'" + name + "' must be a whole number " +
                                  (isBits ? "of 1 to 62" : "above 0"));
    *limit->second = number;
  }
  return model;
}

namespace {
class Fit {
public:
  Fit(const TargetModel &model, Problems &problems)
      : model(model), problems(problems) {}

  void check(const SpikingNetwork &network) {
    int64_t needed = coresFor(network.inputLines().size(), model.inputsPerCore);
    for (auto [index, layer] : llvm::enumerate(network.layers)) {
      needed += coresFor(layer.neurons.size(), model.neuronsPerCore);
      checkSynapses(layer, index);
      int64_t bits = model.membraneBits.value_or(63) - 1;
      if (layer.membraneBound >= int64_t(1) << bits)
        report(index, "FIT-C4: membranes of '" + layer.name + "' reach " +
                          Twine(layer.membraneBound) + ", those of '" +
                          model.name + "' have " + Twine(bits + 1) + " bits");
    }
    if (model.cores && needed > *model.cores)
      report(Problem::onInput, "FIT-C1: needs " + Twine(needed) + " cores, '" +
                                   model.name + "' has " + Twine(*model.cores));
  }

private:
  static int64_t coresFor(int64_t units, std::optional<int64_t> perCore) {
    return perCore ? divideCeil(units, *perCore) : 1;
  }

  void report(int layer, const Twine &message) {
    problems.push_back({layer, message.str()});
  }

  void checkSynapses(const SpikingLayer &layer, int index) {
    int64_t lines = layer.inputs.size(), fanIn = 0, largest = 0, wide = 0;
    int64_t limit = int64_t(1) << (model.weightBits.value_or(63) - 1);
    for (size_t neuron = 0; neuron < layer.neurons.size(); ++neuron) {
      int64_t synapses = 0;
      for (int64_t line = 0; line < lines; ++line) {
        int64_t magnitude = std::abs(layer.weight(neuron, line));
        synapses += magnitude != 0;
        wide += magnitude >= limit;
        largest = std::max(largest, magnitude);
      }
      fanIn = std::max(fanIn, synapses);
    }
    if (model.fanIn && fanIn > *model.fanIn)
      report(index, "FIT-C2: a neuron of '" + layer.name + "' has " +
                        Twine(fanIn) + " synapses, '" + model.name +
                        "' allows " + Twine(*model.fanIn));
    if (wide)
      report(index, "FIT-C3: " + Twine(wide) + " weights of '" + layer.name +
                        "', the largest " + Twine(largest) +
                        ", do not fit the " + Twine(*model.weightBits) +
                        " bits of '" + model.name + "'");
  }

  const TargetModel &model;
  Problems &problems;
};
} // namespace

void spikequant::checkFit(const SpikingNetwork &network,
                          const TargetModel &model, Problems &problems) {
  Fit(model, problems).check(network);
}
