//===- MagnitudeTails.h - P(|x| >= t) per channel -------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_MAGNITUDETAILS_H
#define SPIKEQUANT_ALLOCATION_MAGNITUDETAILS_H

#include "spikequant/Calibration/Statistics.h"

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>
#include <vector>

namespace spikequant {

/// Tail probabilities of every channel of a site, from its histograms: exact at
/// bin edges, linear between them (so within one bin of the exact count).
/// Infinities count as above every threshold, NaN as zero (its count is 0).
class MagnitudeTails {
public:
  MagnitudeTails() = default;
  explicit MagnitudeTails(const SiteStatistics &site);

  uint32_t getChannels() const { return channels; }

  /// result[j] = P(|x_j| >= threshold), one entry per channel; threshold >= 0.
  void evaluate(double threshold, llvm::MutableArrayRef<float> result) const;

private:
  llvm::ArrayRef<float> row(unsigned index) const {
    return llvm::ArrayRef(tails).slice(size_t(index) * channels, channels);
  }

  uint32_t channels = 0;
  /// Row i: P(|x| >= edges[i]) for all channels; the last row is the
  /// probability of infinity. Only edges where something changes are kept.
  std::vector<double> edges;
  std::vector<float> tails;
};

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_MAGNITUDETAILS_H
