//===- Runner.cpp - lowers a program to scalar loops and runs it ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Reference/Runner.h"
#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Kernel/Reference.h"
#include "spikequant/Pipelines/Pipelines.h"
#include "spikequant/Pipelines/TargetCode.h"
#include "spikequant/Reference/Recorder.h"
#include "spikequant/Runtime/ElementType.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"
#include "llvm/Support/MemAlloc.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;
using ::spikequant::NpyArray;
using ::spikequant::NpzArrays;
using ::spikequant::Recorder;

namespace mlir::spikequant {

//===----------------------------------------------------------------------===//
// Lowering
//===----------------------------------------------------------------------===//

/// Stage names of the recipe are those of the compiler: the same passes make
/// buffers and kernels; loops and calls differ.
static void buildReferencePipeline(OpPassManager &pm, bool spikePlanes) {
  pm.addPass(createExpandMath());
  pm.addPass(createConvertSpikeQuantToReference({spikePlanes}));
  pm.addNestedPass<func::FuncOp>(createConvertElementwiseToLinalgPass());
  buildBufferizationPipeline(pm);
  buildKernelPipeline(pm);
  OpPassManager &functions = pm.nest<func::FuncOp>();
  functions.addPass(createConvertLinalgToLoopsPass());
  functions.addPass(createSCFToControlFlowPass());
  functions.addPass(memref::createExpandStridedMetadataPass());
  functions.addPass(createLowerAffinePass());
  functions.addPass(createCSEPass());
}

static void buildReferenceLLVMPipeline(OpPassManager &pm) {
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertMathToLibmPass());
  pm.addPass(createConvertToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
}

static Error runPasses(ModuleOp module, StringRef stage,
                       function_ref<void(OpPassManager &)> build) {
  PassManager pm(module.getContext());
  build(pm);
  if (failed(pm.run(module)))
    return createStringError("stage '" + stage + "' failed");
  return Error::success();
}

/// What only the lowering needed: LLVM's translation does not know it.
static void removeMarks(ModuleOp module) {
  for (auto weights : llvm::make_early_inc_range(module.getOps<WeightsOp>()))
    weights.erase();
  for (auto function : module.getOps<func::FuncOp>())
    for (unsigned i = 0; i < function.getNumArguments(); ++i)
      function.setArgAttrs(i, ArrayRef<NamedAttribute>());
}

static bool hasTaps(ModuleOp module) {
  return module.walk([](ObserveOp) { return WalkResult::interrupt(); })
      .wasInterrupted();
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

namespace {

/// An argument of the lowered function.
struct Slot {
  std::string name;    ///< argN, or empty for a result.
  std::string alias;   ///< `spikequant.name`, or empty.
  int64_t result = -1; ///< Result that is written here.
  bool isInput = true;
  NpyArray array; ///< Type and shape; the data once it is known.
};

class Run {
public:
  Run(ReferenceProgram &program, const RunOptions &options)
      : program(program), options(options) {}

  Expected<RunResult> run(const NpzArrays &inputs);

private:
  Error lower();
  Error readSignature();
  Error bind(const NpzArrays &inputs);
  Error fill(Slot &slot, const NpzArrays &inputs);
  Expected<std::unique_ptr<ExecutionEngine>> compile();
  Error execute(ExecutionEngine &engine);
  func::FuncOp getFunction() {
    return program.module->lookupSymbol<func::FuncOp>(program.function);
  }

  ReferenceProgram &program;
  const RunOptions &options;
  std::vector<Slot> slots;
  int64_t arenaBytes = 0;
  std::optional<Recorder> recorder;
};

} // namespace

Error Run::lower() {
  ModuleOp module = *program.module;
  if (!options.onlySites.empty())
    if (Error failure = keepSites(getFunction(), options.onlySites))
      return failure;
  if (options.record && !hasTaps(module))
    if (Error failure = runPasses(module, "insert taps", [](auto &pm) {
          pm.addPass(createSpikeQuantInsertTaps());
        }))
      return failure;
  if (Error failure = runPasses(module, "lower to loops", [&](auto &pm) {
        buildReferencePipeline(pm, options.spikePlanes);
      }))
    return failure;
  if (Error failure = readSignature())
    return failure;
  removeMarks(module);
  return runPasses(module, "lower to LLVM", buildReferenceLLVMPipeline);
}

/// Type, shape and role of an argument; its number among the inputs counts up.
static Expected<Slot> describeArgument(func::FuncOp function, unsigned number,
                                       int64_t &inputs) {
  auto type = dyn_cast<MemRefType>(function.getArgument(number).getType());
  int32_t element =
      type ? getElementCode(type.getElementType()).value_or(-1) : -1;
  if (element < 0 || !type.hasStaticShape())
    return createStringError("argument " + Twine(number) + " of '" +
                             function.getName() +
                             "' is no array of static shape and known type");
  Slot slot;
  if (isUnsignedArray(function, number))
    element = getUnsignedCode(element);
  slot.array.type = ::spikequant::getNpyType(element).str();
  slot.array.shape = type.getShape().vec();
  auto getNumber = [&](StringRef name) {
    auto value = function.getArgAttrOfType<IntegerAttr>(number, name);
    return value ? value.getInt() : -1;
  };
  slot.result = getNumber("spikequant.result");
  slot.isInput = slot.result < 0;
  if (!slot.isInput)
    return slot;
  slot.name = "arg" + std::to_string(inputs++);
  slot.result = getNumber("spikequant.state");
  if (auto name =
          function.getArgAttrOfType<StringAttr>(number, "spikequant.name"))
    slot.alias = name.str();
  return slot;
}

Error Run::readSignature() {
  func::FuncOp function = getFunction();
  function->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(),
                    UnitAttr::get(function.getContext()));
  int64_t inputs = 0;
  for (unsigned i = 0; !function.getArgAttr(i, kWeightsFileAttr); ++i) {
    Expected<Slot> slot = describeArgument(function, i, inputs);
    if (!slot)
      return slot.takeError();
    slots.push_back(std::move(*slot));
  }
  if (auto bytes =
          function->getAttrOfType<IntegerAttr>("spikequant.arena_bytes"))
    arenaBytes = bytes.getInt();
  std::vector<std::string> sites;
  for (Attribute site : function->getAttrOfType<ArrayAttr>(kSitesAttr))
    sites.push_back(cast<StringAttr>(site).str());
  recorder.emplace(std::move(sites), options.rowLimit);
  return Error::success();
}

Error Run::fill(Slot &slot, const NpzArrays &inputs) {
  auto found = inputs.find(slot.name);
  if (found == inputs.end() && !slot.alias.empty())
    found = inputs.find(slot.alias);
  if (found == inputs.end()) {
    slot.array.data.assign(slot.array.elements() * slot.array.elementBytes(),
                           0);
    if (slot.result >= 0) // state
      return Error::success();
    return createStringError(
        "the inputs have no array '" + slot.name + "'" +
        (slot.alias.empty() ? "" : " (" + slot.alias + ")") + "; '" +
        program.function + "' wants " + slot.array.describe());
  }
  if (found->second.type != slot.array.type ||
      found->second.shape != slot.array.shape)
    return createStringError(
        "input '" + found->first + "' is " + found->second.describe() + "; '" +
        program.function + "' wants " + slot.array.describe());
  slot.array.data = found->second.data;
  return Error::success();
}

Error Run::bind(const NpzArrays &inputs) {
  for (Slot &slot : slots) {
    if (!slot.isInput) {
      slot.array.data.assign(slot.array.elements() * slot.array.elementBytes(),
                             0);
      continue;
    }
    if (Error failure = fill(slot, inputs))
      return failure;
  }
  for (const auto &[name, array] : inputs)
    if (llvm::none_of(slots, [&, &name = name](const Slot &slot) {
          return slot.isInput && (slot.name == name || slot.alias == name);
        }))
      return createStringError("the inputs have an array '" + name + "' (" +
                               array.describe() + ") that '" +
                               program.function + "' does not take");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

/// Where the running program's arrays go: it has one thread.
static Recorder *activeRecorder = nullptr;

static void observe(int64_t site, const void *data, int32_t elementType,
                    int64_t rows, int64_t channels) {
  activeRecorder->record(site, data, elementType, rows, channels);
}

/// The functions that the program calls.
static orc::SymbolMap getSymbols(orc::MangleAndInterner interner) {
  orc::SymbolMap symbols;
  auto add = [&](StringRef name, auto *function) {
    symbols[interner(name)] = {orc::ExecutorAddr::fromPtr(function),
                               JITSymbolFlags::Exported};
  };
  add("sq_ref_encode", sq_ref_encode);
  add("sq_ref_encode_grid", sq_ref_encode_grid);
  add("sq_ref_integrate", sq_ref_integrate);
  add("sq_ref_integrate_planes", sq_ref_integrate_planes);
  add("sq_ref_integrate_stack", sq_ref_integrate_stack);
  add("sq_ref_integrate_stack_planes", sq_ref_integrate_stack_planes);
  add("sq_ref_decode", sq_ref_decode);
  add("sq_ref_decode_stack", sq_ref_decode_stack);
  add("sq_ref_fire", sq_ref_fire);
  add("sq_ref_fire_table", sq_ref_fire_table);
  add("sq_ref_scale_rows", sq_ref_scale_rows);
  add("sq_ref_grid", sq_ref_grid);
  add("sq_ref_table", sq_ref_table);
  add("sq_ref_exponent", sq_ref_exponent);
  add("sq_ref_window", sq_ref_window);
  add("sq_ref_lookup", sq_ref_lookup);
  add("sq_ref_lookup_grid", sq_ref_lookup_grid);
  add("sq_ref_observe", observe);
  return symbols;
}

namespace {

/// A memref as compiled code sees it.
class Descriptor {
public:
  Descriptor(const void *data, ArrayRef<int64_t> shape) {
    words = {reinterpret_cast<int64_t>(data), reinterpret_cast<int64_t>(data),
             0};
    words.append(shape.begin(), shape.end());
    SmallVector<int64_t> strides(shape.size(), 1);
    for (int64_t i = int64_t(shape.size()) - 2; i >= 0; --i)
      strides[i] = strides[i + 1] * shape[i + 1];
    words.append(strides);
  }
  int64_t *get() { return words.data(); }

private:
  SmallVector<int64_t> words;
};

/// Scratch memory on a cache line.
class Arena {
public:
  explicit Arena(int64_t bytes)
      : size(std::max<int64_t>(bytes, 64)), memory(allocate_buffer(size, 64)) {}
  ~Arena() { deallocate_buffer(memory, size, 64); }
  Arena(const Arena &) = delete;
  Arena &operator=(const Arena &) = delete;
  const int64_t size;
  void *const memory;
};

} // namespace

Expected<std::unique_ptr<ExecutionEngine>> Run::compile() {
  Expected<std::unique_ptr<TargetMachine>> machine =
      createTargetMachine("native");
  if (!machine)
    return machine.takeError();
  auto optimize = [&](llvm::Module *module) {
    optimizeModule(*module, **machine);
    return Error::success();
  };
  ExecutionEngineOptions engineOptions;
  engineOptions.transformer = optimize;
  engineOptions.jitCodeGenOptLevel = CodeGenOptLevel::Less;
  // They leave a file in the home folder at every run.
  engineOptions.enableGDBNotificationListener = false;
  engineOptions.enablePerfNotificationListener = false;
  Expected<std::unique_ptr<ExecutionEngine>> engine =
      ExecutionEngine::create(*program.module, engineOptions);
  if (!engine)
    return engine.takeError();
  (*engine)->registerSymbols(getSymbols);
  return engine;
}

Error Run::execute(ExecutionEngine &engine) {
  Arena arena(arenaBytes);
  std::vector<Descriptor> descriptors;
  for (const Slot &slot : slots)
    descriptors.emplace_back(slot.array.data.data(), slot.array.shape);
  const void *weights = program.weights ? program.weights->base() : nullptr;
  descriptors.emplace_back(
      weights, ArrayRef<int64_t>{int64_t(
                   program.weights ? program.weights->fileBytes() : 0)});
  descriptors.emplace_back(arena.memory, ArrayRef<int64_t>{arena.size});
  std::vector<int64_t> salient(1);
  descriptors.emplace_back(salient.data(), ArrayRef<int64_t>{1});
  SmallVector<void *> pointers, arguments;
  for (Descriptor &descriptor : descriptors)
    pointers.push_back(descriptor.get());
  pointers.push_back(nullptr); // the host's sq_call
  for (void *&pointer : pointers)
    arguments.push_back(&pointer);
  activeRecorder = &*recorder;
  return engine.invokePacked("_mlir_ciface_" + program.function, arguments);
}

/// The inputs of each call: the items along the leading axis, or all at once.
static Expected<std::vector<NpzArrays>> splitBatch(const NpzArrays &inputs,
                                                   bool isBatch) {
  if (!isBatch)
    return std::vector<NpzArrays>{inputs};
  std::vector<NpzArrays> items;
  for (const auto &[name, array] : inputs) {
    size_t size = array.shape.empty() ? 0 : array.shape.front();
    if (size == 0 || (!items.empty() && items.size() != size))
      return createStringError(
          "input '" + name + "' is " + array.describe() +
          "; a batch needs one leading axis of equal length in every array");
    items.resize(size);
    size_t bytes = array.data.size() / size;
    for (size_t i = 0; i < size; ++i)
      items[i][name] = {array.type,
                        {array.shape.begin() + 1, array.shape.end()},
                        {array.data.begin() + i * bytes,
                         array.data.begin() + (i + 1) * bytes}};
  }
  if (items.empty())
    return createStringError("a batch needs inputs");
  return items;
}

Expected<RunResult> Run::run(const NpzArrays &inputs) {
  if (Error failure = lower())
    return std::move(failure);
  Expected<std::vector<NpzArrays>> calls = splitBatch(inputs, options.batch);
  if (!calls)
    return calls.takeError();
  Expected<std::unique_ptr<ExecutionEngine>> engine = compile();
  if (!engine)
    return engine.takeError();
  for (const NpzArrays &call : *calls) {
    if (Error failure = bind(call))
      return std::move(failure);
    if (Error failure = execute(**engine))
      return std::move(failure);
  }
  RunResult result;
  for (Slot &slot : slots)
    if (slot.result >= 0)
      result.outputs["out" + std::to_string(slot.result)] =
          std::move(slot.array);
  Expected<NpzArrays> taps = recorder->take();
  if (!taps)
    return taps.takeError();
  result.taps = std::move(*taps);
  return result;
}

Expected<RunResult> runProgram(ReferenceProgram &program,
                               const NpzArrays &inputs,
                               const RunOptions &options) {
  return Run(program, options).run(inputs);
}

} // namespace mlir::spikequant
