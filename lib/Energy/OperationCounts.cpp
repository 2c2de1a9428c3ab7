//===- OperationCounts.cpp - what a layer does in every spike code --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Energy/OperationCounts.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cstdlib>

using namespace llvm;
using namespace spikequant;

/// Of an event with its address or its value, as on a link.
static constexpr int64_t eventBits = 32;
/// A gated layer's: start, open and close.
static constexpr int64_t pulses = 3;

void LayerActivity::observe(ArrayRef<int16_t> counts) {
  magnitudes.resize(inputs);
  for (size_t i = 0; i < counts.size(); ++i)
    ++magnitudes[i % inputs][std::abs(int32_t(counts[i]))];
  observedRows += counts.size() / inputs;
}

int32_t spikequant::signedBits(int64_t least, int64_t largest) {
  int32_t bits = 1;
  while (!llvm::isIntN(bits, least) || !llvm::isIntN(bits, largest))
    ++bits;
  return bits;
}

StringRef spikequant::nameOf(CountedCode code) {
  switch (code) {
  case CountedCode::Integer:
    return "integer";
  case CountedCode::Count:
    return "count";
  case CountedCode::Rate:
    return "rate";
  case CountedCode::BinaryPlanes:
    return "binary_planes";
  case CountedCode::SignedDigits:
    return "signed_digits";
  case CountedCode::OneSpike:
    return "one_spike";
  case CountedCode::Ladder:
    return "ladder";
  case CountedCode::Gated:
    return "gated";
  }
  return "";
}

OperationCounts &OperationCounts::operator+=(const OperationCounts &other) {
  spikes += other.spikes;
  synapticEvents += other.synapticEvents;
  additions += other.additions;
  multiplications += other.multiplications;
  comparisons += other.comparisons;
  weightBytes += other.weightBytes;
  countBytes += other.countBytes;
  eventBytes += other.eventBytes;
  membraneBytes += other.membraneBytes;
  return *this;
}

RealOperations &RealOperations::operator+=(const RealOperations &other) {
  operations += other.operations;
  additions += other.additions;
  multiplications += other.multiplications;
  divisions += other.divisions;
  comparisons += other.comparisons;
  functions += other.functions;
  conversions += other.conversions;
  bytes += other.bytes;
  return *this;
}

RealOperations RealOperations::times(int64_t factor) const {
  return {operations,           additions * factor,   multiplications * factor,
          divisions * factor,   comparisons * factor, functions * factor,
          conversions * factor, bytes * factor};
}

/// Spikes of a count inside its window.
static int64_t spikesOf(CountedCode code, uint32_t m) {
  switch (code) {
  case CountedCode::Integer:
    return 0;
  case CountedCode::Count:
  case CountedCode::OneSpike:
    return m != 0;
  case CountedCode::BinaryPlanes:
    return llvm::popcount(m);
  case CountedCode::SignedDigits: // Not 0 in the non-adjacent form.
    return llvm::popcount(m ^ (3 * m));
  case CountedCode::Rate:
  case CountedCode::Ladder:
  case CountedCode::Gated:
    return m;
  }
  return 0;
}

static int64_t bytesOf(int64_t bits) { return llvm::divideCeil(bits, 8); }

/// From the rows that were observed to those of the layer, to nearest.
static int64_t scale(const LayerActivity &layer, int64_t value) {
  if (layer.rows == layer.observedRows || layer.observedRows == 0)
    return value;
  __int128 product = static_cast<__int128>(value) * layer.rows;
  return static_cast<int64_t>((product + layer.observedRows / 2) /
                              layer.observedRows);
}

int64_t spikequant::countSalient(const LayerActivity &layer) {
  int64_t salient = 0;
  for (auto [channel, window] : llvm::zip(layer.magnitudes, layer.windows))
    for (auto [magnitude, times] : channel)
      salient += magnitude > window ? times : 0;
  return scale(layer, salient);
}

