//===- Statistics.h - mergeable activation statistics ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What calibration remembers about each encode site: per channel a maximum, a
// sum, a sum of squares and a histogram of magnitudes and signs. Everything is
// an integer (or a maximum), so any split of the calibration text over calls,
// processes or machines merges to the same bits. docs/Calibration.md describes
// the file.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CALIBRATION_STATISTICS_H
#define SPIKEQUANT_CALIBRATION_STATISTICS_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace spikequant {

using Int128 = __int128;

/// The grid of magnitudes. Each octave [2^e, 2^(e+1)), -24 <= e < 24, is cut
/// into 8 bins of equal width, so an edge is exactly (8 + i) / 8 * 2^e and the
/// bin of a value is the top bits of its f32 pattern: no logarithm, no
/// rounding.
namespace magnitude {
constexpr int subdivisionBits = 3;
constexpr int minExponent = -24;
constexpr int maxExponent = 24;
constexpr unsigned gridBins = (maxExponent - minExponent) << subdivisionBits;
/// |x| < 2^-24, zero included.
constexpr unsigned tinyBin = 0;
constexpr unsigned firstGridBin = 1;
/// Finite and |x| >= 2^24.
constexpr unsigned hugeBin = firstGridBin + gridBins;
constexpr unsigned infinityBin = hugeBin + 1;
constexpr unsigned nanBin = hugeBin + 2;
constexpr unsigned binCount = hugeBin + 3;

/// The bin of `value`: one of the above for every f32 pattern.
unsigned binOf(float value);
/// Inclusive lower edge of `bin` <= infinityBin (0 for the tiny bin).
float lowerEdge(unsigned bin);
/// Exclusive upper edge of `bin` <= hugeBin (infinity for the huge bin).
float upperEdge(unsigned bin);
} // namespace magnitude

/// Sums are taken of `round(x * 2^20)`, ties to even, |x| clamped to 2^24.
constexpr int sumFractionBits = 20;

/// A sensitivity is at most 2^30 and kept as `round(value * 2^60) * rows`: such
/// sums fit 128 bits and add up in any order.
constexpr int sensitivityFractionBits = 60;
constexpr double largestSensitivity = 1 << 30;

/// Statistics of one encode site: `rows` vectors of `channels` values.
/// NaN and infinity are counted in their bins and left out of sums and maxima.
class SiteStatistics {
public:
  SiteStatistics(std::string name, uint32_t channels);

  const std::string &getName() const { return name; }
  uint32_t getChannels() const { return channels; }
  /// Vectors observed, at most 2^32 - 1.
  uint64_t getRows() const { return rows; }

  /// Adds `count` rows of `channels` contiguous values (row-major).
  /// Fails, changing nothing, if the row counter would pass 2^32 - 1.
  llvm::Error accumulate(const float *values, uint64_t count);

  /// Adds the other run's counts. Associative and commutative to the bit.
  /// Fails, changing nothing, if names, channels or the counter do not fit, or
  /// if only one of them has signs.
  llvm::Error merge(const SiteStatistics &other);

  /// Largest finite |x| of a channel, 0 if none.
  float getMaxAbs(uint32_t channel) const { return maxAbs[channel]; }
  /// Sum over the finite values of `round(x * 2^20)`.
  Int128 getFixedSum(uint32_t channel) const { return sums[channel]; }
  /// Sum of the squares of those integers (grid 2^-40).
  Int128 getFixedSquares(uint32_t channel) const { return squares[channel]; }
  uint32_t getCount(uint32_t channel, unsigned bin) const {
    return histogram[histogramIndex(channel, bin)] +
           getNegativeCount(channel, bin);
  }
  /// How many of them are negative; 0 for the tiny bin and for NaN.
  uint32_t getNegativeCount(uint32_t channel, unsigned bin) const {
    return histogram[histogramIndex(channel, magnitude::binCount + bin)];
  }
  /// Whether signs were counted: files of version 1 and 2 have none.
  bool hasSigns() const { return signs; }

