//===- Program.h - one graph of a compiled folder ---------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_BENCHMARKS_PROGRAM_H
#define SPIKEQUANT_BENCHMARKS_PROGRAM_H

#include "spikequant/Runtime/spikequant.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace spikequant {

/// The only graph of a compiled folder with memory for its arrays, called
/// through the C interface. Every failure ends the program with a message.
class Program {
public:
  explicit Program(const std::string &folder);

  /// One run. Arguments of f32 are normal random values.
  void run(int64_t threads);

  const sq_graph &getGraph() const { return *graph; }
  const uint8_t *getWeights() const { return weights; }
  uint64_t getWeightBytes() const { return weightBytes; }

private:
  struct Free {
    void operator()(void *memory) const;
  };
  using Memory = std::unique_ptr<void, Free>;

  void *addMemory(int64_t bytes);
  void fill(void *memory, const sq_array &array);

  const sq_graph *graph = nullptr;
  const uint8_t *weights = nullptr;
  uint64_t weightBytes = 0;
  int32_t (*runGraph)(const sq_graph *, const sq_call *) = nullptr;
  std::vector<Memory> memory;
  std::vector<void *> arguments, results;
  std::vector<int64_t> salient;
  sq_call call = {};
};

} // namespace spikequant

#endif // SPIKEQUANT_BENCHMARKS_PROGRAM_H