/// The spikes and the times that they reach an output. A salient count has no
/// time in the window: it is one message, which its binary planes add (or, as
/// a graded spike, a product).
static void countSpikes(const LayerActivity &layer, CountedCode code,
                        OperationCounts &counts) {
  int64_t spikes = 0, events = 0;
  for (size_t j = 0; j < layer.magnitudes.size(); ++j)
    for (auto [magnitude, times] : layer.magnitudes[j]) {
      bool salient = magnitude > layer.windows[j];
      int64_t sent = spikesOf(code, magnitude), added = sent;
      if (salient && code != CountedCode::Integer) {
        sent = 1;
        added = code == CountedCode::Count ? 1 : llvm::popcount(magnitude);
      }
      spikes += sent * times;
      events += added * times * layer.fanOut[j];
    }
  counts.spikes = scale(layer, spikes);
  counts.synapticEvents = scale(layer, events);
}

/// Steps that the largest count of the input takes.
static int64_t inputSteps(const LayerActivity &layer) {
  uint32_t steps = 0;
  for (size_t j = 0; j < layer.magnitudes.size(); ++j) {
    auto largest = layer.magnitudes[j].rbegin();
    bool open = layer.windows[j] == UINT32_MAX;
    uint32_t seen = largest == layer.magnitudes[j].rend() ? 0 : largest->first;
    steps = std::max(steps, open ? seen : layer.windows[j]);
  }
  return steps;
}

/// Comparisons of one output of one row.
static int64_t comparisonsPerOutput(const LayerActivity &layer,
                                    CountedCode code) {
  int64_t levels = int64_t(layer.hi) - layer.lo, rails = layer.lo < 0 ? 2 : 1;
  int64_t steps = std::max<int64_t>(layer.hi, -int64_t(layer.lo));
  if (code == CountedCode::Ladder)
    return levels;
  if (code == CountedCode::Rate || code == CountedCode::OneSpike ||
      code == CountedCode::Gated)
    return rails * steps;
  return llvm::Log2_64_Ceil(levels + 1);
}

static int64_t sumOfBits(const LayerActivity &layer) {
  int64_t sum = 0;
  for (int32_t b : layer.bits)
    sum += b;
  return sum;
}

/// Every value that an operation reads or writes, once per use.
static void addBytes(const LayerActivity &layer, bool isDense,
                     OperationCounts &counts) {
  int64_t fires = layer.rows * layer.outputs;
  int64_t salient = countSalient(layer);
  int64_t products = isDense ? fires * layer.inputs : counts.synapticEvents;
  counts.weightBytes = bytesOf(products * layer.weightBits);
  counts.countBytes = isDense ? bytesOf(fires * sumOfBits(layer)) : 0;
  counts.eventBytes = bytesOf((isDense ? salient : counts.spikes) * eventBits);
  // Dense: the sum is in a register, written once and read once.
  int64_t membranes =
      isDense ? 2 * fires : 2 * counts.additions + counts.comparisons;
  counts.membraneBytes = bytesOf(membranes * layer.membraneBits);
}

OperationCounts spikequant::countOperations(const LayerActivity &layer,
                                            CountedCode code) {
  OperationCounts counts;
  countSpikes(layer, code, counts);
  int64_t fires = layer.rows * layer.outputs;
  int64_t rails = layer.lo < 0 ? 2 : 1;
  if (code == CountedCode::Ladder)
    counts.synapticEvents *= int64_t(layer.hi) - layer.lo;
  if (code == CountedCode::Gated) {
    counts.spikes += pulses * layer.rows;
    counts.synapticEvents = (counts.synapticEvents + pulses * fires) * rails;
  }
  counts.additions = counts.synapticEvents;
  if (code == CountedCode::OneSpike)
    counts.additions += fires * inputSteps(layer); // Ramps.
  if (code == CountedCode::Integer)
    counts.additions = counts.multiplications = fires * layer.inputs;
  if (code == CountedCode::Count)
    counts.multiplications = counts.synapticEvents;
  counts.comparisons = fires * comparisonsPerOutput(layer, code);
  addBytes(layer, code == CountedCode::Integer, counts);
  return counts;
}
