//===- sq-translate.cpp - programs to neuromorphic descriptions -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One option --spikequant-to-<target> per folder of lib/Target.
//
//===----------------------------------------------------------------------===//

#include "Selection.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/Registration.h"
#include "spikequant/Target/Target.h"
#include "spikequant/Tool/ToolMain.h"

#include "mlir/Tools/mlir-translate/MlirTranslateMain.h"
#include "mlir/Tools/mlir-translate/Translation.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace llvm;
using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

static cl::OptionCategory category("neuromorphic targets");
static cl::opt<std::string> functionName("function", cl::cat(category),
                                         cl::desc("Network to export (default: "
                                                  "the only function)"));
static cl::opt<std::string>
    stimulusPath("stimulus", cl::value_desc("in.npz"), cl::cat(category),
                 cl::desc("Real inputs, arg0: float32 [samples, channels]"));
static cl::opt<std::string>
    modelPath("target-model", cl::value_desc("model.json"), cl::cat(category),
              cl::desc("Refuse what does not fit this chip"));

static cl::opt<sq::SpikeCode> codeName(
    "code", cl::cat(category),
    cl::desc("Spike code, if the program names none (default: the target's)"),
    cl::values(clEnumValN(sq::SpikeCode::Count, "count", "graded spikes"),
               clEnumValN(sq::SpikeCode::Ladder, "ladder",
                          "a neuron per level"),
               clEnumValN(sq::SpikeCode::Gated, "gated",
                          "a neuron per rail, windows of steps")));
/// Inputs from --stimulus, evaluated by the definitions.
static Expected<sq::Stimulus> readStimulus(const sq::Network &network) {
  Expected<std::vector<float>> values = readRealInputs(
      stimulusPath, network.input.name, network.input.channels());
  if (!values)
    return values.takeError();
  return sq::evaluateNetwork(network, *values,
                             values->size() / network.input.channels());
}

static Expected<sq::TargetModel> readModel() {
  auto buffer = MemoryBuffer::getFile(modelPath, /*IsText=*/true);
  if (!buffer)
    return createStringError("cannot read '" + modelPath +
                             "': " + buffer.getError().message());
  return sq::parseTargetModel((*buffer)->getBuffer(), "'" + modelPath + "'");
}

/// What saturation did to the stimulus; the numbers that overflow = saturate
/// has to answer for.
static void remarkSaturation(const LocatedNetwork &located,
                             const sq::Stimulus &stimulus) {
  emitRemark(located.inputLocation)
      << "overflow = saturate: " << stimulus.saturated << " of "
      << stimulus.values << " counts saturated, " << stimulus.changedOutputs
      << " of " << stimulus.samples.size() * located.network.outputs()
      << " outputs changed, by "
      << llvm::formatv("{0:f4}", stimulus.meanOutputError).str()
      << " counts on average";
}

/// A network, and the selection that it is, if it is one.
struct LoadedNetwork {
  LocatedNetwork located;
  std::optional<Selection> selection;
};

static FailureOr<LoadedNetwork> readNetwork(func::FuncOp function) {
  if (!isSelectionWanted()) {
    FailureOr<LocatedNetwork> located = buildNetwork(function);
    if (failed(located))
      return failure();
    return LoadedNetwork{std::move(*located), std::nullopt};
  }
  FailureOr<Selection> selection = readSelection(function, stimulusPath);
  if (failed(selection))
    return failure();
  LocatedNetwork located = selection->selected.located;
  return LoadedNetwork{std::move(located), std::move(*selection)};
}

static Expected<sq::Stimulus> stimulate(const LoadedNetwork &loaded) {
  const sq::Network &network = loaded.located.network;
  if (!loaded.selection)
    return readStimulus(network);
  const SelectedNetwork &selected = loaded.selection->selected;
  return sq::evaluateNetwork(network, selected.inputs, selected.samples());
}

static LogicalResult translate(const sq::NeuromorphicTarget &target,
                               ModuleOp module, raw_ostream &os) {
  module.getContext()->printOpOnDiagnostic(false);
  FailureOr<func::FuncOp> function = findNetworkFunction(module, functionName);
  if (failed(function))
    return failure();
  FailureOr<LoadedNetwork> loaded = readNetwork(*function);
  if (failed(loaded))
    return failure();
  const LocatedNetwork &located = loaded->located;
  sq::ExportOptions options;
  options.code = located.code;
  if (!options.code && codeName.getNumOccurrences())
    options.code = codeName;
  sq::Stimulus stimulus;
  // A broken network has no outputs; the export says why.
  if (!stimulusPath.empty() && sq::checkNetwork(located.network).empty()) {
    Expected<sq::Stimulus> read = stimulate(*loaded);
    if (!read)
      return module.emitError() << toString(read.takeError());
    stimulus = std::move(*read);
    options.stimulus = &stimulus;
  }
  sq::TargetModel model;
  if (!modelPath.empty()) {
    Expected<sq::TargetModel> read = readModel();
    if (!read)
      return module.emitError() << toString(read.takeError());
    model = std::move(*read);
    options.model = &model;
  }
  sq::SpikingNetwork realised;
  options.realised = &realised;
  sq::Problems problems =
      sq::exportNetwork(target, located.network, options, os);
  for (const sq::Problem &problem : problems)
    emitError(located.locationOf(problem.layer)) << problem.message;
  if (!problems.empty())
    return failure();
  if (options.stimulus)
    remarkSaturation(located, stimulus);
  if (loaded->selection)
    if (Error failure = writeSelection(*loaded->selection, target.name(),
                                       realised, options.stimulus))
      return module.emitError() << toString(std::move(failure));
  return success();
}

int main(int argc, char **argv) {
  handleFatalErrors("sq-translate");
  std::vector<std::unique_ptr<TranslateFromMLIRRegistration>> registrations;
  for (const auto &target : sq::allTargets()) {
    auto run = [&target](ModuleOp module, raw_ostream &os) {
      return translate(*target, module, os);
    };
    registrations.push_back(std::make_unique<TranslateFromMLIRRegistration>(
        ("spikequant-to-" + target->name()).str(), target->summary(), run,
        registerSpikeQuantDialects));
  }
  return failed(mlirTranslateMain(
      argc, argv, "Neuromorphic descriptions of SpikeQuant programs"));
}
