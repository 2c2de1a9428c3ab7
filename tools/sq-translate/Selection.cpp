//===- Selection.cpp - layers of a compiled model for sq-translate --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Selection.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/ChannelRotations.h"
#include "spikequant/Reference/Npz.h"
#include "spikequant/Weights/Safetensors.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"

#include <cmath>

using namespace llvm;
using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

static cl::OptionCategory category("selected layers");
static cl::opt<std::string>
    selectText("select", cl::value_desc("SITE[rows,columns],.."),
               cl::cat(category),
               cl::desc("Export a tile of one layer of a quantised graph, "
                        "blk.0.ffn_down[0:64,0:64], or a chain of layers"));
static cl::opt<std::string>
    weightsPath("weights", cl::value_desc("weights.sqw"), cl::cat(category),
                cl::desc("Packed weights of the selected layers"));
static cl::opt<float>
    outputStep("output-step", cl::init(0.0f), cl::cat(category),
               cl::desc("Real value of one output count of the last layer "
                        "(default: least error on the stimulus)"));
static cl::opt<unsigned>
    outputBits("output-bits", cl::init(4), cl::cat(category),
               cl::desc("Bits of an output count of the last layer, 2 to 8"));
static cl::opt<unsigned>
    rowLimit("rows", cl::init(0), cl::cat(category),
             cl::desc("Use the first rows of the stimulus only"));
static cl::opt<std::string> realWeightsPath(
    "real-weights", cl::value_desc("safetensors"), cl::cat(category),
    cl::desc("Weights before rounding, for a comparison with real numbers"));
static cl::opt<std::string>
    folderPath("selection-folder", cl::value_desc("folder"), cl::cat(category),
               cl::desc("Also write the selected program, its inputs, expected "
                        "outputs and a report there"));

bool mlir::spikequant::isSelectionWanted() { return !selectText.empty(); }

Expected<std::vector<float>>
mlir::spikequant::readRealInputs(StringRef path, StringRef site,
                                 int64_t channels) {
  Expected<sq::NpzArrays> arrays = sq::readNpz(path);
  if (!arrays)
    return arrays.takeError();
  auto found = arrays->find((site + ".x").str());
  if (found == arrays->end())
    found = arrays->find("arg0");
  bool fits = found != arrays->end() && found->second.type == "f4" &&
              !found->second.shape.empty() &&
              found->second.shape.back() == channels;
  if (!fits)
    return createStringError(
        "'" + path + "' must hold '" + site +
        ".x' or 'arg0': float32 [samples, channels], with " + Twine(channels) +
        " channels" +
        (found == arrays->end() ? "" : ", not " + found->second.describe()));
  std::vector<float> values = found->second.values<float>();
  if (values.empty())
    return createStringError("'" + path + "' holds no sample");
  if (rowLimit && values.size() > size_t(rowLimit) * channels)
    values.resize(size_t(rowLimit) * channels);
  return values;
}

FailureOr<Selection> mlir::spikequant::readSelection(func::FuncOp function,
                                                     StringRef stimulus) {
  auto parsed = parseSelection(selectText);
  if (!parsed)
    return function.emitError() << toString(parsed.takeError());
  if (weightsPath.empty())
    return function.emitError() << "--select needs --weights=weights.sqw";
  if (outputBits < 2 || outputBits > 8 || !(outputStep >= 0))
    return function.emitError()
           << "--output-bits must be 2 to 8, --output-step not below 0";
  Expected<sq::PackedFile> packed =
      sq::PackedFile::open(weightsPath, /*verifyChecksum=*/true);
  if (!packed)
    return function.emitError() << toString(packed.takeError());
  auto weights = std::make_unique<sq::PackedFile>(std::move(*packed));
  SelectOptions options;
  options.packed = weights.get();
  options.outputStep = outputStep;
  options.window = (1 << (outputBits - 1)) - 1;
  if (!stimulus.empty())
    options.inputs = [=](StringRef site, int64_t channels) {
      return readRealInputs(stimulus, site, channels);
    };
  FailureOr<SelectedNetwork> selected =
      selectLayers(function, *parsed, options);
  if (failed(selected))
    return failure();
  return Selection{std::move(weights), std::move(*selected)};
}

//===----------------------------------------------------------------------===//
// Arrays
//===----------------------------------------------------------------------===//

template <typename T>
static sq::NpyArray makeArray(StringRef type, std::vector<int64_t> shape,
                              ArrayRef<T> values) {
  const char *bytes = reinterpret_cast<const char *>(values.data());
  return {type.str(), std::move(shape),
          std::vector<char>(bytes, bytes + values.size() * sizeof(T))};
}

