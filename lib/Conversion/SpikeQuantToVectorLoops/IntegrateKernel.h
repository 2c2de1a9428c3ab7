//===- IntegrateKernel.h - parts of the integrate kernel --------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_INTEGRATEKERNEL_H
#define SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_INTEGRATEKERNEL_H

#include "Kernels.h"

namespace mlir::spikequant {

/// Up to 64 output channels whose lines alternate along K.
struct Panel {
  Value base;        ///< index: byte offset of the panel's first line
  Value firstTile;   ///< index: number of its first tile in its matrix
  Value weightTile;  ///< index: the same in the stack of matrices
  int64_t tiles;     ///< tiles in the panel, 1..4
  int64_t lastLanes; ///< output channels of its last tile, 1..16
};

/// Rows x tiles that share registers.
struct RegisterBlock {
  Panel panel;
  Value row;  ///< index: first row
  Value tile; ///< index: first tile, counted from the panel's first
  int64_t rows;
  int64_t tiles;
  int64_t lastLanes; ///< output channels of the block's last tile

  int64_t lanesOf(int64_t t) const {
    return t + 1 == tiles ? lastLanes : kLanes;
  }
};

/// Emits one integrate_decode kernel.
class IntegrateEmitter {
public:
  IntegrateEmitter(KernelBuilder &b, const IntegrateShape &shape,
                   const IntegrateArrays &arrays);

  /// Rows rowBegin..rowEnd-1 of one panel.
  void emitPanel(const Panel &panel, Value rowBegin, Value rowEnd);

private:
  // Dense part: IntegrateKernel.cpp. Accumulators are ordered [row][tile].
  void emitRows(const Panel &panel, Value begin, Value end, int64_t rows);
  void emitBlock(const RegisterBlock &block);
  SmallVector<Value> emitDense(const RegisterBlock &block);
  SmallVector<Value> emitGroup(const RegisterBlock &block, Value group,
                               int64_t lines, ValueRange accumulators,
                               bool withOffsets = true);
  SmallVector<Value> emitTwoGroups(const RegisterBlock &block, Value group,
                                   ValueRange accumulators);
  Value offsetPair(const RegisterBlock &block, int64_t tile, Value group);
  Value sumPair(const RegisterBlock &block, int64_t row, Value group);
  SmallVector<Value> emitDots(const RegisterBlock &block, Value group,
                              int64_t lines);
  void emitLine(const RegisterBlock &block, Value group, Value line,
                MutableArrayRef<Value> partials);
  SmallVector<Value> loadOperands(const RegisterBlock &block, Value start,
                                  int64_t tile);
  Value spreadPlane(Value stored, CodePlane plane);
  Value planeOperand(Value spread, CodePlane plane, int64_t half);
  Value broadcastCounts(const RegisterBlock &block, int64_t row, Value channel);
  Value loadPlane(const RegisterBlock &block, Value start, int64_t tile,
                  CodePlane plane);
  Value groupStart(const RegisterBlock &block, Value group);
  Value lineStart(const RegisterBlock &block, Value group, Value line);
  Value planeWords(Value stored, CodePlane plane);

  // Result and overflow: OverflowEpilogue.cpp.
  void emitEpilogue(const RegisterBlock &block, ValueRange accumulators);
  void emitRowResult(const RegisterBlock &block, int64_t row,
                     ValueRange accumulators);
  void emitOverflow(const RegisterBlock &block, int64_t row, Value entries,
                    ValueRange accumulators);
  SmallVector<Value> addOverflow(const RegisterBlock &block, int64_t row,
                                 Value entries, ValueRange accumulators,
                                 Type type);
  Value overflowFits(const RegisterBlock &block, int64_t row, Value entries);
  std::pair<Value, Value> loadEntry(const RegisterBlock &block, int64_t row,
                                    Value entry);
  Value weightColumn(const RegisterBlock &block, Value channel, int64_t tile);

  Value rowOf(const RegisterBlock &block, int64_t row) {
    return b.offset(block.row, row);
  }
  Value tileOf(const RegisterBlock &block, int64_t tile) {
    return b.add(block.panel.firstTile, b.offset(block.tile, tile));
  }
  Value weightTileOf(const RegisterBlock &block, int64_t tile) {
    return b.add(block.panel.weightTile, b.offset(block.tile, tile));
  }
  /// m and c of a tile's channels, as lanes of i32.
  Value multipliers(const RegisterBlock &block, int64_t tile, Value group);
  Value offsets(const RegisterBlock &block, int64_t tile, Value group,
                Value multipliers);
  /// Two sums per dot product: codes in the low and, unshifted, in the high
  /// half of a byte. Saves the shift where a line serves one row only.
  bool splitsHalves(const RegisterBlock &block) const {
    return block.rows == 1 && weights.container == 4;
  }

  /// Offsets of two groups and the sums of their counts fit 16 bits: one
  /// instruction multiplies and adds both.
  bool joinsGroups(const RegisterBlock &block) const {
    return block.rows > 1 && !shape.wide && weights.group <= 32767 / 127;
  }

  KernelBuilder &b;
  const IntegrateShape &shape;
  const CodesShape &weights;
  const IntegrateArrays &arrays;
  Type i8, i32, accumulator;
  VectorType bytes, sums;
};

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_CONVERSION_SPIKEQUANTTOVECTORLOOPS_INTEGRATEKERNEL_H
