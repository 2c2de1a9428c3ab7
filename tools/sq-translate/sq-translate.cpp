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

/// Inputs from --stimulus, evaluated by the definitions.
static Expected<sq::Stimulus> readStimulus(const sq::Network &network) {
  Expected<sq::NpzArrays> arrays = sq::readNpz(stimulusPath);
  if (!arrays)
    return arrays.takeError();
  auto found = arrays->find("arg0");
  int64_t channels = network.input.channels();
  if (found == arrays->end() || found->second.type != "f4" ||
      found->second.shape.empty() || found->second.shape.back() != channels)
    return createStringError("'" + stimulusPath +
                             "' must hold arg0: float32 [samples, " +
                             Twine(channels) + "]");
  ArrayRef<float> values = found->second.values<float>();
  if (values.empty())
    return createStringError("'" + stimulusPath + "' holds no sample");
  return sq::evaluateNetwork(network, values, values.size() / channels);
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

static LogicalResult translate(const sq::NeuromorphicTarget &target,
                               ModuleOp module, raw_ostream &os) {
  FailureOr<func::FuncOp> function = findNetworkFunction(module, functionName);
  if (failed(function))
    return failure();
  FailureOr<LocatedNetwork> located = buildNetwork(*function);
  if (failed(located))
    return failure();
  sq::ExportOptions options;
  options.code = located->code;
  sq::Stimulus stimulus;
  // A broken network has no outputs; the export says why.
  if (!stimulusPath.empty() && sq::checkNetwork(located->network).empty()) {
    Expected<sq::Stimulus> read = readStimulus(located->network);
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
