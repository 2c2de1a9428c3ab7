//===- SpikeQuantToNeuromorphic.h - IR to a network description -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_SPIKEQUANTTONEUROMORPHIC_H
#define SPIKEQUANT_CONVERSION_SPIKEQUANTTONEUROMORPHIC_H

#include "spikequant/Target/Network.h"
#include "spikequant/Weights/PackedFile.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <optional>

namespace mlir::spikequant {

/// A network and where it came from.
struct LocatedNetwork {
  ::spikequant::Network network;
  /// The code that the operations name, if any does.
  std::optional<::spikequant::SpikeCode> code;
  Location inputLocation;
  std::vector<Location> layerLocations;

  /// Of `Problem::layer`.
  Location locationOf(int layer) const {
    return layer < 0 ? inputLocation : layerLocations[layer];
  }
};

/// Reads the chain that ends in the function's result:
///
///   %n0 = spikequant.encode %x {bits = @bits, overflow = saturate, ..}
///   %a0 = spikequant.integrate %n0, @w0
///   %n1 = spikequant.fire %a0 {..}
///   ..
///   return %nk
///
/// Codes are rounded exactly as the packer rounds them. Needs literal weights.
/// Emits an error on the operation that is in the way.
FailureOr<LocatedNetwork> buildNetwork(func::FuncOp function);

/// Indices first, first + 1, .., end - 1.
struct IndexRange {
  int64_t first = 0;
  int64_t end = 0;
  int64_t size() const { return end - first; }
};

/// A tile of one encode-integrate layer of a quantised graph.
struct TileSelection {
  std::string site;                  ///< The integrate site, its weight's name.
  std::optional<IndexRange> rows;    ///< Output channels; all if absent.
  std::optional<IndexRange> columns; ///< Input channels; all if absent.
  /// Where the codes are, if they are no literal.
  const ::spikequant::PackedFile *weights = nullptr;
  float outputStep = 0; ///< Of the fire that takes the place of the decode.
  int32_t window = 7;   ///< Its largest count: lo = -window, hi = window.
};

/// Parses "SITE", or "SITE[r0:r1,c0:c1]".
llvm::Expected<TileSelection> parseSelection(llvm::StringRef text);

/// A network of one layer from the selected tile: the membranes are those of
/// the tile's columns alone. Counts saturate to their windows, whatever the
/// program says. The layer's decode is replaced by a fire with the threshold
/// `outputStep / (step s_w)`, rounded once to 2^24 / M. `selection` gets the
/// ranges that were absent.
FailureOr<LocatedNetwork> selectTile(func::FuncOp function,
                                     TileSelection &selection);

/// The only function with a body, or the one called `name` if that is not
/// empty.
FailureOr<func::FuncOp> findNetworkFunction(ModuleOp module, StringRef name);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_SPIKEQUANTTONEUROMORPHIC_H
