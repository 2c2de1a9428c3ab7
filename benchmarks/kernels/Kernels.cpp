//===- Kernels.cpp - generated integrate code against the processor's limits
//===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Usage: SpikeQuantBenchmarks FOLDER .. [--benchmark_..]
//
// Each folder holds one compiled graph of an array [M, K] and weights [K, N],
// every result the product with one of them (benchmarks/kernels.py makes them).
// Its time, that of reading its weights, and that of dot products on registers
// are measured in one run; --benchmark_enable_random_interleaving mixes them.
//
//===----------------------------------------------------------------------===//

#include "Limits.h"
#include "Program.h"

#include <benchmark/benchmark.h>
#include <cstdio>

using namespace spikequant;
using benchmark::Counter;

/// Operations of one run: two for each multiply-accumulate.
static double getOperations(const sq_graph &graph) {
  const int64_t *shape = graph.arguments[0].shape;
  double operations = 0;
  for (int64_t i = 0; i < graph.result_count; ++i)
    operations += 2.0 * shape[0] * shape[1] * graph.results[i].shape[1];
  return operations;
}

static void runProgram(benchmark::State &state, Program &program,
                       int64_t threads) {
  program.run(threads);
  for (auto _ : state)
    program.run(threads);
  const sq_graph &graph = program.getGraph();
  double runs = state.iterations();
  state.counters["operations"] =
      Counter(runs * getOperations(graph), Counter::kIsRate);
  state.counters["bytes"] =
      Counter(runs * program.getWeightBytes(), Counter::kIsRate);
  state.counters["products"] = graph.result_count;
}

static void runRead(benchmark::State &state, const Program &program) {
  uint64_t bytes = program.getWeightBytes() / 512 * 512;
  for (auto _ : state)
    benchmark::DoNotOptimize(readMemory(program.getWeights(), bytes));
  state.counters["bytes"] =
      Counter(double(state.iterations()) * bytes, Counter::kIsRate);
}

static void runPeak(benchmark::State &state) {
  constexpr int64_t Rounds = 10000;
  for (auto _ : state)
    benchmark::DoNotOptimize(runDotProducts(Rounds));
  state.counters["operations"] = Counter(
      double(state.iterations()) * Rounds * 16 * 64 * 2, Counter::kIsRate);
}

static std::string getLeaf(const std::string &path) {
  return path.substr(path.find_last_of('/') + 1);
}

int main(int argc, char **argv) {
  benchmark::Initialize(&argc, argv);
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s FOLDER .. [--benchmark_..]\n", argv[0]);
    return 1;
  }
  std::vector<std::unique_ptr<Program>> programs;
  if (hasDotProducts())
    benchmark::RegisterBenchmark("peak", runPeak)->MeasureProcessCPUTime();
  for (int i = 1; i < argc; ++i) {
    Program &program =
        *programs.emplace_back(std::make_unique<Program>(argv[i]));
    std::string name = getLeaf(argv[i]);
    benchmark::RegisterBenchmark(
        ("read/" + name).c_str(),
        [&program](benchmark::State &state) { runRead(state, program); })
        ->MeasureProcessCPUTime();
    benchmark::RegisterBenchmark(
        ("integrate/" + name).c_str(),
        [&program](benchmark::State &state) { runProgram(state, program, 1); })
        ->MeasureProcessCPUTime();
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