/// Rows (channel, sign, index).
static sq::NpyArray makeLines(ArrayRef<sq::SpikeLine> lines) {
  std::vector<int64_t> values;
  for (const sq::SpikeLine &line : lines)
    values.insert(values.end(), {line.channel, line.sign, line.index});
  return makeArray<int64_t>("i8", {int64_t(lines.size()), 3}, values);
}

static sq::NpzArrays expectedArrays(const SelectedNetwork &selected,
                                    const sq::SpikingNetwork &realised,
                                    const sq::Stimulus &stimulus) {
  std::vector<int16_t> counts, outputs;
  for (const sq::Sample &sample : stimulus.samples) {
    llvm::append_range(counts, sample.counts);
    llvm::append_range(outputs, sample.outputs);
  }
  const sq::Network &network = selected.located.network;
  int64_t samples = stimulus.samples.size();
  sq::NpzArrays arrays;
  arrays["counts"] =
      makeArray<int16_t>("i2", {samples, network.input.channels()}, counts);
  arrays["outputs"] =
      makeArray<int16_t>("i2", {samples, network.outputs()}, outputs);
  if (realised.layers.empty())
    return arrays;
  arrays["lines"] = makeLines(realised.inputLines());
  arrays["neurons"] = makeLines(realised.outputLines());
  arrays["pulses"] = makeArray<int64_t>("i8", {int64_t(realised.pulses.size())},
                                        realised.pulses);
  return arrays;
}

//===----------------------------------------------------------------------===//
// The report
//===----------------------------------------------------------------------===//

namespace {
/// Root mean squares of outputs in real numbers, and of what they differ by.
struct RealError {
  double magnitude = 0;
  double error = 0;
  double unsaturated = 0; ///< Error if no input saturated.
};

class Report {
public:
  Report(const SelectedNetwork &selected, const sq::SpikingNetwork &realised,
         const sq::Stimulus &stimulus)
      : selected(selected), network(selected.located.network),
        realised(realised), stimulus(stimulus) {}

  json::Object create(StringRef target, std::optional<RealError> real) const;

private:
  bool isSpiking() const { return !realised.layers.empty(); }
  int64_t neuronsOf(size_t index) const {
    return isSpiking() ? realised.layers[index].neurons.size()
                       : network.layers[index].outputs;
  }
  int64_t synapsesOf(size_t index) const {
    auto count = [](const auto &weights) -> int64_t {
      return weights.size() - llvm::count(weights, 0);
    };
    return isSpiking() ? count(realised.layers[index].weights)
                       : count(network.layers[index].weights);
  }
  json::Object describeLayer(size_t index) const;

  const SelectedNetwork &selected;
  const sq::Network &network;
  const sq::SpikingNetwork &realised;
  const sq::Stimulus &stimulus;
};
} // namespace

json::Object Report::describeLayer(size_t index) const {
  const SelectedLayer &layer = selected.layers[index];
  const sq::Layer &plain = network.layers[index];
  auto range = [](IndexRange r) { return json::Array{r.first, r.end}; };
  return json::Object{
      {"site", plain.name},
      {"rows", range(layer.rows)},
      {"columns", range(layer.columns)},
      {"window", json::Object{{"lo", plain.lo}, {"hi", plain.hi}}},
      {"neurons", neuronsOf(index)},
      {"synapses", synapsesOf(index)},
      {"largest_membrane",
       *llvm::max_element(sq::membraneBounds(network)[index])},
      {"shift", plain.thresholds.front().shift},
      {"threshold_error", layer.thresholdError},
      {"levels", layer.levels},
      {"changed_levels", layer.changedLevels},
      {"largest_change", layer.largestChange}};
}

