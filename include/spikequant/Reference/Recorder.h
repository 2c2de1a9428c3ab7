//===- Recorder.h - arrays that a running program shows ----------*- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_REFERENCE_RECORDER_H
#define SPIKEQUANT_REFERENCE_RECORDER_H

#include "spikequant/Reference/Npz.h"

#include <string>
#include <vector>

namespace spikequant {

/// Collects observed arrays as [rows, channels], one per site; the rows of
/// later calls follow those of earlier ones.
class Recorder {
public:
  /// \param sites names by index. \param rowLimit rows kept of each call, 0 for
  /// all of them (a chunk's padding need not be kept).
  Recorder(std::vector<std::string> sites, int64_t rowLimit)
      : sites(std::move(sites)), rowLimit(rowLimit) {}

  /// \param elementType enum sq_element_type.
  void record(int64_t site, const void *data, int32_t elementType, int64_t rows,
              int64_t channels);

  /// The arrays; an error if a site showed arrays that do not fit together.
  llvm::Expected<NpzArrays> take();

private:
  std::vector<std::string> sites;
  int64_t rowLimit;
  NpzArrays arrays;
  std::string problem;
};

/// NumPy's name of an sq_element_type, "f4"; empty if there is none.
llvm::StringRef getNpyType(int32_t elementType);

} // namespace spikequant

#endif // SPIKEQUANT_REFERENCE_RECORDER_H
