//===- FixedStream.h - real arrays that fixed point can hold ----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A stream is an array of real numbers that decodes, looked-up rows and sums
/// of streams make; in units of a power of two it is an array of i32. Sums and
/// differences are exact and saturate at 2^31 - 1 units. A stream may be
/// centred: a real number per row, taken to the nearest unit, is subtracted.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FIXEDSTREAM_H
#define SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FIXEDSTREAM_H

#include "FoldScales.h"
#include "GridSymbols.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::spikequant {

/// Where the numbers of a stream come from.
enum class StreamSource {
  None,   ///< It is no stream.
  Lookup, ///< Rows of packed weights.
  Decode, ///< A decode with channel gains and biases.
  Table,  ///< Weights that are known; or their rows, as an index chooses.
  Scaled, ///< A stream times rows and channels, plus channels: a norm.
  View,   ///< A reshape, a slice or a movement of a stream.
  Joined, ///< A stream inserted into another one, or where nothing is.
  Sum,    ///< Sums and differences of streams, rows and channels.
  Real    ///< Other real numbers that are added to a stream: converted.
};

class FixedStreams {
public:
  FixedStreams(ModuleOp module, ConstantReals &constants)
      : module(module), constants(constants), symbols(module) {}

  /// Decides for `value` and all that it is made of; what it is.
  StreamSource plan(Value value);

  /// Whether `value` is made of streams alone, with a decode among them or
  /// behind others: not a converted array.
  bool isStream(Value value) const {
    StreamSource source = sources.lookup(value);
    return source != StreamSource::None && source != StreamSource::Real;
  }
  bool isPlanned(Value value) const {
    return sources.lookup(value) != StreamSource::None;
  }

  /// Marks `value` and all that it is made of as wanted; their spreads decide
  /// the unit.
  void want(Value value);

  /// 2^-12 of the least spread, at least 2^-17 of that of the sum of all. 0 if
  /// no spread is known.
  double chooseUnit();

  /// The stream in units of chooseUnit(), which it follows in the program.
  FailureOr<Value> get(Value value);

  /// The norm or the product with channels `value` (StreamSource::Scaled) in
  /// units of `to`.
  FailureOr<Value> getScaled(Value value, double to);

  /// Takes the sums of rows, and of their squares, of all streams made so far
  /// from their integers.
  void foldStatistics(RewriterBase &rewriter);

  /// Streams made so far.
  const llvm::MapVector<Value, Value> &getMade() const { return made; }
  double getUnit() const { return unit; }
  double getSpread() const { return total; }
  GridSymbols &getSymbols() { return symbols; }

private:
  StreamSource find(Value value);
  StreamSource findView(Operation *op);
  StreamSource findJoined(tensor::InsertSliceOp op);
  StreamSource findSum(linalg::LinalgOp op);
  std::optional<DecodedLeaf> findDecode(Value value);
  std::optional<ScaleForm> findScaled(Value value);
  bool isTable(LoadWeightsOp op);
  SmallVector<Value> getParts(Value value, StreamSource source);
  std::optional<double> estimate(Value value, StreamSource source);
  FailureOr<Value> make(Value value, StreamSource source);
  FailureOr<Value> makeLookup(OpBuilder &b, LookupOp op);
  FailureOr<Value> makeTable(OpBuilder &b, LoadWeightsOp op);
  FailureOr<Value> makeScaled(OpBuilder &b, Value value, double to);
  FailureOr<Value> makeView(OpBuilder &b, Operation *op);
  FailureOr<Value> makeJoined(OpBuilder &b, tensor::InsertSliceOp op);
  FailureOr<Value> makeSum(OpBuilder &b, linalg::LinalgOp op);
  Value convert(OpBuilder &b, Value real);

  ModuleOp module;
  ConstantReals &constants;
  GridSymbols symbols;
  llvm::DenseMap<Value, StreamSource> sources;
  llvm::MapVector<Value, Value> made;
  llvm::DenseSet<Value> wanted;
  double unit = 0, least = 0, total = 0;
};

/// An operand of a sum: what it is in fixed point.
struct SumTerm {
  enum class Kind { None, Stream, Row, Channels } kind = Kind::None;
  OpOperand *operand = nullptr;
  ArrayRead read;             ///< Kind::Row
  SmallVector<double> values; ///< Kind::Channels
};

/// What `operand` of the elementwise `op` is, apart from a stream.
SumTerm findTerm(linalg::LinalgOp op, OpOperand *operand,
                 ConstantReals &constants);

/// The extraction from a real array that is all that a body does with real
/// numbers, or null.
tensor::ExtractOp findGather(linalg::LinalgOp op);

/// The same choice from the integers `table`.
Value replayGather(OpBuilder &b, linalg::GenericOp op, Value table);

/// The operands that a body of sums, differences and negations adds up, with
/// their signs unimportant; nothing for other bodies.
std::optional<SmallVector<OpOperand *>> findSumOperands(linalg::LinalgOp op);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_SPIKEQUANT_TRANSFORMS_FIXEDSTREAM_H
