//===- Rounding.cpp - real weights to integer codes -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/Rounding.h"

#include "TileRounding.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Parallel.h"

#include <atomic>
#include <cmath>
#include <numeric>

using namespace llvm;
using namespace spikequant;

/// Larger magnitudes could overflow on the way.
static constexpr float largestWeight = 0x1p120f;

int32_t RoundedMatrix::weightAt(int64_t o, int64_t j) const {
  PackedLayout shape = layout();
  int64_t g = o * shape.groups() + shape.groupOf(j);
  return multipliers[g] * codes[o * k + j] + offsets[g];
}

static Error checkArguments(MatrixView weights, const RoundingOptions &options,
                            StringRef name) {
  if (options.bits < 2 || options.bits > 8)
    return createStringError("weight '" + name +
                             "': codes have 2 to 8 bits, not " +
                             Twine(options.bits));
  int64_t group = options.symmetric ? weights.k : options.group;
  PackedLayout layout{weights.n, weights.k, group, options.bits};
  if (layout.isValid())
    return Error::success();
  return createStringError(
      formatv("weight '{0}': cannot pack a {1} x {2} matrix in groups of {3} "
              "(a group is a multiple of 8, or the whole row)",
              name, weights.n, weights.k, options.group)
          .str());
}

static Error checkImportance(ArrayRef<float> importance, int64_t k,
                             StringRef name) {
  bool valid = importance.empty() || int64_t(importance.size()) == k;
  for (float value : importance)
    valid &= value >= 0 && std::isfinite(value);
  if (valid)
    return Error::success();
  return createStringError("weight '" + name + "' has " + Twine(k) +
                           " input channels, whose importance must be as many "
                           "finite numbers, not negative");
}

/// Copies one tile to [place in the order][lane]; lanes beyond the matrix are
/// zero.
static void loadTile(MatrixView source, int64_t first, ArrayRef<int64_t> order,
                     std::vector<float> &out) {
  int64_t present = std::min(lanes, source.n - first);
  llvm::fill(out, 0.0f);
  const float *base = source.data + first * source.strideN;
  for (int64_t j = 0; j < source.k; ++j)
    for (int64_t l = 0; l < present; ++l)
      out[j * lanes + l] = base[l * source.strideN + order[j] * source.strideK];
}

static Error checkTile(const std::vector<float> &tile, ArrayRef<int64_t> order,
                       int64_t first, StringRef name) {
  bool valid = true;
  for (float value : tile)
    valid &= std::fabs(value) <= largestWeight; // false for NaN
  if (valid)
    return Error::success();
  for (int64_t l = 0; l < lanes; ++l)
    for (int64_t j = 0, k = order.size(); j < k; ++j)
      if (float value = tile[j * lanes + l];
          !(std::fabs(value) <= largestWeight))
        return createStringError(
            formatv("weight '{0}': output channel {1}, input channel {2} is "
                    "{3}; weights must be finite and at most 2^120",
                    name, first + l, order[j], value)
                .str());
  return Error::success();
}

static void storeTile(const TileRounding &tile, int64_t first,
                      ArrayRef<int64_t> order, RoundedMatrix &matrix) {
  PackedLayout layout = matrix.layout();
  int64_t groups = layout.groups();
  for (int64_t l = 0, end = std::min(lanes, matrix.n - first); l < end; ++l) {
    int64_t o = first + l;
    matrix.scales[o] = tile.scales[l];
    for (int64_t i = 0; i < groups; ++i) {
      int64_t g = layout.groupOf(order[i * layout.group]);
      matrix.multipliers[o * groups + g] = tile.multipliers[i][l];
      matrix.offsets[o * groups + g] = tile.offsets[i][l];
      if (!matrix.zeroPoints.empty())
        matrix.zeroPoints[o * groups + g] = tile.zeros[i][l];
    }
    for (int64_t j = 0; j < matrix.k; ++j)
      matrix.codes[o * matrix.k + order[j]] = tile.codes[j * lanes + l];
  }
}

static RoundedMatrix makeMatrix(MatrixView weights,
                                const RoundingOptions &options) {
  RoundedMatrix matrix;
  matrix.n = weights.n;
  matrix.k = weights.k;
  matrix.bits = options.bits;
  matrix.group =
      options.symmetric ? weights.k : std::min(options.group, weights.k);
  int64_t groups = matrix.layout().groups();
  matrix.codes.resize(matrix.n * matrix.k);
  matrix.multipliers.resize(matrix.n * groups);
  matrix.offsets.resize(matrix.n * groups);
  if (options.zeroPoints)
    matrix.zeroPoints.resize(matrix.n * groups);
  matrix.scales.resize(matrix.n);
  return matrix;
}

namespace {
/// What one tile adds to the report.
struct TileErrors {
  double squaredError = 0, squaredWeight = 0, largest = 0;
};
} // namespace

static TileErrors sumErrors(const TileRounding &tile) {
  TileErrors errors;
  for (int64_t l = 0; l < lanes; ++l) {
    errors.squaredError += tile.squaredError[l];
    errors.squaredWeight += tile.squaredWeight[l];
    errors.largest = std::max(errors.largest, tile.maxError[l]);
  }
  return errors;
}

