//===- sq-translate.cpp - programs to neuromorphic descriptions -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One option --spikequant-to-<target> per folder of lib/Target.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/SpikeQuantToNeuromorphic.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Registration.h"
#include "spikequant/Reference/Npz.h"
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
static cl::opt<std::string>
    selectText("select", cl::value_desc("SITE[rows,columns]"),
               cl::cat(category),
               cl::desc("Export a tile of one layer of a quantised graph, "
                        "blk.0.ffn_down[0:64,0:64]"));
static cl::opt<std::string>
    weightsPath("weights", cl::value_desc("weights.sqw"), cl::cat(category),
                cl::desc("Packed weights of the selected layer"));
static cl::opt<float>
    outputStep("output-step", cl::init(0.0f), cl::cat(category),
               cl::desc("Real value of one output count of the selected "
                        "layer"));

/// Inputs from --stimulus, evaluated by the definitions.
/// `columns` are taken from arrays that are wider than the network.
static Expected<sq::Stimulus> readStimulus(const sq::Network &network,
                                           std::optional<IndexRange> columns) {
  Expected<sq::NpzArrays> arrays = sq::readNpz(stimulusPath);
  if (!arrays)
    return arrays.takeError();
  // What sq-run --record wrote, or inputs as sq-run takes them.
  auto found = arrays->find(network.input.name + ".x");
  if (found == arrays->end())
    found = arrays->find("arg0");
  IndexRange taken = columns.value_or(IndexRange{0, network.input.channels()});
  bool isRows = found != arrays->end() && found->second.type == "f4" &&
                !found->second.shape.empty();
  int64_t channels = isRows ? found->second.shape.back() : 0;
  if (!isRows || channels < taken.end ||
      (!columns && channels != network.input.channels()))
    return createStringError("'" + stimulusPath + "' must hold '" +
                             network.input.name +
                             ".x' or 'arg0': float32 [samples, channels], "
                             "with at least " +
                             Twine(taken.end) + " channels");
  ArrayRef<float> values = found->second.values<float>();
  if (values.empty())
    return createStringError("'" + stimulusPath + "' holds no sample");
  std::vector<float> tile;
  for (; !values.empty(); values = values.drop_front(channels))
    llvm::append_range(tile, values.slice(taken.first, taken.size()));
  return sq::evaluateNetwork(network, tile, tile.size() / taken.size());
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

/// The selected tile, or the chain that the function is.
static FailureOr<LocatedNetwork>
readNetwork(func::FuncOp function, std::optional<IndexRange> &columns) {
  if (selectText.empty())
    return buildNetwork(function);
  Expected<TileSelection> selection = parseSelection(selectText);
  if (!selection)
    return function.emitError() << toString(selection.takeError());
  if (!(outputStep > 0) || weightsPath.empty())
    return function.emitError()
           << "--select needs --weights=weights.sqw and an --output-step "
              "above 0";
  Expected<sq::PackedFile> packed =
      sq::PackedFile::open(weightsPath, /*verifyChecksum=*/true);
  if (!packed)
    return function.emitError() << toString(packed.takeError());
  selection->weights = &*packed;
  selection->outputStep = outputStep;
  FailureOr<LocatedNetwork> located = selectTile(function, *selection);
  columns = selection->columns;
  return located;
}

static LogicalResult translate(const sq::NeuromorphicTarget &target,
                               ModuleOp module, raw_ostream &os) {
  module.getContext()->printOpOnDiagnostic(false);
  FailureOr<func::FuncOp> function = findNetworkFunction(module, functionName);
  if (failed(function))
    return failure();
  std::optional<IndexRange> columns; // Of a selection.
  FailureOr<LocatedNetwork> located = readNetwork(*function, columns);
  if (failed(located))
    return failure();
  sq::ExportOptions options;
  options.code = located->code;
  if (!options.code && codeName.getNumOccurrences())
    options.code = codeName;
  sq::Stimulus stimulus;
  // A broken network has no outputs; the export says why.
  if (!stimulusPath.empty() && sq::checkNetwork(located->network).empty()) {
    Expected<sq::Stimulus> read = readStimulus(located->network, columns);
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
  sq::Problems problems =
      sq::exportNetwork(target, located->network, options, os);
  for (const sq::Problem &problem : problems)
    emitError(located->locationOf(problem.layer)) << problem.message;
  if (problems.empty() && options.stimulus)
    remarkSaturation(*located, stimulus);
  return success(problems.empty());
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
