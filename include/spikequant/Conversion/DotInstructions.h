//===- DotInstructions.h - instructions for dot products --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_DOTINSTRUCTIONS_H
#define SPIKEQUANT_CONVERSION_DOTINSTRUCTIONS_H

namespace mlir::spikequant {

/// What `spikequant.dot4` and `spikequant.dot2` become. All are equal to the
/// bit. The backend can expand none of them for a processor without it.
enum class DotInstructions {
  Portable,   ///< Any vectors.
  Avx2,       ///< vpmaddubsw where nothing saturates, vpmaddwd
  Avx512Bw,   ///< the same, 512 bits wide
  AvxVnni,    ///< vpdpbusd, 256 bits wide
  Avx512Vnni, ///< vpdpbusd, 512 bits wide
  NeonDot,    ///< sdot
  NeonI8mm    ///< usdot
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_DOTINSTRUCTIONS_H
