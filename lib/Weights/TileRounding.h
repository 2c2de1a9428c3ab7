//===- TileRounding.h - rounding sixteen output channels --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Rounds 16 output channels (lanes) side by side: every inner loop runs over
/// the lanes, so that it vectorises on any processor and no sum ever changes
/// its order.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_WEIGHTS_TILEROUNDING_H
#define SPIKEQUANT_LIB_WEIGHTS_TILEROUNDING_H

#include "spikequant/Weights/ErrorFeedback.h"
#include "spikequant/Weights/Rounding.h"

#include <array>
#include <cstdint>
#include <vector>

namespace spikequant {

inline constexpr int64_t lanes = PackedLayout::tileChannels;
template <typename T> using Lanes = std::array<T, lanes>;

/// The real grid that suits one group best: low + step * {0, 1, .., levels}.
struct GroupGrid {
  Lanes<float> low;
  Lanes<float> step;
  Lanes<float> levels; ///< 0 where the group is constant.
};

/// A grid of `levels` steps across a group's range, starting `shift` steps
/// above its minimum.
struct GridCandidate {
  float levels;
  float shift;
};

/// One tile on its way from real weights to codes.
class TileRounding {
public:
  /// With `feedback` (it must outlive this) second-order rounding; without it,
  /// `weight` of each channel, or none.
  TileRounding(int64_t k, const RoundingOptions &options,
               const ErrorFeedback *feedback = nullptr,
               llvm::ArrayRef<float> weight = {});

  /// Real weights, [k][lane]; the caller fills it before each round().
  std::vector<float> weights;

  /// Chooses scales, m, c and codes.
  /// \returns false if a row is so long that its sum cannot be bounded.
  bool round();

  // Results.
  std::vector<uint8_t> codes;                       ///< [k][lane]
  std::vector<Lanes<int32_t>> multipliers, offsets; ///< [group]
  std::vector<Lanes<int32_t>> zeros; ///< [group], with options.zeroPoints
  /// Whether some group has a grid without 0, which zero points cannot express.
  bool lacksZero = false;
  Lanes<float> scales;
  Lanes<double> squaredError, squaredWeight, maxError;

private:
  int64_t groupBegin(int64_t g) const { return g * group; }
  int64_t groupEnd(int64_t g) const { return std::min(k, (g + 1) * group); }

  bool roundNearest();
  bool roundWithFeedback();
  Lanes<int64_t> writeWithFeedback(Lanes<float> &wanted);
  Lanes<float> writeGroupWithFeedback(int64_t g);
  void refitGroup(int64_t g);
  void setOffset(int64_t g, int64_t l, float c);
  void chooseGroupWithFeedback(int64_t g);
  void addFeedback(int64_t begin, int64_t end, int64_t errorEnd);
  void measureErrors();

  void findMaxima();
  GroupGrid findGrid(int64_t g);
  void chooseScales();
  void chooseGroup(int64_t g, const GroupGrid &grid);
  void checkZeros(const GroupGrid &grid);
  void chooseIntegers(int64_t g);
  Lanes<int64_t> writeCodes();
  bool enlargeScales(const Lanes<int64_t> &rowSums);

  int64_t k, group, groups;
  RoundingOptions options;
  float top; ///< The largest code.
  float maxMultiplier;
  std::vector<GridCandidate> candidates;
  Lanes<float> maxAbs;
  std::vector<GroupGrid> grids;
  std::vector<float> normalised; ///< Scratch, one group.
  std::vector<float> importance; ///< [k], positive, at most 1.

  const ErrorFeedback *feedback;
  std::vector<float> original; ///< The weights, which become targets. [k][lane]
  std::vector<float> errors;   ///< original - s W of what is rounded. [k][lane]
  std::vector<float> residuals; ///< Scratch, one group.
};

} // namespace spikequant

#endif // SPIKEQUANT_LIB_WEIGHTS_TILEROUNDING_H
