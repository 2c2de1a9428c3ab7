//===- Centres.h - a centre for each channel's window -----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_ALLOCATION_CENTRES_H
#define SPIKEQUANT_LIB_ALLOCATION_CENTRES_H

#include "spikequant/Allocation/BitProblem.h"

namespace spikequant {

/// The window of one channel.
struct CentredChoice {
  int8_t bits = 0;
  float centre = 0.0f;
  ChannelCost cost;
  /// bits + eventBits P(salient) + errorBits variance / s^2.
  double total = 0.0;
};

/// The centre and the bits of least total cost. `maxAbs` is the largest value
/// of the site, which must not clip. Candidates are 0, the mean, and what puts
/// the lowest or the highest of the values at the end of a window of 2, 3 or 4
/// bits; with `fineCentres` the best of these is then moved by a step, a half,
/// a quarter and an eighth of one to either side, wherever that is better.
CentredChoice chooseCentre(const ChannelLaw &law,
                           const AllocationOptions &options, double step,
                           double maxAbs);

/// Drops the laws of a site where centres save less than a fiftieth of a bit
/// per value: a bias behind every matrix is then not worth it.
void dropUselessLaws(SiteProblem &site, const AllocationOptions &options);

} // namespace spikequant

#endif // SPIKEQUANT_LIB_ALLOCATION_CENTRES_H
