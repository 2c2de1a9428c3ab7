//===- MagnitudeTails.h - P(|x| >= t) and moments per channel -------------===//
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

/// Tail probabilities and partial moments of every channel of a site, from its
/// histograms: exact at bin edges (probabilities) and as if the values of a bin
/// were spread evenly over it (the rest). Infinities count as above every
/// threshold, NaN as zero (its count is 0).
class MagnitudeTails {
public:
  MagnitudeTails() = default;
  explicit MagnitudeTails(const SiteStatistics &site);

  uint32_t getChannels() const { return channels; }

  /// result[j] = P(|x_j| >= threshold), one entry per channel; threshold >= 0.
  void evaluate(double threshold, llvm::MutableArrayRef<float> result) const;

  /// first[j] = E[|x_j|; |x_j| < threshold] and second[j] the same of x_j^2:
  /// means over all rows, to which the others add nothing. `second` may be
  /// empty if nobody wants it.
  void evaluateMoments(double threshold, llvm::MutableArrayRef<float> first,
                       llvm::MutableArrayRef<float> second) const;

private:
  /// Fill the tables for the bins [first, last).
  void addTails(const SiteStatistics &site, unsigned first, unsigned last);
  void addMoments(const SiteStatistics &site, unsigned first, unsigned last);

  /// Where a threshold lies: `weight` of bin `index` is below it.
  struct Position {
    unsigned index;
    double weight;
  };
  Position find(double threshold) const;
  llvm::ArrayRef<float> row(const std::vector<float> &table,
                            unsigned index) const {
    return llvm::ArrayRef(table).slice(size_t(index) * channels, channels);
  }

  uint32_t channels = 0;
  /// Row i: P(|x| >= edges[i]) for all channels; the last row is the
  /// probability of infinity. Only edges where something changes are kept.
  std::vector<double> edges;
  std::vector<float> tails;
  /// Row i: partial moments below edges[i].
  std::vector<float> firsts, seconds;
};

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_MAGNITUDETAILS_H
