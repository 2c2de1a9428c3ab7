//===- ErrorFeedback.cpp - second-order rounding from second moments ------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/ErrorFeedback.h"

#include "llvm/ADT/STLExtras.h"

#include <Eigen/Cholesky>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

using namespace llvm;
using namespace spikequant;
using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Importance never falls below this, so that the grids of silent channels are
/// still chosen by their weights.
static constexpr double leastImportance = 1e-9;

/// Eigen blocks its loops by the sizes of the caches, and so the order of sums
/// would depend on the processor.
static void fixBlocking() {
  static std::once_flag once;
  std::call_once(once,
                 [] { Eigen::setCpuCacheSizes(32 << 10, 1 << 20, 8 << 20); });
}

/// The diagonal of H, and what damping adds to it.
static Expected<VectorXd>
readDiagonal(int64_t channels, function_ref<double(int64_t, int64_t)> gram,
             StringRef site) {
  VectorXd diagonal(channels);
  for (int64_t j = 0; j < channels; ++j) {
    diagonal[j] = gram(j, j);
    if (!std::isfinite(diagonal[j]) || diagonal[j] < 0)
      return createStringError("site '" + site + "': channel " + Twine(j) +
                               " of the Gram matrix has no valid square");
  }
  return diagonal;
}

static double medianOfActive(const VectorXd &diagonal) {
  std::vector<double> active;
  for (double value : diagonal)
    if (value > 0)
      active.push_back(value);
  if (active.empty())
    return 1;
  auto middle = active.begin() + active.size() / 2;
  std::nth_element(active.begin(), middle, active.end());
  return *middle;
}

/// The lower Cholesky factor of H with damping, scaled to a unit diagonal, its
/// channels in reverse order: M is upper triangular.
static Expected<MatrixXd> factorise(function_ref<double(int64_t, int64_t)> gram,
                                    const VectorXd &scale, StringRef site) {
  int64_t last = scale.size() - 1;
  MatrixXd matrix(scale.size(), scale.size());
  for (int64_t j = 0; j <= last; ++j)
    for (int64_t i = 0; i <= j; ++i) {
      double value = i == j ? 1.0 : gram(j, i) / (scale[i] * scale[j]);
      // The lower triangle: row last - i is not above row last - j.
      matrix(last - i, last - j) = value;
    }
  fixBlocking();
  Eigen::LLT<Eigen::Ref<MatrixXd>> factor(matrix);
  // A NaN passes every comparison, but reaches the diagonal of its row. (The
  // upper triangle is not set.)
  if (factor.info() != Eigen::Success || !matrix.diagonal().allFinite())
    return createStringError("site '" + site +
                             "': the Gram matrix is not positive "
                             "semidefinite; calibrate again");
  return matrix;
}

/// Whole groups by falling sum of squares, then a shorter one; channels of a
/// group by falling square. Equal ones as they are.
static std::vector<int64_t> findOrder(const VectorXd &diagonal, int64_t group) {
  int64_t channels = diagonal.size(), whole = channels / group;
  std::vector<double> sums(whole + 1, -1.0);
  for (int64_t g = 0; g < whole; ++g)
    sums[g] = diagonal.segment(g * group, group).sum();
  std::vector<int64_t> order(channels);
  std::iota(order.begin(), order.end(), 0);
  llvm::sort(order, [&](int64_t a, int64_t b) {
    int64_t g = a / group, h = b / group;
    if (g != h)
      return std::make_pair(-sums[g], g) < std::make_pair(-sums[h], h);
    return std::make_pair(-diagonal[a], a) < std::make_pair(-diagonal[b], b);
  });
  return order;
}

Expected<ErrorFeedback>
ErrorFeedback::compute(int64_t channels, int64_t group,
                       function_ref<double(int64_t, int64_t)> stored,
                       StringRef site, Damping damping) {
  Expected<VectorXd> unordered = readDiagonal(channels, stored, site);
  if (!unordered)
    return unordered.takeError();
  ErrorFeedback result;
  result.group = group;
  result.order = findOrder(*unordered, group);
  ArrayRef<int64_t> order = result.order;
  auto gram = [&](int64_t i, int64_t j) {
    return stored(std::max(order[i], order[j]), std::min(order[i], order[j]));
  };
  VectorXd ordered(channels);
  for (int64_t j = 0; j < channels; ++j)
    ordered[j] = (*unordered)[order[j]];
  VectorXd *diagonal = &ordered;
  double common = damping.common * medianOfActive(*diagonal);
  VectorXd scale =
      (*diagonal * (1 + damping.relative)).array().operator+(common).sqrt();
  Expected<MatrixXd> factor = factorise(gram, scale, site);
  if (!factor)
    return factor.takeError();

  int64_t last = channels - 1;
  VectorXd importance(channels);
  result.coefficients.resize(channels * (channels - 1) / 2);
  for (int64_t j = 0; j < channels; ++j) {
    double pivot = (*factor)(last - j, last - j);
    importance[j] = std::pow(scale[j] * pivot, 2);
    float *row = result.coefficients.data() + j * (j - 1) / 2;
    for (int64_t i = 0; i < j; ++i)
      row[i] =
          float((*factor)(last - i, last - j) / pivot * scale[i] / scale[j]);
  }
  double largest = importance.maxCoeff();
  for (double value : importance)
    result.importance.push_back(
        float(std::max(value / largest, leastImportance)));
  return std::move(result);
}
