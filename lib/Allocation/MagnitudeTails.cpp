//===- MagnitudeTails.cpp - P(|x| >= t) and moments per channel -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/MagnitudeTails.h"

#include "llvm/ADT/STLExtras.h"

#include <cmath>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::magnitude;

/// The bins of finite values that some channel uses, [first, last).
static std::pair<unsigned, unsigned> usedBins(const SiteStatistics &site) {
  unsigned first = infinityBin, last = tinyBin;
  for (uint32_t c = 0; c < site.getChannels(); ++c)
    for (unsigned bin = 0; bin < infinityBin; ++bin)
      if (site.getCount(c, bin) != 0) {
        first = std::min(first, bin);
        last = std::max(last, bin + 1);
      }
  return {std::min(first, last), last};
}

/// Mean and mean square of values spread evenly from `low` to `high`; those of
/// `low` itself for the bin that reaches to infinity.
static std::pair<double, double> momentsOfBin(double low, double high) {
  if (!std::isfinite(high))
    high = low;
  return {(low + high) / 2, (low * low + low * high + high * high) / 3};
}

MagnitudeTails::MagnitudeTails(const SiteStatistics &site)
    : channels(site.getChannels()) {
  auto [first, last] = usedBins(site);
  for (unsigned bin = first; bin <= last; ++bin)
    edges.push_back(lowerEdge(bin));
  for (std::vector<float> *table : {&tails, &firsts, &seconds})
    table->resize(edges.size() * channels);
  double perRow = site.getRows() == 0 ? 0.0 : 1.0 / double(site.getRows());
  for (uint32_t c = 0; c < channels; ++c) {
    uint64_t above = site.getCount(c, infinityBin);
    for (unsigned bin = last + 1; bin-- > first;) {
      if (bin < last)
        above += site.getCount(c, bin);
      tails[size_t(bin - first) * channels + c] = float(double(above) * perRow);
    }
    double mean = 0.0, square = 0.0;
    for (unsigned bin = first; bin < last; ++bin) {
      auto [m1, m2] = momentsOfBin(lowerEdge(bin), upperEdge(bin));
      double share = site.getCount(c, bin) * perRow;
      mean += share * m1;
      square += share * m2;
      firsts[size_t(bin + 1 - first) * channels + c] = float(mean);
      seconds[size_t(bin + 1 - first) * channels + c] = float(square);
    }
  }
}

MagnitudeTails::Position MagnitudeTails::find(double threshold) const {
  auto next = llvm::upper_bound(edges, threshold);
  if (next == edges.begin())
    return {0, 0.0};
  unsigned index = unsigned(next - edges.begin());
  if (next == edges.end())
    return {index - 1, 0.0};
  // A huge bin reaches to infinity: its lower edge then stands for all of it.
  double low = edges[index - 1];
  return {index - 1, (threshold - low) / (edges[index] - low)};
}

void MagnitudeTails::evaluate(double threshold,
                              MutableArrayRef<float> result) const {
  auto [index, share] = find(threshold);
  ArrayRef<float> low = row(tails, index);
  if (share == 0.0) {
    llvm::copy(low, result.begin());
    return;
  }
  ArrayRef<float> high = row(tails, index + 1);
  float weight = float(share);
  for (uint32_t c = 0; c < channels; ++c)
    result[c] = low[c] + (high[c] - low[c]) * weight;
}

void MagnitudeTails::evaluateMoments(double threshold,
                                     MutableArrayRef<float> first,
                                     MutableArrayRef<float> second) const {
  auto [index, share] = find(threshold);
  llvm::copy(row(firsts, index), first.begin());
  llvm::copy(row(seconds, index), second.begin());
  if (share == 0.0)
    return;
  ArrayRef<float> low = row(tails, index), high = row(tails, index + 1);
  auto [m1, m2] = momentsOfBin(edges[index], threshold);
  float weight1 = float(share * m1), weight2 = float(share * m2);
  for (uint32_t c = 0; c < channels; ++c) {
    float inBin = low[c] - high[c];
    first[c] += inBin * weight1;
    second[c] += inBin * weight2;
  }
}
