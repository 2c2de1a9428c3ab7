//===- ChannelLaw.h - how the values of one channel are spread --*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Channels whose values do not lie evenly around 0 (behind a GELU most are in
/// [-0.17, 0]) need their signs: what rounding does to them has a mean, and a
/// window around a centre z holds more of them. A count is then
/// n = round((x - z) / s), and x is known as  s n + offset, offset = E[x - s
/// n]: a constant per channel that the weights turn into a bias behind the
/// matrix. What is left of the error has no mean.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_CHANNELLAW_H
#define SPIKEQUANT_ALLOCATION_CHANNELLAW_H

#include "spikequant/Calibration/Statistics.h"

#include <vector>

namespace spikequant {

/// The distribution of one channel's values: its histogram with signs, values
/// spread evenly inside a bin. Infinities lie outside of everything, NaN counts
/// as 0. Exact at the edges of bins.
class ChannelLaw {
public:
  ChannelLaw() = default;
  ChannelLaw(const SiteStatistics &site, uint32_t channel);

  /// Shares and moments of the values below a threshold: P(x < t),
  /// E[x; x < t], E[x^2; x < t], over all rows.
  struct Below {
    double share = 0.0, first = 0.0, second = 0.0;
  };
  Below below(double threshold) const;
  /// All finite values.
  const Below &all() const { return sums.back(); }
  /// The smallest t with P(x < t) >= share, for 0 < share < 1.
  double getQuantile(double share) const;

  /// Whether its values lie unevenly enough around 0 for a centre or a mean
  /// error to matter: the mean is more than a tenth of the root mean square, or
  /// one sign has 60 % of the values; and at most a tenth of the values is 0,
  /// which must stay silent.
  static bool isSkewed(const SiteStatistics &site, uint32_t channel);

private:
  /// Bins from -hugeBin to hugeBin in use, [first, first + edges.size() - 1).
  int first = 0;
  /// Bin i holds the values from edges[i] to edges[i + 1]; the tiny bin is the
  /// point 0, huge ones are their lower edge. sums[i] is what lies below bin i.
  std::vector<double> low, high;
  std::vector<Below> sums;
};

/// What one count of `bits` does to a channel's values.
struct ChannelCost {
  double salient = 0.0;   ///< P(|n| > L + tolerance)
  double saturated = 0.0; ///< P(L < |n| <= L + tolerance)
  double variance = 0.0;  ///< of x - s n
  double offset = 0.0;    ///< E[x - s n], the centre included
};

/// Predicts counts n = round((x - centre) / step) of a channel. The errors of
/// counts -9 to 9 come from the moments of their values; farther ones are taken
/// as evenly spread, without a mean.
class CentredModel {
public:
  CentredModel(const ChannelLaw &law, double step, double centre);

  /// For 0 to 8 bits and a tolerance of 0 or 1.
  ChannelCost evaluate(int bits, int tolerance) const;

private:
  /// Values whose count is n: share and mean error sum, E[x - z - s n; n].
  struct Cell {
    double share = 0.0, error = 0.0;
  };
  static constexpr int nearCounts = 9;
  ChannelLaw::Below belowCount(int count) const;
  Cell cellOf(int count, const ChannelLaw::Below &from,
              const ChannelLaw::Below &to) const;
  Cell getCell(int count) const;
  double shareWithin(int count) const;

  const ChannelLaw &law;
  double step, centre;
  /// below[i]: below count i - nearCounts.
  ChannelLaw::Below edges[2 * nearCounts + 2];
  /// Sums of x - z - s n and its square if nothing saturates.
  double error = 0.0, square = 0.0;
};

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_CHANNELLAW_H
