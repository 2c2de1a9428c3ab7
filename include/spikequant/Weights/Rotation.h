//===- Rotation.h - Hadamard rotations of stored channels ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_ROTATION_H
#define SPIKEQUANT_WEIGHTS_ROTATION_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>

namespace spikequant {

/// Positions [begin, end) of one dimension of an array, in blocks of a power of
/// two; each block is multiplied by the Hadamard matrix of Sylvester's form
/// over sqrt(block), which is symmetric and its own inverse.
struct ChannelRotation {
  int64_t dimension = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t block = 1;

  bool operator==(const ChannelRotation &other) const {
    return dimension == other.dimension && begin == other.begin &&
           end == other.end && block == other.block;
  }
};

/// Whether the rotation makes sense for an array of this shape.
bool fits(const ChannelRotation &rotation, llvm::ArrayRef<int64_t> shape);

/// Rotates a row-major array in place; sums in double precision, one rounding.
/// Requires `fits`.
void rotateChannels(llvm::MutableArrayRef<float> values,
                    llvm::ArrayRef<int64_t> shape,
                    const ChannelRotation &rotation);

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_ROTATION_H
