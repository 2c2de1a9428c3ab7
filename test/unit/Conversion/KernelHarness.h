//===- KernelHarness.h - generated kernels against lib/Kernel ---*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Builds a graph of encode_split, tally, integrate_decode and lookup_rows for
/// one problem, compiles it with the project's passes and upstream's, runs it,
/// and gives back every array that it wrote. The same arrays come from
/// lib/Kernel's scalar functions.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_CONVERSION_KERNELHARNESS_H
#define SPIKEQUANT_TEST_UNIT_CONVERSION_KERNELHARNESS_H

#include "spikequant/Conversion/DotInstructions.h"
#include "spikequant/Kernel/PackedCodes.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace spikequant::test {

using mlir::spikequant::DotInstructions;

/// One layer: sizes, weight format and which options are on.
struct Problem {
  int64_t rows = 1, n = 16, k = 32;
  int64_t bits = 4, group = 32; ///< group 0: the whole row
  int32_t offsetBits = 16;      ///< 8: zero points; maxOffset is not used.
  bool rowScale = false, window = true, gains = false, centres = false,
       taps = true;
  bool grid = false; ///< Fixed-point activations and looked-up rows.
  int32_t tolerance = 1;
  /// Size of the offsets c: 32767 makes 127 R exceed i32 for large K.
  int32_t maxOffset = 500;
  /// Typical |count|; 300 makes most counts overflow the int8 container.
  float typicalCount = 4.0f;
  bool positive = false; ///< No negative activations: sums do not cancel.
  /// Every so many activations, one is 60 times larger, or NaN or infinite.
  int64_t outlierEvery = 37;
  uint32_t seed = 1;
};

/// Inputs of a problem: packed weights as a file in memory, and activations.
struct Layer {
  Problem problem;
  PackedLayout layout;
  std::vector<uint64_t> storage; ///< The file; 8-byte units for alignment.
  int64_t codes, scales, columnMax;
  int64_t bitsArray, gainsArray, centresArray, fileBytes;
  int64_t countRates, rowRates; ///< [3, K] and [3, N] i32
  int64_t maxRowSum;
  float step;
  std::vector<float> x, rowScale;
  std::vector<int32_t> numbers; ///< x, if `grid`: units of 2^-16
  std::vector<int32_t> ids;

  uint8_t *file() const;
  template <typename T> T *at(int64_t offset) const {
    return reinterpret_cast<T *>(file() + offset);
  }
};

/// Every array that the graph writes.
struct Outputs {
  std::vector<int8_t> dense;
  std::vector<int32_t> sums, overflow;
  std::vector<int16_t> counts;
  std::vector<float> y, rows; ///< rows: the bits of i32 if `grid`
  std::vector<int64_t> membrane, salient;
  bool guardsIntact = true; ///< Nothing was written behind an array's end.

  template <typename Function> void forEachArray(Function function) {
    function(dense);
    function(sums);
    function(overflow);
    function(counts);
    function(y);
    function(rows);
    function(membrane);
    function(salient);
  }
};

Layer makeLayer(const Problem &problem);

/// All arrays at their sizes, `fill` in every byte.
Outputs makeOutputs(const Layer &layer, int fill);

/// By lib/Kernel's scalar functions. Overflow entries beyond a row's number are
/// zero.
Outputs runReference(const Layer &layer);

/// A compiled graph.
class CompiledLayer {
public:
  /// Null after printing a diagnostic if compilation fails.
  static std::unique_ptr<CompiledLayer> compile(const Layer &layer,
                                                DotInstructions instructions);
  ~CompiledLayer();
  /// Overflow entries beyond a row's number are set to zero afterwards.
  Outputs run(const Layer &layer);

private:
  CompiledLayer();
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// The module's text before the passes, for failure messages.
std::string moduleText(const Layer &layer);

} // namespace spikequant::test

#endif // SPIKEQUANT_TEST_UNIT_CONVERSION_KERNELHARNESS_H
