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
  std::vector<uint32_t> used(infinityBin);
  site.forEachCount(
      {0, infinityBin},
      [&](uint32_t, unsigned bin, uint32_t count) { used[bin] |= count; });
  unsigned first = infinityBin, last = tinyBin;
  for (unsigned bin = 0; bin < infinityBin; ++bin)
    if (used[bin] != 0) {
      first = std::min(first, bin);
      last = bin + 1;
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
  addTails(site, first, last);
  addMoments(site, first, last);
}

/// What lies above an edge is all that is finite or infinite less what lies
/// below: integers, exact in doubles.
void MagnitudeTails::addTails(const SiteStatistics &site, unsigned first,
                              unsigned last) {
  double perRow = site.getRows() == 0 ? 0.0 : 1.0 / double(site.getRows());
  std::vector<double> above(channels);
  for (uint32_t c = 0; c < channels; ++c)
    above[c] = site.getCount(c, infinityBin);
  site.forEachCount({first, last}, [&](uint32_t c, unsigned, uint32_t count) {
    above[c] += count;
  });
  site.forEachCount(
      {first, last}, [&](uint32_t c, unsigned bin, uint32_t count) {
        tails[size_t(bin - first) * channels + c] = float(above[c] * perRow);
        above[c] -= count;
      });
  for (uint32_t c = 0; c < channels; ++c)
    tails[size_t(last - first) * channels + c] = float(above[c] * perRow);
}

void MagnitudeTails::addMoments(const SiteStatistics &site, unsigned first,
                                unsigned last) {
  double perRow = site.getRows() == 0 ? 0.0 : 1.0 / double(site.getRows());
  std::vector<std::pair<double, double>> moments;
  for (unsigned bin = first; bin < last; ++bin)
    moments.push_back(momentsOfBin(lowerEdge(bin), upperEdge(bin)));
  std::vector<double> mean(channels), square(channels);
  site.forEachCount({first, last},
                    [&](uint32_t c, unsigned bin, uint32_t count) {
                      auto [m1, m2] = moments[bin - first];
                      size_t at = size_t(bin + 1 - first) * channels + c;
                      double share = count * perRow;
                      firsts[at] = float(mean[c] += share * m1);
                      seconds[at] = float(square[c] += share * m2);
                    });
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
  auto add = [&, index = index](const std::vector<float> &table, double weight,
                                MutableArrayRef<float> result) {
    llvm::copy(row(table, index), result.begin());
    if (weight == 0.0)
      return;
    ArrayRef<float> low = row(tails, index), high = row(tails, index + 1);
    for (uint32_t c = 0; c < channels; ++c)
      result[c] += (low[c] - high[c]) * float(weight);
  };
  auto [m1, m2] = momentsOfBin(edges[index], threshold);
  add(firsts, share == 0.0 ? 0.0 : share * m1, first);
  if (!second.empty())
    add(seconds, share == 0.0 ? 0.0 : share * m2, second);
}
