//===- OperationCounts.h - what a layer does in every spike code *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Exact numbers of operations and of bytes moved, from the counts that a layer
/// read, free of IR and of prices. The definitions, one table, and the memory
/// model are in docs/OperationCounts.md.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ENERGY_OPERATIONCOUNTS_H
#define SPIKEQUANT_ENERGY_OPERATIONCOUNTS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace spikequant {

/// One integrate and what it read.
struct LayerActivity {
  std::string name;  ///< Of the weights.
  std::string input; ///< Where the counts come from: a site, or a layer.
  int64_t inputs = 0;
  int64_t outputs = 0;
  int64_t rows = 0; ///< Vectors integrated.
  int64_t runs = 1; ///< Executions of the graph that these rows take.
  /// Vectors that the histograms are of. Another number than `rows` makes the
  /// results estimates.
  int64_t observedRows = 0;
  bool estimated = false;
  /// Per channel: times that each |n| occurred.
  std::vector<std::map<uint32_t, int64_t>> magnitudes;
  std::vector<uint32_t> windows; ///< L_j; larger |n| are salient.
  std::vector<int32_t> bits;     ///< b_j, what a count takes in memory.
  std::vector<int64_t> fanOut; ///< f_j, weights of the channel that are not 0.
  int32_t lo = -7;             ///< Least and
  int32_t hi = 7;              ///< largest count that the layer fires.
  bool assumedFire = false;    ///< The layer decodes; lo and hi are assumed.
  int32_t weightBits = 0;      ///< Of W, two's complement.
  int32_t membraneBits = 32;
  int64_t packedBytes = 0; ///< Of the weights in memory, read once per run.

  /// Adds counts [rows][inputs] to the histograms and to `observedRows`.
  void observe(llvm::ArrayRef<int16_t> counts);
};

/// Bits of integers from `least` to `largest` in two's complement.
int32_t signedBits(int64_t least, int64_t largest);

enum class CountedCode {
  Integer, ///< No spikes: a product per weight and count.
  Count,   ///< Graded spikes: a product per weight and count that is not 0.
  Rate,
  BinaryPlanes,
  SignedDigits,
  OneSpike,
  Ladder,
  Gated,
};
inline constexpr CountedCode allCountedCodes[] = {
    CountedCode::Integer,      CountedCode::Count,        CountedCode::Rate,
    CountedCode::BinaryPlanes, CountedCode::SignedDigits, CountedCode::OneSpike,
    CountedCode::Ladder,       CountedCode::Gated};

/// "integer", "count", "rate", "binary_planes", "signed_digits", "one_spike",
/// "ladder" or "gated".
llvm::StringRef nameOf(CountedCode code);

struct OperationCounts {
  int64_t spikes = 0;         ///< Messages between layers.
  int64_t synapticEvents = 0; ///< Times that a spike reaches a neuron.
  int64_t additions = 0;
  int64_t multiplications = 0;
  int64_t comparisons = 0;
  int64_t weightBytes = 0;   ///< On chip, once per use: weights,
  int64_t countBytes = 0;    ///< counts that are no spikes,
  int64_t eventBytes = 0;    ///< spikes and salient counts,
  int64_t membraneBytes = 0; ///< membranes.

  OperationCounts &operator+=(const OperationCounts &other);
};

OperationCounts countOperations(const LayerActivity &layer, CountedCode code);

/// Salient counts of a layer, scaled to its rows.
int64_t countSalient(const LayerActivity &layer);

/// Operations on real numbers, of the islands between layers.
struct RealOperations {
  int64_t operations = 0; ///< Of the IR.
  int64_t additions = 0;
  int64_t multiplications = 0;
  int64_t divisions = 0;
  int64_t comparisons = 0; ///< Also minima, maxima and selections.
  int64_t functions = 0;   ///< exp, sqrt, floor, ..
  int64_t conversions = 0;
  int64_t bytes = 0; ///< Arrays read and written, once per operation.

  RealOperations &operator+=(const RealOperations &other);
  RealOperations times(int64_t factor) const;
};

struct CountsReport {
  std::string name; ///< Of the graph.
  std::vector<LayerActivity> layers;
  /// By kind: encode, decode, lookup, contraction, reduction, elementwise.
  /// Empty for networks that have none.
  std::map<std::string, RealOperations> others;
  int64_t unknownLoops = 0; ///< Counted as if they ran once.
};

/// docs/schema/counts-1.json.
void writeCounts(const CountsReport &report, llvm::json::OStream &json);
/// A table for people.
void printCounts(const CountsReport &report, llvm::raw_ostream &os);

} // namespace spikequant

#endif // SPIKEQUANT_ENERGY_OPERATIONCOUNTS_H
