//===- StepModel.h - what one step costs, channel by channel ----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_STEPMODEL_H
#define SPIKEQUANT_ALLOCATION_STEPMODEL_H

#include "spikequant/Allocation/BitProblem.h"

namespace spikequant {

/// Per channel, for one number of bits.
struct WindowModel {
  /// P(salient) and P(saturated by tolerance).
  std::vector<float> salient, saturated;
  /// E[(x - value of its count)^2].
  std::vector<float> error;
};

/// Predicts what encode does with one step, from the site's histograms.
///
/// Count n holds the |x| from (n - 1/2) s to (n + 1/2) s. The error of
/// counts 0 to 4 comes from the moments of those values; the values of farther
/// ones are taken as evenly spread, s^2 / 12. A value in the cell of L + 1 that
/// saturates to L has  2 s (|x| - (L + 1/2) s)  more squared error than there.
class StepModel {
public:
  StepModel(const SiteProblem &site, int32_t tolerance, float step);

  void evaluate(int bits, WindowModel &result) const;

private:
  const SiteProblem &site;
  int32_t tolerance;
  double step;
  /// Error if nothing saturates.
  std::vector<float> rounding;
};

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_STEPMODEL_H