  /// Calls `visit` for every channel and bin of `bins` (first, behind the
  /// last), in the order in which counts lie in memory: for each channel, bins
  /// ascend.
  template <typename Visit>
  void forEachCount(std::pair<unsigned, unsigned> bins, Visit visit) const {
    for (uint32_t begin = 0; begin < channels; begin += laneCount)
      for (unsigned bin = bins.first; bin < bins.second; ++bin)
        for (uint32_t c = begin; c < std::min(begin + laneCount, channels); ++c)
          visit(c, bin, getCount(c, bin));
  }

  /// Mean and mean square of a channel's finite values; 0 without any.
  double getMean(uint32_t channel) const;
  double getMeanSquare(uint32_t channel) const;
  uint64_t getFiniteCount(uint32_t channel) const;

  /// The smallest m with at least `fraction` (0..1) of all finite |x| <= m,
  /// interpolated inside its bin; 0 when it falls below 2^-24 or nothing was
  /// observed. Off by at most one bin width (an eighth of the value).
  double getPercentile(double fraction) const;
  /// Median of |x| over all channels and rows (the MAD about zero).
  double getMedianAbs() const { return getPercentile(0.5); }

  /// Says that the loss grows by `value` nats per token for each unit of
  /// squared error, summed over the channels, that a token has at this site, as
  /// measured on `measuredRows` tokens. Replaces what was said before; merging
  /// averages, weighted by the rows. Fails, changing nothing, unless the value
  /// is 0 to 2^30 and the rows 1 to 2^32 - 1.
  llvm::Error setSensitivity(double value, uint64_t measuredRows);
  /// None if nobody measured it.
  std::optional<double> getSensitivity() const;
  /// Rows that it was measured on, and the exact sum behind it.
  uint64_t getSensitivityRows() const { return sensitivityRows; }
  Int128 getSensitivitySum() const { return sensitivitySum; }

  bool operator==(const SiteStatistics &other) const;

private:
  friend class StatisticsReader;

  /// Counts of 16 channels lie side by side for each bin: a block of channels
  /// then touches one cache line per used bin while it accumulates.
  static constexpr uint32_t laneCount = 16;
  /// Bins of negative values lie behind those of the others.
  static constexpr unsigned slotCount = 2 * magnitude::binCount;
  static size_t histogramIndex(uint32_t channel, unsigned slot) {
    size_t block = channel / laneCount;
    return (block * slotCount + slot) * laneCount + channel % laneCount;
  }

  std::string name;
  uint32_t channels;
  uint64_t rows = 0;
  Int128 sensitivitySum = 0;
  uint64_t sensitivityRows = 0; ///< 0: never measured.
  bool signs = true;
  std::vector<float> maxAbs;
  std::vector<Int128> sums;
  std::vector<Int128> squares;
  std::vector<uint32_t> histogram;
};

/// The statistics of one program: sites with distinct names, sorted by name.
class CalibrationData {
public:
  /// Fails if a site of that name exists.
  llvm::Error addSite(SiteStatistics site);
  /// Null if there is no such site.
  const SiteStatistics *findSite(llvm::StringRef name) const;
  const std::vector<SiteStatistics> &getSites() const { return sites; }

  /// Union of both: sites with equal names are merged. Fails, changing
  /// nothing, if one pair does not fit.
  llvm::Error merge(const CalibrationData &other);

private:
  std::vector<SiteStatistics> sites;
};

/// Writes the version 3 text file of docs/Calibration.md (a temporary file,
/// then a rename). Equal data gives equal bytes.
llvm::Error saveCalibration(const CalibrationData &data, llvm::StringRef path);
void printCalibration(const CalibrationData &data, llvm::raw_ostream &os);

/// Reads and checks a file of version 1 to 3. Errors name the file, the site
/// and the channel.
llvm::Expected<CalibrationData> loadCalibration(llvm::StringRef path);
/// The same, shared with every holder of the same file's data in this process:
/// passes of one compilation read a file once while one of them, or who runs
/// them, keeps it.
llvm::Expected<std::shared_ptr<const CalibrationData>>
loadSharedCalibration(llvm::StringRef path);
/// The sum of several files, in any order.
llvm::Expected<CalibrationData>
loadCalibrations(llvm::ArrayRef<const char *> paths);
/// The same from text; `source` is the name used in errors.
llvm::Expected<CalibrationData> parseCalibration(llvm::StringRef text,
                                                 llvm::StringRef source);

} // namespace spikequant

#endif // SPIKEQUANT_CALIBRATION_STATISTICS_H
