//===- ReadInput.cpp - an encode as an input population -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReadInput.h"

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

/// A per-channel literal; `otherwise` everywhere if there is no symbol.
template <typename T>
static FailureOr<SmallVector<T>>
readChannels(EncodeOp encode, SymbolTableCollection &tables,
             FlatSymbolRefAttr symbol, T otherwise) {
  int64_t channels = encode.getType().getShape().back();
  if (!symbol)
    return SmallVector<T>(channels, otherwise);
  auto weights = tables.lookupNearestSymbolFrom<WeightsOp>(encode, symbol);
  auto literal =
      dyn_cast_or_null<DenseElementsAttr>(weights.getValue().value_or(nullptr));
  if (!literal)
    return encode.emitOpError()
           << "NEU-C10: " << symbol << " must be a literal value";
  return SmallVector<T>(literal.getValues<T>());
}

LogicalResult
mlir::spikequant::readInput(EncodeOp encode, SymbolTableCollection &tables,
                            ::spikequant::InputPopulation &input) {
  if (encode.isInteger())
    return encode.emitOpError()
           << "NEU-C14: it counts fixed-point numbers, and an input population "
              "takes real ones; compile with --real-residual";
  if (encode.getRowScale())
    return encode.emitOpError()
           << "NEU-C12: row_scale is computed while the program runs; a "
              "neuromorphic target needs a static step";
  if (!encode.getBits())
    return encode.emitOpError()
           << "NEU-C11: without bits there is no window to saturate to";
  FailureOr<SmallVector<int8_t>> bits =
      readChannels<int8_t>(encode, tables, encode.getBitsAttr(), 0);
  FailureOr<SmallVector<float>> gains =
      readChannels<float>(encode, tables, encode.getGainsAttr(), 1);
  FailureOr<SmallVector<float>> centres =
      readChannels<float>(encode, tables, encode.getCentresAttr(), 0);
  if (failed(bits) || failed(gains) || failed(centres))
    return failure();
  input.name = encode.getSite().str();
  input.step = encode.getStep().convertToFloat();
  for (auto [b, gain, centre] : llvm::zip(*bits, *gains, *centres)) {
    input.windows.push_back(sq::windowOf(b));
    // The verifier has checked every channel (ENC-C7).
    input.thresholds.push_back(*sq::encodeThreshold(input.step, gain, centre));
  }
  return success();
}