static void fillReport(ArrayRef<TileErrors> tiles, RoundedMatrix &matrix) {
  double squaredError = 0, squaredWeight = 0;
  for (const TileErrors &tile : tiles) {
    squaredError += tile.squaredError;
    squaredWeight += tile.squaredWeight;
    matrix.report.maxAbsoluteError =
        std::max(matrix.report.maxAbsoluteError, tile.largest);
  }
  matrix.report.meanSquareError =
      squaredError / static_cast<double>(matrix.n * matrix.k);
  if (squaredWeight > 0)
    matrix.report.relativeFrobenius = std::sqrt(squaredError / squaredWeight);
}

/// `lacksZero`: whether some group has a grid without 0; with zero points, the
/// matrix is then of no use.
static Expected<RoundedMatrix>
roundTiles(MatrixView weights, const RoundingOptions &options, StringRef name,
           const ErrorFeedback *feedback, ArrayRef<float> importance,
           bool &lacksZero) {
  RoundedMatrix matrix = makeMatrix(weights, options);
  std::vector<int64_t> natural(weights.k);
  std::iota(natural.begin(), natural.end(), 0);
  ArrayRef<int64_t> order = natural;
  if (feedback)
    order = feedback->getOrder();
  std::vector<TileErrors> errors((weights.n + lanes - 1) / lanes);
  std::atomic<bool> anyLacksZero = false;
  auto roundTile = [&](size_t index) -> Error {
    if (options.zeroPoints && anyLacksZero)
      return Error::success();
    TileRounding tile(weights.k, options, feedback, importance);
    int64_t first = int64_t(index) * lanes;
    loadTile(weights, first, order, tile.weights);
    if (Error failure = checkTile(tile.weights, order, first, name))
      return failure;
    if (!tile.round())
      return createStringError("weight '" + name +
                               "': rows are too long for 32-bit sums");
    if (tile.lacksZero)
      anyLacksZero = true;
    storeTile(tile, first, order, matrix);
    errors[index] = sumErrors(tile);
    return Error::success();
  };
  // The first tile's error, whichever was found first.
  std::vector<std::string> failures(errors.size());
  parallelFor(0, errors.size(), [&](size_t index) {
    if (Error failure = roundTile(index))
      failures[index] = toString(std::move(failure));
  });
  lacksZero = options.zeroPoints && anyLacksZero;
  if (lacksZero)
    return std::move(matrix);
  for (const std::string &failure : failures)
    if (!failure.empty())
      return createStringError(failure);
  fillReport(errors, matrix);
  return std::move(matrix);
}

Expected<RoundedMatrix> spikequant::roundToCodes(MatrixView weights,
                                                 const RoundingOptions &options,
                                                 StringRef name,
                                                 const ErrorFeedback *feedback,
                                                 ArrayRef<float> importance) {
  if (Error failure = checkArguments(weights, options, name))
    return std::move(failure);
  if (Error failure = checkImportance(importance, weights.k, name))
    return std::move(failure);
  if (feedback && feedback->getChannels() != weights.k)
    return createStringError("weight '" + name + "' has " + Twine(weights.k) +
                             " input channels, but its Gram matrix has " +
                             Twine(feedback->getChannels()));
  int64_t group =
      std::min(options.symmetric ? weights.k : options.group, weights.k);
  if (feedback && feedback->getGroup() != group)
    return createStringError("weight '" + name + "' has groups of " +
                             Twine(group) + ", its feedback of " +
                             Twine(feedback->getGroup()));
  bool lacksZero = false;
  Expected<RoundedMatrix> rounded =
      roundTiles(weights, options, name, feedback, importance, lacksZero);
  if (!rounded || !options.zeroPoints || !lacksZero)
    return rounded;
  RoundingOptions wide = options;
  wide.zeroPoints = false;
  return roundTiles(weights, wide, name, feedback, importance, lacksZero);
}

//===----------------------------------------------------------------------===//
// Estimates
//===----------------------------------------------------------------------===//

/// At most `rows` output channels, evenly spread, row-major.
static std::vector<float> sampleRows(MatrixView weights, int64_t rows) {
  std::vector<float> sample(rows * weights.k);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < weights.k; ++j)
      sample[i * weights.k + j] = weights.at(i * weights.n / rows, j);
  return sample;
}

Expected<FormatError> spikequant::estimateFormatError(
    MatrixView weights, const RoundingOptions &options,
    ArrayRef<float> importance, StringRef name, int64_t rows) {
  rows = std::min(rows, weights.n);
  std::vector<float> sample = sampleRows(weights, rows);
  MatrixView view = MatrixView::rowMajor(sample.data(), rows, weights.k);
  Expected<RoundedMatrix> rounded =
      roundToCodes(view, options, name, nullptr, importance);
  if (!rounded)
    return rounded.takeError();
  FormatError result;
  for (int64_t o = 0; o < rows; ++o)
    for (int64_t j = 0; j < weights.k; ++j) {
      double w = view.at(o, j), by = importance.empty() ? 1.0 : importance[j];
      double e = w - double(rounded->scales[o]) * rounded->weightAt(o, j);
      result.error += by * e * e;
      result.energy += by * w * w;
    }
  double factor = double(weights.n) / double(rows);
  result.error *= factor;
  result.energy *= factor;
  return result;
}
