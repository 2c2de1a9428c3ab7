//===- Compile.cpp - graphs and weights to a compiled folder -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/Compile.h"
#include "spikequant/Calibration/GramMatrix.h"
#include "spikequant/Calibration/Statistics.h"
#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/SitePlan.h"
#include "spikequant/Pipelines/LoadGraphs.h"
#include "spikequant/Pipelines/ModelTables.h"
#include "spikequant/Pipelines/OutputFolder.h"
#include "spikequant/Pipelines/PackWeights.h"
#include "spikequant/Pipelines/Pipelines.h"
#include "spikequant/Pipelines/Report.h"
#include "spikequant/Pipelines/TargetCode.h"
#include "spikequant/Runtime/spikequant.h"
#include "spikequant/Support/OutputFile.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"

#include <chrono>
#include <sys/resource.h>

using namespace llvm;

namespace mlir::spikequant {
namespace {

/// Largest resident memory of this process so far, mapped files included.
/// Not getrusage's: that begins with the memory of the process that started us.
int64_t getPeakBytes() {
  auto status = MemoryBuffer::getFileAsStream("/proc/self/status");
  int64_t kilobytes = 0;
  if (status) {
    StringRef rest = (*status)->getBuffer().split("VmHWM:").second.ltrim();
    rest.consumeInteger(10, kilobytes);
  }
  return kilobytes * 1024;
}

/// Processor time of all threads and of the linker so far.
double getProcessorSeconds() {
  double seconds = 0;
  for (int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage;
    getrusage(who, &usage);
    for (timeval time : {usage.ru_utime, usage.ru_stime})
      seconds += double(time.tv_sec) + 1e-6 * double(time.tv_usec);
  }
  return seconds;
}

/// Times stages and tells the user about them.
class Progress {
public:
  void begin(StringRef stage) {
    end();
    name = stage.str();
    start = getTimes();
    errs() << "sq-compile: " << name << "\n";
  }
  void end() {
    if (name.empty())
      return;
    Times now = getTimes();
    stages.push_back({name, {now.wall - start.wall, now.cpu - start.cpu}});
    name.clear();
  }
  /// Seconds by stage: of the clock, or of processors.
  json::Object toJson(bool cpu) const {
    json::Object object;
    for (const auto &[stage, times] : stages)
      object[stage] = cpu ? times.cpu : times.wall;
    return object;
  }
  double total() const {
    double sum = 0;
    for (const auto &stage : stages)
      sum += stage.second.wall;
    return sum;
  }

private:
  struct Times {
    double wall, cpu;
  };
  static Times getTimes() {
    auto now = std::chrono::steady_clock::now().time_since_epoch();
    return {std::chrono::duration<double>(now).count(), getProcessorSeconds()};
  }
  std::string name;
  Times start;
  std::vector<std::pair<std::string, Times>> stages;
};

QuantizeOptions getQuantizeOptions(const CompileOptions &options) {
  QuantizeOptions quantize;
  quantize.calibration = options.calibration;
  quantize.method = options.method;
  quantize.bits = options.bits;
  quantize.rule = options.allocation;
  quantize.budgetBy = options.budgetBy;
  quantize.madFactor = options.madFactor;
  quantize.percentile = options.percentile;
  quantize.tolerance = options.tolerance;
  quantize.weightBits = options.weightBits;
  quantize.group = options.group;
  quantize.headBits = options.headBits;
  quantize.weightBudget = options.weightBudget;
  quantize.weights = options.weights;
  // Nearest rounding does not see the mean of what a centre leaves over.
  quantize.fineCentres = options.fineCentres;
  quantize.centres =
      options.centres && options.rounding != WeightRounding::Nearest;
  quantize.attentionBits = options.attentionBits;
  quantize.cacheBits = options.cacheBits;
  return quantize;
}

/// Errors if the matrices were not collected together with the statistics.
Error checkGrams(const ::spikequant::GramFile &grams, StringRef calibration) {
  auto data = ::spikequant::loadSharedCalibration(calibration);
  if (!data)
    return data.takeError();
  for (const auto &[name, gram] : grams.getSites()) {
    auto *site = (*data)->findSite(name);
    if (!site || site->getRows() != gram.rows ||
        site->getChannels() != gram.channels)
      return createStringError("'" + ::spikequant::gramPathOf(calibration) +
                               "' belongs to another calibration than '" +
                               calibration + "'; calibrate again with --gram");
  }
  return Error::success();
}

/// The Gram matrices to round with, or none.
Expected<std::optional<::spikequant::GramFile>>
openGrams(const CompileOptions &options) {
  std::string path = ::spikequant::gramPathOf(options.calibration);
  bool wanted = options.rounding == WeightRounding::SecondOrder;
  bool possible = options.rounding == WeightRounding::Automatic &&
                  options.method == "spike" && sys::fs::exists(path);
  if (options.mode != CompileMode::Quantized || (!wanted && !possible))
    return std::nullopt;
  if (options.calibration.empty() || !sys::fs::exists(path))
    return createStringError("second-order rounding needs a calibration with "
                             "Gram matrices ('" +
                             path +
                             "' is missing): 'spikequant calibrate "
                             "--gram' collects them");
  auto grams = ::spikequant::GramFile::open(path);
  if (!grams)
    return grams.takeError();
  if (Error failure = checkGrams(*grams, options.calibration))
    return std::move(failure);
  return std::move(*grams);
}

/// Takes the offsets of encode sites from the module.
Expected<StringMap<SecondOrderOptions::Shift>>
takeShifts(ModuleOp module, const CompileOptions &options) {
  StringMap<SecondOrderOptions::Shift> shifts;
  auto sites =
      dyn_cast_or_null<DictionaryAttr>(module->removeAttr(kOffsetsAttr));
  if (!sites)
    return shifts;
  auto data = ::spikequant::loadSharedCalibration(options.calibration);
  if (!data)
    return data.takeError();
  for (NamedAttribute entry : sites) {
    const auto *site = (*data)->findSite(entry.getName());
    if (!site)
      continue;
    SecondOrderOptions::Shift &shift = shifts[entry.getName()];
    auto offsets = cast<DenseF32ArrayAttr>(entry.getValue());
    shift.offsets = offsets.asArrayRef().vec();
    for (uint32_t c = 0; c < site->getChannels(); ++c) {
      shift.means.push_back(site->getMean(c));
      shift.squares.push_back(site->getMeanSquare(c));
    }
  }
  return shifts;
}

/// The channels' mean squares, for rounding without Gram matrices.
Expected<StringMap<std::vector<float>>>
readImportance(const CompileOptions &options) {
  StringMap<std::vector<float>> importance;
  if (options.mode != CompileMode::Quantized || options.method != "spike" ||
      options.rounding != WeightRounding::Automatic ||
      options.calibration.empty())
    return importance;
  auto data = ::spikequant::loadSharedCalibration(options.calibration);
  if (!data)
    return data.takeError();
  for (const auto &site : (*data)->getSites()) {
    std::vector<float> &squares = importance[site.getName()];
    for (uint32_t c = 0; c < site.getChannels(); ++c)
      squares.push_back(float(site.getMeanSquare(c)));
  }
  return importance;
}

class Compiler {
public:
  Compiler(const CompileOptions &options, MLIRContext *context)
      : options(options), context(context) {}