json::Object Report::create(StringRef target,
                            std::optional<RealError> real) const {
  json::Array layers;
  int64_t neurons = 0, synapses = 0;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    layers.push_back(describeLayer(i));
    neurons += neuronsOf(i);
    synapses += synapsesOf(i);
  }
  int64_t outputs = stimulus.samples.size() * network.outputs();
  json::Object report{
      {"format", "spikequant-selection"},
      {"version", 1},
      {"target", target},
      {"code", sq::nameOf(isSpiking() ? realised.code : sq::SpikeCode::Count)},
      {"network", network.name},
      {"samples", int64_t(stimulus.samples.size())},
      {"inputs", network.input.channels()},
      {"outputs", network.outputs()},
      {"neurons", neurons},
      {"synapses", synapses},
      {"steps", isSpiking() ? realised.steps : int64_t(layers.size())},
      {"values", stimulus.values},
      {"saturated", stimulus.saturated},
      {"saturated_share", double(stimulus.saturated) / stimulus.values},
      {"changed_outputs", stimulus.changedOutputs},
      {"changed_outputs_share", double(stimulus.changedOutputs) / outputs},
      {"mean_output_error", stimulus.meanOutputError},
      {"output_step", selected.outputStep},
      {"layers", std::move(layers)}};
  if (isSpiking())
    report["input_lines"] = int64_t(realised.inputLines().size());
  if (real) {
    report["real_output_magnitude"] = real->magnitude;
    report["real_output_error"] = real->error;
    report["real_output_error_unsaturated"] = real->unsaturated;
  }
  return report;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static RealError compare(const sq::Stimulus &stimulus, float step,
                         ArrayRef<double> real) {
  RealError result;
  for (const sq::Sample &sample : stimulus.samples) {
    for (auto [count, exact, y] :
         llvm::zip(sample.outputs, sample.unsaturated, real)) {
      result.magnitude += y * y;
      result.error += std::pow(double(count) * step - y, 2);
      result.unsaturated += std::pow(double(exact) * step - y, 2);
    }
    real = real.drop_front(sample.outputs.size());
  }
  double values = stimulus.samples.size() * stimulus.samples[0].outputs.size();
  for (double *sum : {&result.magnitude, &result.error, &result.unsaturated})
    *sum = std::sqrt(*sum / values);
  return result;
}

/// Outputs in real numbers; nothing if the weights before rounding are not
/// known, or are not an array of the file as it is (gains and centres are
/// folded in).
static Expected<std::optional<std::vector<double>>>
evaluateReal(const SelectedNetwork &selected) {
  // A view is some elements of an array, in an order of their own.
  bool folded = llvm::any_of(selected.layers, [](SelectedLayer layer) {
    return layer.encode.getGainsAttr() || layer.encode.getCentresAttr() ||
           layer.weights->getAttr("view");
  });
  bool literal = llvm::all_of(selected.layers, [](SelectedLayer layer) {
    return layer.weights.getValue().has_value();
  });
  if (folded || (!literal && realWeightsPath.empty()))
    return std::nullopt;
  std::optional<sq::SafetensorsFile> source;
  if (!realWeightsPath.empty()) {
    Expected<sq::SafetensorsFile> opened =
        sq::SafetensorsFile::open(realWeightsPath);
    if (!opened)
      return opened.takeError();
    source = std::move(*opened);
    addRotations(selected.layers[0].weights->getParentOfType<ModuleOp>(),
                 *source);
  }
  auto values = evaluateInReals(selected, source ? &*source : nullptr);
  if (!values)
    return values.takeError();
  return std::move(*values);
}

static std::string fileNamed(StringRef name) {
  SmallString<256> path(folderPath);
  sys::path::append(path, name);
  return path.str().str();
}

static Error writeText(StringRef name,
                       llvm::function_ref<void(raw_ostream &)> write) {
  return writeToOutput(fileNamed(name), [&](raw_ostream &os) {
    write(os);
    return Error::success();
  });
}

static Error writeProgram(const Selection &selection) {
  auto program = writeSelectedProgram(selection.selected, *selection.packed,
                                      fileNamed("weights.sqw"));
  if (!program)
    return program.takeError();
  return writeText("quantized.mlir",
                   [&](raw_ostream &os) { (*program)->print(os); });
}

Error mlir::spikequant::writeSelection(const Selection &selection,
                                       StringRef target,
                                       const sq::SpikingNetwork &realised,
                                       const sq::Stimulus *stimulus) {
  if (folderPath.empty())
    return Error::success();
  if (!stimulus)
    return createStringError("--selection-folder needs --stimulus");
  const SelectedNetwork &selected = selection.selected;
  if (std::error_code code = sys::fs::create_directories(folderPath))
    return createStringError(code, "cannot create '" + folderPath + "'");
  if (Error failure = writeProgram(selection))
    return failure;
  sq::NpzArrays arrays = expectedArrays(selected, realised, *stimulus);
  auto real = evaluateReal(selected);
  if (!real)
    return real.takeError();
  std::optional<RealError> error;
  if (*real) {
    error = compare(*stimulus, selected.outputStep, **real);
    arrays["real"] = makeArray<double>("f8", arrays["outputs"].shape, **real);
  }
  if (Error failure = sq::writeNpz(fileNamed("expected.npz"), arrays))
    return failure;
  sq::NpzArrays inputs;
  inputs["arg0"] = makeArray<float>(
      "f4", {selected.samples(), selected.located.network.input.channels()},
      selected.inputs);
  if (Error failure = sq::writeNpz(fileNamed("inputs.npz"), inputs))
    return failure;
  json::Object report =
      Report(selected, realised, *stimulus).create(target, error);
  return writeText("report.json", [&](raw_ostream &os) {
    json::OStream(os, /*IndentSize=*/1).value(json::Value(std::move(report)));
    os << "\n";
  });
}
