//===- GramMatrix.h - second moments of a site's inputs ---------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// X^T X and the column sums of the real values X [rows, channels] that an
/// encode site showed, for second-order weight rounding. Sums of integers: any
/// split of the rows over calls, processes or files gives the same numbers.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CALIBRATION_GRAMMATRIX_H
#define SPIKEQUANT_CALIBRATION_GRAMMATRIX_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace spikequant {

namespace gram {
/// Values are rounded to multiples of 2^-12, ties to even ..
constexpr int fractionBits = 12;
/// .. and clamped to +-2^14. NaN counts as 0.
constexpr int maxExponent = 14;
/// Wider sites are refused: their matrix would have more than 2^31 entries.
constexpr uint64_t maxChannels = 1 << 16;
/// Entries of the lower triangle.
constexpr uint64_t triangleSize(uint64_t channels) {
  return channels * (channels + 1) / 2;
}
} // namespace gram

/// Does not own the sums.
struct GramView {
  uint64_t channels = 0;
  uint64_t rows = 0; ///< Vectors that were added.
  /// Lower triangle, row-major: entry (i, j <= i) is at i (i + 1) / 2 + j, in
  /// units of 2^-24.
  llvm::ArrayRef<int64_t> sums;
  /// [channels], in units of 2^-12: of the same rounded values as `sums`, so
  /// that second moments around any centre stay positive semidefinite.
  llvm::ArrayRef<int64_t> columns;

  /// sum_r x_i x_j.
  double at(uint64_t i, uint64_t j) const;
  /// sum_r (x_i - a) (x_j - b).
  double around(uint64_t i, double a, uint64_t j, double b) const;
};

/// The matrix of one site while it is collected.
class GramMatrix {
public:
  GramMatrix(std::string name, uint32_t channels);

  const std::string &getName() const { return name; }
  GramView view() const { return {channels, rows, sums, columns}; }

  /// Adds `count` rows of `channels` contiguous values. Fails, with part of
  /// the rows added, if a sum could leave 64 bits (a mean square of 2^24 over
  /// 32768 rows still fits).
  llvm::Error accumulate(const float *values, uint64_t count);
  /// Adds another run's sums. Fails, changing nothing, if they do not fit.
  llvm::Error merge(const GramView &other);

private:
  std::string name;
  uint64_t channels;
  uint64_t rows = 0;
  std::vector<int64_t> sums, columns;
};

/// A Gram file (docs/Calibration.md), memory-mapped; sites sorted by name.
class GramFile {
public:
  struct Site {
    std::string name;
    GramView gram;
  };

  /// Errors: unreadable, of another version, truncated, damaged.
  static llvm::Expected<GramFile> open(llvm::StringRef path);
  /// `path` is what errors call it.
  static llvm::Expected<GramFile>
  fromBuffer(std::unique_ptr<llvm::MemoryBuffer> buffer, llvm::StringRef path);
  /// Null if there is no such site.
  const GramView *find(llvm::StringRef name) const;
  llvm::ArrayRef<Site> getSites() const { return sites; }

private:
  std::unique_ptr<llvm::MemoryBuffer> buffer;
  std::vector<Site> sites;
};

/// Where the matrices of a calibration file are kept.
inline std::string gramPathOf(llvm::StringRef calibration) {
  return (calibration + ".gram").str();
}

/// Writes a Gram file; it appears complete or not at all. Equal sums are equal
/// bytes, in whatever order the sites are given. Names must be distinct.
llvm::Error saveGrams(llvm::ArrayRef<GramFile::Site> sites,
                      llvm::StringRef path);
/// Adds up files: sites of one name are merged.
llvm::Error mergeGramFiles(llvm::ArrayRef<std::string> paths,
                           llvm::StringRef output);

} // namespace spikequant

#endif // SPIKEQUANT_CALIBRATION_GRAMMATRIX_H
