//===- FireLoweringTest.cpp - fire as linalg against its definition -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Registration.h"
#include "spikequant/Kernel/Fire.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/TargetSelect.h"
#include "gtest/gtest.h"

#include <limits>
#include <random>

using namespace mlir;

namespace {

/// One fire of [rows, channels] with a threshold for each channel.
struct Fire {
  std::vector<::spikequant::FireThreshold> thresholds;
  int32_t lo, hi;
  std::vector<int64_t> membranes; ///< rows of as many as there are thresholds
};

std::string textOf(const Fire &fire) {
  std::string multipliers, biases;
  for (auto [i, threshold] : llvm::enumerate(fire.thresholds)) {
    multipliers += (i ? ", " : "") + std::to_string(threshold.multiplier);
    biases += (i ? ", " : "") + std::to_string(threshold.bias);
  }
  size_t channels = fire.thresholds.size();
  return llvm::formatv(
      R"(
func.func @fire(%acc: tensor<{0}x{1}xi64>) -> tensor<{0}x{1}xi16> {{
  %n = spikequant.fire %acc {{multipliers = array<i64: {2}>,
      biases = array<i64: {3}>, shift = {4} : i32, lo = {5} : i32, hi = {6} : i32}
      : tensor<{0}x{1}xi64> -> tensor<{0}x{1}xi16>
  return %n : tensor<{0}x{1}xi16>
}
)",
      fire.membranes.size() / channels, channels, multipliers, biases,
      fire.thresholds[0].shift, fire.lo, fire.hi);
}

void addPasses(PassManager &passes) {
  passes.addPass(mlir::spikequant::createConvertSpikeQuantToProcessor());
  bufferization::OneShotBufferizePassOptions options;
  options.bufferizeFunctionBoundaries = true;
  options.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  passes.addPass(bufferization::createOneShotBufferizePass(options));
  bufferization::BufferResultsToOutParamsPassOptions outParams;
  outParams.modifyPublicFunctions = true;
  passes.addPass(bufferization::createBufferResultsToOutParamsPass(outParams));
  passes.addNestedPass<func::FuncOp>(createConvertLinalgToLoopsPass());
  passes.addPass(createSCFToControlFlowPass());
  passes.addPass(createFinalizeMemRefToLLVMConversionPass());
  passes.addPass(createArithToLLVMConversionPass());
  passes.addPass(createConvertControlFlowToLLVMPass());
  passes.addPass(createConvertFuncToLLVMPass());
  passes.addPass(createReconcileUnrealizedCastsPass());
}

/// Appends a row-major memref<rows x channels> descriptor's words.
void addMatrix(std::vector<int64_t> &words, void *data, int64_t rows,
               int64_t channels) {
  auto pointer = static_cast<int64_t>(reinterpret_cast<uintptr_t>(data));
  words.insert(words.end(), {pointer, pointer, 0, rows, channels, channels, 1});
}

std::vector<int16_t> run(const Fire &fire) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  DialectRegistry registry;
  mlir::spikequant::registerSpikeQuantDialects(registry);
  registerAllToLLVMIRTranslations(registry);
  MLIRContext context(registry, MLIRContext::Threading::DISABLED);
  auto module = parseSourceString<ModuleOp>(textOf(fire), &context);
  PassManager passes(&context);
  addPasses(passes);
  if (!module || failed(passes.run(*module)))
    return {};
  ExecutionEngineOptions options;
  options.enableGDBNotificationListener = false;
  options.enablePerfNotificationListener = false;
  auto engine = llvm::cantFail(ExecutionEngine::create(*module, options));
  int64_t channels = fire.thresholds.size();
  int64_t rows = fire.membranes.size() / channels;
  std::vector<int64_t> input = fire.membranes, words;
  std::vector<int16_t> counts(input.size(), 12345);
  addMatrix(words, input.data(), rows, channels);
  addMatrix(words, counts.data(), rows, channels);
  std::vector<void *> pointers;
  for (int64_t &word : words)
    pointers.push_back(&word);
  llvm::cantFail(engine->invokePacked("fire", pointers));
  return counts;
}

void check(const Fire &fire) {
  std::vector<int16_t> actual = run(fire);
  ASSERT_EQ(actual.size(), fire.membranes.size()) << textOf(fire);
  for (size_t i = 0; i < actual.size(); ++i) {
    auto threshold = fire.thresholds[i % fire.thresholds.size()];
    ASSERT_EQ(actual[i], ::spikequant::fireCount(fire.membranes[i], threshold,
                                                 fire.lo, fire.hi))
        << "membrane " << fire.membranes[i] << ", multiplier "
        << threshold.multiplier << ", bias " << threshold.bias;
  }
}

/// Both sides of every rung, and the ends of i64.
Fire withLadder(std::vector<::spikequant::FireThreshold> thresholds, int32_t lo,
                int32_t hi) {
  Fire fire{std::move(thresholds), lo, hi, {}};
  auto addRow = [&](auto membraneOf) {
    for (auto threshold : fire.thresholds)
      fire.membranes.push_back(membraneOf(threshold));
  };
  using Limits = std::numeric_limits<int64_t>;
  addRow([](auto) { return Limits::min(); });
  addRow([](auto) { return Limits::max(); });
  for (int32_t k = lo; k <= hi + 1; ++k)
    for (int64_t side : {0, 1})
      addRow([&](auto threshold) {
        int64_t rung = ::spikequant::fireLadder(k, threshold);
        return rung == Limits::min() ? rung : rung - side;
      });
  return fire;
}

} // namespace

TEST(FireLowering, FourBitCountsOnEveryRung) {
  check(withLadder({{3, 512, 10}, {1, 0, 10}, {2147483647, -5, 10}}, -7, 7));
}

TEST(FireLowering, LargestShiftAndBiases) {
  int64_t huge = std::numeric_limits<int64_t>::max();
  check(withLadder({{1, huge, 46}, {1, -huge, 46}, {7, int64_t{1} << 45, 46}},
                   -127, 127));
}

TEST(FireLowering, OneSidedAndNoShift) {
  check(withLadder({{1, 0, 0}, {5, -3, 0}}, 0, 300));
}
