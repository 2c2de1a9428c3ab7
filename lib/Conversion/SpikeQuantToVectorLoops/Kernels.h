//===- Kernels.h - bodies of the generated kernels --------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// One emitter per kernel. Each fills the function that the builder stands in;
/// the numbers are all static, the arrays are the function's arguments. Every
/// emitter makes exactly one outermost scf.parallel, and every write to memory
/// is inside it. Sizes: M rows, K input channels, N output channels,
/// Kpad = K rounded up to 8, G groups of `group` input channels.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_KERNELS_H
#define SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_KERNELS_H

#include "KernelBuilder.h"

#include "spikequant/Kernel/PackedCodes.h"

namespace mlir::spikequant {

using ::spikequant::CodePlane;

/// Lanes of a tile of output channels and of a vector of 32-bit values.
inline constexpr int64_t kLanes = 16;

/// The packed form of one weight matrix (docs/PackedWeights.md).
struct CodesShape {
  int64_t n = 0;
  int64_t k = 0;
  int64_t group = 0;       ///< Input channels per (m, c); K for the whole row.
  int64_t container = 4;   ///< Bits that a code takes: 2 to 8.
  int64_t offsetBits = 16; ///< 16: offsets c; 8: zero points.
  /// Matrices one after the other in each array; 0: one that is no stack.
  int64_t stack = 0;

  int64_t tiles() const { return (n + kLanes - 1) / kLanes; }
  int64_t panels() const { return (tiles() + 3) / 4; }
  int64_t kPadded() const { return (k + 7) / 8 * 8; }
  int64_t kPerLine() const { return container == 8 ? 4 : 8; }
  int64_t lineBytes() const { return container == 8 ? 64 : 16 * container; }
  int64_t linesPerTile() const { return kPadded() / kPerLine(); }
  int64_t groups() const { return (k + group - 1) / group; }
  /// Container 8 is one plane of whole bytes, as large as one of four bits.
  SmallVector<CodePlane> planes() const {
    if (container == 8)
      return {CodePlane{4, 0}};
    return llvm::to_vector(::spikequant::CodePlanes(container));
  }
  ::spikequant::PackedLayout layout() const {
    return {n, k, group, static_cast<int32_t>(container),
            static_cast<int32_t>(offsetBits)};
  }
  int64_t groupBytes() const { return layout().groupBytes(); }
  int64_t linesPerGroup() const {
    return groups() == 1 ? linesPerTile() : group / kPerLine();
  }
  int64_t tileBytes() const { return layout().tileBytes(); }
  int64_t codesBytes() const { return layout().codesBytes(); }
};

/// A packed matrix in memory, or a stack: then the first dimension of each
/// array is `stack` times as long.
struct CodesArrays {
  Value codes;  ///< memref<codesBytes x i8>, multipliers and offsets inside
  Value scales; ///< memref<16 tiles x f32>
};

/// Integers c from zero points and multipliers, as PackedLayout::offsetOf.
Value emitOffsets(KernelBuilder &b, const CodesShape &shape, Value multipliers,
                  Value zeros);

struct EncodeShape {
  int64_t rows = 0;
  int64_t k = 0;
  int64_t group = 0;
  int64_t tolerance = 0;
  int64_t unitExponent = 0; ///< Of fixed-point numbers.
  bool centred = false;     ///< The third row of `rates` is used.
};

struct EncodeArrays {
  Value input;    ///< [M, K] f32, or i32 with `rates`
  Value rowScale; ///< [M] f32, or null
  Value dense;    ///< [M, Kpad] i8
  Value sums;     ///< [M, G] i32
  Value overflow; ///< [M, 2 + 2K] i32
  Value counts;   ///< [M, K] i16, or null
  Value bits;     ///< [K] i8, or null
  Value gains;    ///< [K] f32, or null
  Value centres;  ///< [K] f32, or null
  Value step;     ///< f32
  Value rates;    ///< [3, K] i32, or null
};

/// The counts of `lanes` channels of fixed-point numbers, as i32 lanes. A row
/// is scaled by a real factor, if there is one.
class GridCounts {
public:
  GridCounts(KernelBuilder &b, const EncodeShape &shape,
             const EncodeArrays &arrays, int64_t lanes)
      : b(b), shape(shape), arrays(arrays), lanes(lanes) {}

  void beginRow(Value row);
  Value counts(Value channel, int64_t valid);

private:
  Value scaleByRow(Value x);
  Value loadWide(Value memref, ValueRange indices, int64_t valid);
  Value number(int64_t value);

  KernelBuilder &b;
  const EncodeShape &shape;
  const EncodeArrays &arrays;
  int64_t lanes;
  Value row;
  Value mantissa, left, right, half; ///< i64 lanes
};

/// spikequant.encode_split. Parallel over rows.
void emitEncode(KernelBuilder &b, const EncodeShape &shape,
                const EncodeArrays &arrays);

struct IntegrateShape {
  int64_t rows = 0; ///< Of a slice.
  int64_t slices = 1;
  CodesShape weights;
  /// 127 R does not fit i32: 64-bit accumulators throughout.
  bool wide = false;
  bool decodes = true; ///< Somebody reads the real results.
};

struct IntegrateArrays {
  Value dense, sums, overflow; ///< As encode gives them.
  /// Chooses matrices of a stack: index, or memref<slices x i32>; else null.
  Value index;
  Value result;   ///< [M, N] f32
  Value membrane; ///< [M, N] i64, or null
  CodesArrays weights;
  Value columnMax; ///< memref<K x i32>
  Value slack;     ///< i64: 2^31 - 1 - 127 R
  Value step;      ///< f32
};

/// spikequant.integrate_decode. Parallel over slices and panels of 64 output
/// channels, split by rows where there are many.
void emitIntegrate(KernelBuilder &b, const IntegrateShape &shape,
                   const IntegrateArrays &arrays);

/// spikequant.lookup_rows: ids [M] i32 or i64, result [M, K] f32, or i32 with
/// `rates` [3, N] i32. Parallel over rows.
void emitLookup(KernelBuilder &b, int64_t rows, const CodesShape &shape,
                const CodesArrays &weights, Value ids, Value result,
                Value rates);

/// spikequant.tally: adds column 1 of overflow [M, ..] to counters[site].
void emitTally(KernelBuilder &b, int64_t rows, Value overflow, Value counters,
               Value site);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_KERNELS_H
