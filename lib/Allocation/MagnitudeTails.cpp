//===- MagnitudeTails.cpp - P(|x| >= t) per channel -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/MagnitudeTails.h"

#include "llvm/ADT/STLExtras.h"

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

MagnitudeTails::MagnitudeTails(const SiteStatistics &site)
    : channels(site.getChannels()) {
  auto [first, last] = usedBins(site);
  for (unsigned bin = first; bin <= last; ++bin)
    edges.push_back(lowerEdge(bin));
  tails.resize(edges.size() * channels);
  double perRow = site.getRows() == 0 ? 0.0 : 1.0 / double(site.getRows());
  for (uint32_t c = 0; c < channels; ++c) {
    uint64_t above = site.getCount(c, infinityBin);
    for (unsigned bin = last + 1; bin-- > first;) {
      if (bin < last)
        above += site.getCount(c, bin);
      tails[size_t(bin - first) * channels + c] = float(double(above) * perRow);
    }
  }
}

void MagnitudeTails::evaluate(double threshold,
                              MutableArrayRef<float> result) const {
  auto next = llvm::upper_bound(edges, threshold);
  if (next == edges.begin() || next == edges.end()) {
    ArrayRef<float> end = row(next == edges.begin() ? 0 : edges.size() - 1);
    llvm::copy(end, result.begin());
    return;
  }
  unsigned index = unsigned(next - edges.begin());
  ArrayRef<float> low = row(index - 1), high = row(index);
  // A huge bin reaches to infinity: its lower edge then stands for all of it.
  double low0 = edges[index - 1];
  float weight = float((threshold - low0) / (edges[index] - low0));
  for (uint32_t c = 0; c < channels; ++c)
    result[c] = low[c] + (high[c] - low[c]) * weight;
}