  Error run();

private:
  Error runPasses(StringRef stage, function_ref<void(OpPassManager &)> build);
  Error prepare();
  Error lower(const OutputFolder &folder);
  Error writeProgram(const OutputFolder &folder);
  std::string getMethod() const;
  DotInstructions getInstructions() const {
    return options.instructions == InstructionSet::Portable
               ? DotInstructions::Portable
               : getDotInstructions(*machine);
  }
  Error createMachine();
  /// Holds the statistics, so that no pass reads the file again.
  void readCalibration();
  Error generateCode(const OutputFolder &folder);
  std::string createReport();
  /// Prints the program if this is the stage that the user asked for.
  bool stopAt(CompileStage stage);

  const CompileOptions &options;
  MLIRContext *context;
  Progress progress;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<TargetMachine> machine;
  std::shared_ptr<const ::spikequant::CalibrationData> calibration;
  PackedFileInfo weights;
  std::vector<GraphSpec> graphs;
  json::Object program, realNumbers;
  StringRef rounding;
  bool stopped = false;
};

Error Compiler::runPasses(StringRef stage,
                          function_ref<void(OpPassManager &)> build) {
  progress.begin(stage);
  PassManager pm(context);
  // Once per stage: after every pass it took a third of all passes' time.
  pm.enableVerifier(false);
  applyDefaultTimingPassManagerCLOptions(pm);
  build(pm);
  if (failed(pm.run(*module)) || failed(verify(*module)))
    return createStringError("stage '" + stage + "' failed");
  return Error::success();
}

bool Compiler::stopAt(CompileStage stage) {
  if (options.stage != stage)
    return false;
  progress.end();
  module->print(outs(), OpPrintingFlags().elideLargeElementsAttrs(64));
  stopped = true;
  return true;
}

void Compiler::readCalibration() {
  if (options.mode != CompileMode::Quantized || options.method != "spike" ||
      options.calibration.empty())
    return;
  progress.begin("read calibration");
  auto data = ::spikequant::loadSharedCalibration(options.calibration);
  if (data)
    calibration = std::move(*data);
  else // The first pass that needs it says so.
    consumeError(data.takeError());
}

Error Compiler::prepare() {
  readCalibration();
  progress.begin("read graphs");
  module = loadGraphs(options.graphs, context);
  if (!module)
    return createStringError("the graphs could not be read");
  if (Error failure = runPasses("find sites", [&](OpPassManager &pm) {
        pm.addPass(createWeightsToSymbols());
        if (options.rotateValues)
          pm.addPass(createRotateValues());
        pm.addPass(createNameSites());
        if (options.mode == CompileMode::Observe)
          pm.addPass(createInsertObservers());
        if (options.mode == CompileMode::Probe)
          pm.addPass(createInsertObservers({/*probe=*/true}));
        if (options.mode == CompileMode::Quantized)
          pm.addPass(createQuantize(getQuantizeOptions(options)));
        if (options.mode == CompileMode::Quantized && options.fold)
          pm.addPass(createFoldScales({options.weights}));
        if (options.mode == CompileMode::Quantized && options.fold &&
            options.foldActivations) {
          FoldActivationsOptions activations;
          activations.weights = options.weights;
          pm.addPass(createFoldActivations(activations));
        }
        if (options.mode == CompileMode::Quantized && options.fold &&
            options.foldSoftmax)
          pm.addPass(createFoldSoftmax({options.weights}));
        if (options.mode == CompileMode::Quantized && options.fold &&
            options.foldPositions)
          pm.addPass(createFoldPositions({options.weights}));
        if (options.mode == CompileMode::Quantized && options.fold &&
            options.foldResidual)
          pm.addPass(createFoldResidual({options.weights}));
      }))
    return failure;
  FailureOr<json::Object> described = describeRealNumbers(*module);
  if (failed(described))
    return createStringError("the islands could not be described");
  realNumbers = std::move(*described);
  if (Error failure = runPasses("define math", [](OpPassManager &pm) {
        pm.addNestedPass<func::FuncOp>(
            createSpikeQuantCanonicalizeContractions());
        pm.addPass(createWeightsToSymbols());
        pm.addPass(createExpandMath());
      }))
    return failure;
  return runPasses("fuse", buildFusionPipeline);
}

std::string Compiler::getMethod() const {
  switch (options.mode) {
  case CompileMode::Float:
    return "float";
  case CompileMode::Observe:
    return "observe";
  case CompileMode::Probe:
    return "probe";
  case CompileMode::Quantized:
    return options.method;
  }
  llvm_unreachable("all modes are listed");
}

/// Weights, not per-channel data as `bits`, which readers of the text need.
static bool isLargeLiteral(ElementsAttr value) {
  constexpr int64_t most = 1 << 14;
  return value.getNumElements() > most;
}

/// Prints the program with large literals as entries of the packed file: the
/// text of a model with all its weights in it takes gigabytes.
static std::string printWithoutLiterals(ModuleOp module,
                                        const OpPrintingFlags &flags) {
  SmallVector<std::pair<WeightsOp, ElementsAttr>> literals;
  for (auto op : module.getOps<WeightsOp>())
    if (std::optional<ElementsAttr> value = op.getValue();
        value && isLargeLiteral(*value))
      literals.emplace_back(op, *value);
  for (auto [op, value] : literals) {
    op.removeValueAttr();
    op.setSourceAttr(op.getSymNameAttr());
  }
  std::string text;
  raw_string_ostream out(text);
  module->print(out, flags);
  for (auto [op, value] : literals) {
    op.removeSourceAttr();
    op.setValueAttr(value);
  }
  return text;
}

/// The program that sq-run and the compiled code must agree on.
Error Compiler::writeProgram(const OutputFolder &folder) {
  // What reads the program alone has to tell where in the graph it failed.
  auto flags =
      OpPrintingFlags().enableDebugInfo(options.stage == CompileStage::Program);
  return folder.write("quantized.mlir", printWithoutLiterals(*module, flags));
}

Error Compiler::lower(const OutputFolder &folder) {
  auto shifts = takeShifts(*module, options);
  if (!shifts)
    return shifts.takeError();
  if (Error failure = writeProgram(folder))
    return failure;
  program = describeProgram(*module, getMethod());
  for (auto &[key, value] : realNumbers)
    program[key] = std::move(value);
  auto grams = openGrams(options);
  if (!grams)
    return grams.takeError();
  SecondOrderOptions secondOrder;
  secondOrder.grams = *grams ? &**grams : nullptr;
  secondOrder.inputs = findWeightInputs(*module);
  secondOrder.shifts = std::move(*shifts);
  if (!*grams) {
    auto importance = readImportance(options);
    if (!importance)
      return importance.takeError();
    secondOrder.importance = std::move(*importance);
    secondOrder.ofMoments = options.rounding == WeightRounding::Automatic;
  }
  rounding = *grams                            ? "second-order"
             : !secondOrder.importance.empty() ? "weighted"
                                               : "nearest";
  if (Error failure = runPasses("select kernels", [&](OpPassManager &pm) {
        if (options.taps)
          pm.addPass(createSpikeQuantInsertTaps());
        pm.addPass(createConvertSpikeQuantToProcessor());
        // What became linalg here may join its neighbours: same operations.
        buildFusionPipeline(pm);
      }))
    return failure;
  progress.begin("pack weights");
  Expected<PackedFileInfo> packed = packWeights(
      *module, options.weights, folder.file("weights.sqw"), secondOrder);
  if (!packed)
    return packed.takeError();
  weights = *packed;
  calibration.reset();
  if (options.stage == CompileStage::Program)
    return Error::success();
  if (Error failure = runPasses("bufferise", buildBufferizationPipeline))
    return failure;
  if (stopAt(CompileStage::Buffers))
    return Error::success();
  if (Error failure = runPasses("make kernels", buildKernelPipeline))
    return failure;
  if (stopAt(CompileStage::Kernels))
    return Error::success();
  FailureOr<std::vector<GraphSpec>> described = describeGraphs(*module);
  if (failed(described))
    return createStringError("a graph cannot cross the C interface");
  graphs = std::move(*described);
  return runPasses("lower to LLVM", [&](OpPassManager &pm) {
    LoweringOptions lowering;
    lowering.instructions = getInstructions();
    lowering.profile = options.profile;
    buildLLVMPipeline(pm, lowering);
  });
}

Error Compiler::generateCode(const OutputFolder &folder) {
  progress.begin("translate");
  LLVMContext llvmContext;
  std::unique_ptr<llvm::Module> code =
      translateModuleToLLVMIR(*module, llvmContext, "model");
  if (!code)
    return createStringError("translation to LLVM IR failed");
  module = {};
  code->setTargetTriple(machine->getTargetTriple());
  code->setDataLayout(machine->createDataLayout());
  addModelTables(*code, graphs, weights, getCheckedFeatures(*machine));
  progress.begin("optimise");
  optimizeModule(*code, *machine);
  if (options.stage == CompileStage::Llvm) {
    progress.end();
    outs() << *code;
    stopped = true;
    return Error::success();
  }
  progress.begin("generate code");
  // A foreign system's linker gets one object with everything.
  bool links = options.triple.empty();
  std::vector<std::string> objects = {folder.file("model.o")};
  if (links) {
    objects.push_back(folder.file("graphs.o"));
    std::unique_ptr<llvm::Module> bodies = splitGraphBodies(*code);
    machine->setOptLevel(CodeGenOptLevel::None);
    if (Error failure = emitObject(*bodies, *machine, objects.back()))
      return failure;
    machine->setOptLevel(CodeGenOptLevel::Aggressive);
  }
  if (Error failure = emitObject(*code, *machine, objects.front()))
    return failure;
  if (links) {
    progress.begin("link");
    if (Error failure = linkLibrary(objects, options.runtimeFolder,
                                    folder.file("model.so")))
      return failure;
  }
  if (options.stage != CompileStage::Object)
    for (StringRef object : objects)
      sys::fs::remove(object);
  return folder.write("model.h", createModelHeader(graphs));
}

std::string Compiler::createReport() {
  json::Array list;
  for (const GraphSpec &graph : graphs) {
    int64_t stateBytes = 0;
    json::Array countStates;
    for (const ArraySpec &argument : graph.arguments)
      if (argument.stateResult >= 0) {
        stateBytes += argument.getBytes();
        if (argument.elementType == SQ_I8)
          countStates.push_back(argument.name);
      }
    list.push_back(json::Object{{"name", graph.name},
                                {"arena_bytes", graph.arenaBytes},
                                {"state_bytes", stateBytes},
                                {"count_states", std::move(countStates)},
                                {"sites", int64_t(graph.sites.size())}});
  }
  json::Object report = program;
  report["seconds"] = progress.total();
  report["stages"] = progress.toJson(/*cpu=*/false);
  report["stages_cpu"] = progress.toJson(/*cpu=*/true);
  report["peak_bytes"] = getPeakBytes();
  report["rounding"] = rounding;
  report["second_order_weights"] = weights.secondOrder;
  report["packed_bytes"] = int64_t(weights.bytes);
  report["cpu"] = machine->getTargetCPU().str();
  report["cpu_features"] = getCheckedFeatures(*machine);
  report["dot_products"] = getName(getInstructions());
  report["graphs"] = std::move(list);
  return formatv("{0:2}\n", json::Value(std::move(report)));
}

Error Compiler::createMachine() {
  Expected<std::unique_ptr<TargetMachine>> target =
      createTargetMachine(options.cpu, options.triple);
  if (!target)
    return target.takeError();
  machine = std::move(*target);
  if (options.instructions == InstructionSet::Vnni &&
      getInstructions() != DotInstructions::Avx512Vnni)
    return createStringError("processor '" + machine->getTargetCPU() +
                             "' has no AVX-512 VNNI; use --isa auto");
  if (!options.triple.empty() && options.stage == CompileStage::Library)
    return createStringError("libraries are linked for this system only; "
                             "--mtriple goes with --emit=obj");
  return Error::success();
}

Error Compiler::run() {
  if (Error failure = createMachine())
    return failure;
  if (Error failure = prepare())
    return failure;
  if (stopAt(CompileStage::QuantizedMlir))
    return Error::success();
  Expected<std::unique_ptr<OutputFolder>> folder =
      OutputFolder::create(options.output, "compile.json");
  if (!folder)
    return folder.takeError();
  if (Error failure = lower(**folder))
    return failure;
  if (stopped)
    return Error::success();
  if (options.stage != CompileStage::Program)
    if (Error failure = generateCode(**folder))
      return failure;
  if (stopped)
    return Error::success();
  progress.end();
  std::string report = createReport();
  if (Error failure = (*folder)->write("compile.json", report))
    return failure;
  if (Error failure = (*folder)->commit())
    return failure;
  if (options.jsonReport.empty())
    return Error::success();
  return ::spikequant::writeOutputFile(
      options.jsonReport, [&](raw_ostream &out) { out << report; });
}
} // namespace

Error compileModel(const CompileOptions &options, MLIRContext *context) {
  return Compiler(options, context).run();
}

} // namespace mlir::spikequant
