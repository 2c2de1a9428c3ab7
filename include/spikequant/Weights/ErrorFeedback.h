//===- ErrorFeedback.h - second-order rounding from second moments -*- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Rounding a row w to v leaves the output error e^T H e, e = w - v, H = X^T X
/// of the inputs. With H = M D M^T (M unit upper triangular, D diagonal) it is
/// sum_j D_j (t_j - v_j)^2 with the targets t_j = w_j + sum_{i<j} e_i M_ij: to
/// round in order of j, each weight to the nearest of its target, makes every
/// term small (the GPTQ of Frantar et al. 2022 in the form of LDLQ, Chee et
/// al. 2023).
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_ERRORFEEDBACK_H
#define SPIKEQUANT_WEIGHTS_ERRORFEEDBACK_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <vector>

namespace spikequant {

/// What is added to the diagonal of H, since text shows only some directions:
/// what it seems to say of the others would be fitted to that text alone.
struct Damping {
  double relative = 0.01; ///< Of each channel's own mean square.
  double common = 0.3;    ///< Of the median of the channels' mean squares.
};

/// M and D of one encode site, for one order of its channels. Channels that
/// were never active neither give nor get feedback. What a channel's rounding
/// leaves over is made good by those after it, so the channels that matter most
/// come first: groups by their sum of squares, channels of a group by theirs.
/// (A last group that is shorter stays last.)
class ErrorFeedback {
public:
  /// `gram(i, j)` is entry (i, j <= i) of H, in any unit. Errors (naming
  /// `site`): an entry that is not finite, or a matrix that is no Gram matrix.
  /// `group` is that of the weights' format, at least 1. The result is the same
  /// for any number of threads.
  static llvm::Expected<ErrorFeedback>
  compute(int64_t channels, int64_t group,
          llvm::function_ref<double(int64_t, int64_t)> gram,
          llvm::StringRef site, Damping damping = {});

  int64_t getChannels() const { return int64_t(importance.size()); }
  int64_t getGroup() const { return group; }
  /// The channel at each place of the order. Groups stay together; all other
  /// functions count places.
  llvm::ArrayRef<int64_t> getOrder() const { return order; }
  /// M_ij for all i < j.
  llvm::ArrayRef<float> getCoefficients(int64_t j) const {
    return llvm::ArrayRef(coefficients).slice(j * (j - 1) / 2, j);
  }
  /// D, relative to its largest element.
  llvm::ArrayRef<float> getImportance() const { return importance; }

private:
  int64_t group = 1;
  std::vector<int64_t> order;
  std::vector<float> coefficients;
  std::vector<float> importance;
};

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_ERRORFEEDBACK_H
