//===- KernelHarness.cpp - compiling and running generated kernels --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelHarness.h"

#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Registration.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/TargetSelect.h"

using namespace spikequant;
using namespace spikequant::test;

static std::string weightsText(const Layer &layer) {
  const Problem &problem = layer.problem;
  return llvm::formatv(
      R"(
spikequant.weights @w : tensor<{0}x{1}xf32>
    format(#spikequant.codes<bits = {2}, group = {3}>) {{spikequant.layout = {{
      codes = {4}, offset_bits = {5}, scales = {6},
      column_max = {7}, max_row_sum = {8}}}
spikequant.weights @bits : tensor<{1}xi8> format(#spikequant.real)
    {{spikequant.layout = {{data = {9}}}
spikequant.weights @gains : tensor<{1}xf32> format(#spikequant.real)
    {{spikequant.layout = {{data = {10}}}
spikequant.weights @centres : tensor<{1}xf32> format(#spikequant.real)
    {{spikequant.layout = {{data = {11}}}
spikequant.weights @rates : tensor<3x{1}xi32>
    format(#spikequant.count_rates<unit = 1.0 : f32, step = 1.0 : f32{14}>)
    {{spikequant.layout = {{data = {12}}}
spikequant.weights @rows : tensor<3x{0}xi32>
    format(#spikequant.rates<weights = @w, step = 1.0 : f32, unit = 1.0 : f32>)
    {{spikequant.layout = {{data = {13}}}
)",
      problem.n, problem.k, problem.bits, problem.group, layer.codes,
      layer.layout.offsetBits, layer.scales, layer.columnMax, layer.maxRowSum,
      layer.bitsArray, layer.gainsArray, layer.centresArray, layer.countRates,
      layer.rowRates, problem.centres ? ", centres = @centres" : "");
}

std::string spikequant::test::moduleText(const Layer &layer) {
  const Problem &problem = layer.problem;
  auto memref = [&](int64_t columns, const char *element) {
    return llvm::formatv("memref<{0}x{1}x{2}>", problem.rows, columns, element)
        .str();
  };
  std::string x = memref(problem.k, problem.grid ? "i32" : "f32"),
              dense = memref(layer.layout.kPadded(), "i8"),
              sums = memref(layer.layout.groups(), "i32"),
              overflow = memref(2 + 2 * problem.k, "i32"),
              counts = memref(problem.k, "i16"), y = memref(problem.n, "f32"),
              membrane = memref(problem.n, "i64"),
              scale = llvm::formatv("memref<{0}xf32>", problem.rows),
              ids = llvm::formatv("memref<{0}xi32>", problem.rows);
  std::string attributes =
      llvm::formatv("site = \"x\", tolerance = {0} : i32, group = {1} : i64",
                    problem.tolerance, layer.layout.group);
  std::string step =
      llvm::formatv("step = {0:x} : f32", llvm::bit_cast<uint32_t>(layer.step));
  if (problem.window)
    attributes += ", bits = @bits";
  if (problem.grid)
    attributes += ", rates = @rates, unit = 1.52587890625e-05 : f32";
  if (problem.gains && !problem.grid)
    attributes += ", gains = @gains";
  if (problem.centres && !problem.grid)
    attributes += ", centres = @centres";
  std::string body = llvm::formatv(
      R"(
func.func @graph(%x: {0}, %scale: {1}, %ids: {2}, %dense: {3}, %sums: {4},
    %overflow: {5}, %counts: {6}, %y: {7}, %membrane: {8}, %rows: {0},
    %file: memref<?xi8> {{spikequant.weights_file},
    %salient: memref<?xi64> {{spikequant.salient})
    attributes {{spikequant.sites = ["other", "x"]} {{
  spikequant.encode_split {{{9}, {10}}
    ins(%x{11} : {0}{12}) outs(%dense, %sums, %overflow{13} : {3}, {4}, {5}{14})
  spikequant.tally %overflow {{site = "x"} : {5}
  spikequant.integrate_decode {{weights = @w, {10}}
    ins(%dense, %sums, %overflow : {3}, {4}, {5}) outs(%y{15} : {7}{16})
  spikequant.lookup_rows {{weights = @w{17}} ins(%ids : {2}) outs(%rows : {0})
  return
}
)",
      x, scale, ids, dense, sums, overflow, counts, y, membrane, attributes,
      step, problem.rowScale ? ", %scale" : "",
      problem.rowScale ? ", " + scale : "", problem.taps ? ", %counts" : "",
      problem.taps ? ", " + counts : "", problem.taps ? ", %membrane" : "",
      problem.taps ? ", " + membrane : "",
      problem.grid ? ", rates = @rows" : "");
  return weightsText(layer) + body;
}

//===----------------------------------------------------------------------===//
// Compilation
//===----------------------------------------------------------------------===//

struct CompiledLayer::Impl {
  mlir::MLIRContext context{mlir::MLIRContext::Threading::DISABLED};
  std::unique_ptr<mlir::ExecutionEngine> engine;
};

CompiledLayer::CompiledLayer() : impl(std::make_unique<Impl>()) {}
CompiledLayer::~CompiledLayer() = default;

static void addPasses(mlir::PassManager &passes, DotInstructions instructions) {
  passes.addPass(mlir::spikequant::createConvertSpikeQuantToVectorLoops());
  passes.addPass(mlir::spikequant::createConvertDot4ToLLVM({instructions}));
  passes.addPass(mlir::createSCFToControlFlowPass());
  passes.addPass(mlir::createConvertVectorToLLVMPass());
  passes.addPass(mlir::createConvertMathToLLVMPass());
  passes.addPass(mlir::createFinalizeMemRefToLLVMConversionPass());
  passes.addPass(mlir::createArithToLLVMConversionPass());
  passes.addPass(mlir::createConvertIndexToLLVMPass());
  passes.addPass(mlir::createConvertControlFlowToLLVMPass());
  passes.addPass(mlir::createConvertFuncToLLVMPass());
  passes.addPass(mlir::createReconcileUnrealizedCastsPass());
}

std::unique_ptr<CompiledLayer>
CompiledLayer::compile(const Layer &layer, DotInstructions instructions) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  mlir::DialectRegistry registry;
  mlir::spikequant::registerSpikeQuantDialects(registry);
  mlir::registerAllToLLVMIRTranslations(registry);
  std::unique_ptr<CompiledLayer> compiled(new CompiledLayer);
  mlir::MLIRContext &context = compiled->impl->context;
  context.appendDialectRegistry(registry);
  auto module =
      mlir::parseSourceString<mlir::ModuleOp>(moduleText(layer), &context);
  if (!module)
    return nullptr;
  mlir::PassManager passes(&context);
  addPasses(passes, instructions);
  if (failed(passes.run(*module)))
    return nullptr;
  // What is left of the weights describes data; no code comes of it.
  for (auto &op : llvm::make_early_inc_range(*module->getBody()))
    if (op.getName().getDialectNamespace() == "spikequant")
      op.erase();
  mlir::ExecutionEngineOptions options;
  options.jitCodeGenOptLevel = llvm::CodeGenOptLevel::Default;
  options.enableGDBNotificationListener = false;
  options.enablePerfNotificationListener = false;
  auto engine = mlir::ExecutionEngine::create(*module, options);
  if (!engine) {
    llvm::errs() << llvm::toString(engine.takeError()) << "\n";
    return nullptr;
  }
  compiled->impl->engine = std::move(*engine);
  return compiled;
}

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

namespace {
/// The words of memref descriptors, in the order of the lowered function's
/// parameters.
class Arguments {
public:
  void add(const void *data, std::vector<int64_t> shape) {
    auto pointer = static_cast<int64_t>(reinterpret_cast<uintptr_t>(data));
    words.insert(words.end(), {pointer, pointer, 0});
    words.insert(words.end(), shape.begin(), shape.end());
    int64_t stride = 1;
    std::vector<int64_t> strides(shape.size());
    for (size_t i = shape.size(); i-- > 0; stride *= shape[i])
      strides[i] = stride;
    words.insert(words.end(), strides.begin(), strides.end());
  }

  std::vector<void *> pointers() {
    std::vector<void *> result;
    for (int64_t &word : words)
      result.push_back(&word);
    return result;
  }

private:
  std::vector<int64_t> words;
};
} // namespace

static void clearUnusedEntries(const Layer &layer, Outputs &outputs) {
  int64_t width = 2 + 2 * layer.problem.k;
  for (int64_t row = 0; row < layer.problem.rows; ++row) {
    int32_t *overflow = outputs.overflow.data() + row * width;
    int64_t used = std::clamp<int64_t>(overflow[0], 0, layer.problem.k);
    std::fill(overflow + 2 + 2 * used, overflow + width, 0);
  }
}

/// Elements behind each array that must keep their value.
static constexpr size_t guardElements = 64;

static void removeGuards(Outputs &outputs) {
  outputs.forEachArray([&](auto &array) {
    size_t size = array.size() - guardElements;
    for (size_t i = size; i < array.size(); ++i)
      outputs.guardsIntact &= array[i] == 77;
    array.resize(size);
  });
}

Outputs CompiledLayer::run(const Layer &layer) {
  const Problem &p = layer.problem;
  const PackedLayout &layout = layer.layout;
  Outputs out = makeOutputs(layer, 0xA5);
  out.forEachArray(
      [](auto &array) { array.resize(array.size() + guardElements, 77); });
  Arguments arguments;
  if (p.grid)
    arguments.add(layer.numbers.data(), {p.rows, p.k});
  else
    arguments.add(layer.x.data(), {p.rows, p.k});
  arguments.add(layer.rowScale.data(), {p.rows});
  arguments.add(layer.ids.data(), {p.rows});
  arguments.add(out.dense.data(), {p.rows, layout.kPadded()});
  arguments.add(out.sums.data(), {p.rows, layout.groups()});
  arguments.add(out.overflow.data(), {p.rows, 2 + 2 * p.k});
  arguments.add(out.counts.data(), {p.rows, p.k});
  arguments.add(out.y.data(), {p.rows, p.n});
  arguments.add(out.membrane.data(), {p.rows, p.n});
  arguments.add(out.rows.data(), {p.rows, p.k});
  arguments.add(layer.file(), {layer.fileBytes});
  arguments.add(out.salient.data(), {3});
  std::vector<void *> pointers = arguments.pointers();
  llvm::cantFail(impl->engine->invokePacked("graph", pointers));
  removeGuards(out);
  clearUnusedEntries(layer, out);
  return out;
}
