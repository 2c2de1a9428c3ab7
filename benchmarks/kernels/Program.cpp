//===- Program.cpp - one graph of a compiled folder -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Program.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <random>

using namespace spikequant;

[[noreturn]] static void fail(const std::string &what, const char *detail) {
  std::fprintf(stderr, "error: %s: %s\n", what.c_str(), detail);
  std::exit(1);
}

template <typename Function>
static Function *getSymbol(void *library, const std::string &path,
                           const char *name) {
  void *address = dlsym(library, name);
  if (!address)
    fail(path, dlerror());
  return reinterpret_cast<Function *>(address);
}

void Program::Free::operator()(void *memory) const { std::free(memory); }

void *Program::addMemory(int64_t bytes) {
  // aligned_alloc wants a multiple of the alignment.
  void *block = std::aligned_alloc(64, (bytes + 64) / 64 * 64);
  if (!block)
    fail("arrays", "out of memory");
  std::memset(block, 0, bytes);
  memory.emplace_back(block);
  return block;
}

void Program::fill(void *target, const sq_array &array) {
  if (array.element_type != SQ_F32)
    return;
  std::mt19937 generator(1);
  std::normal_distribution<float> normal;
  auto *values = static_cast<float *>(target);
  for (int64_t i = 0; i < array.bytes / 4; ++i)
    values[i] = normal(generator);
}

Program::Program(const std::string &folder) {
  std::string path = folder + "/model.so";
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    fail(path, dlerror());
  auto *model =
      getSymbol<decltype(sq_get_model)>(library, path, "sq_get_model")();
  auto *map =
      getSymbol<decltype(sq_map_weights)>(library, path, "sq_map_weights");
  auto *check = getSymbol<decltype(sq_check)>(library, path, "sq_check");
  auto *message = getSymbol<decltype(sq_status_message)>(library, path,
                                                         "sq_status_message");
  runGraph = getSymbol<decltype(sq_run)>(library, path, "sq_run");
  if (model->graph_count != 1)
    fail(path, "has not exactly one graph");
  graph = model->graphs;
  std::string file = folder + "/weights.sqw";
  weights = static_cast<const uint8_t *>(map(file.c_str(), &weightBytes));
  if (!weights)
    fail(file, "cannot be mapped");
  if (int32_t status = check(weights))
    fail(path, message(status));

  for (int64_t i = 0; i < graph->argument_count; ++i) {
    arguments.push_back(addMemory(graph->arguments[i].bytes));
    fill(arguments.back(), graph->arguments[i]);
  }
  for (int64_t i = 0; i < graph->result_count; ++i)
    results.push_back(addMemory(graph->results[i].bytes));
  salient.resize(graph->site_count);
  call.size = sizeof(call);
  call.weights = weights;
  call.arena = addMemory(graph->arena_bytes);
  call.arguments = arguments.data();
  call.results = results.data();
  call.salient = salient.data();
}

void Program::run(int64_t threads) {
  call.threads = threads;
  if (int32_t status = runGraph(graph, &call))
    fail(graph->name, ("status " + std::to_string(status)).c_str());
}
