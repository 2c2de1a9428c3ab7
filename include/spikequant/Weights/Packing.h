//===- Packing.h - rounded weights in their final layout --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_PACKING_H
#define SPIKEQUANT_WEIGHTS_PACKING_H

#include "spikequant/Weights/Rounding.h"

namespace spikequant {

/// The blobs of one matrix, byte for byte as in the packed file (see
/// PackedCodes.h for the order), and its integer bounds.
struct PackedMatrix {
  PackedLayout layout;
  std::vector<uint8_t> codes;     ///< Padding has u = 0, m = 1, c = 0
  std::vector<float> scales;      ///< and s = 1. [nPadded]
  std::vector<int32_t> columnMax; ///< [k] max_o |W_oj|
  int64_t maxRowSum = 0;          ///< max_o sum_j |W_oj|

  /// Puts another matrix of the same layout behind; the bounds hold for all.
  void append(PackedMatrix matrix);
  /// Valid as long as this object.
  PackedCodes view() const { return {layout, codes.data()}; }
};

/// The bounds are computed from the integer weights themselves.
PackedMatrix packMatrix(const RoundedMatrix &matrix);

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_PACKING_H
