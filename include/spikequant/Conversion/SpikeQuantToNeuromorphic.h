//===- SpikeQuantToNeuromorphic.h - IR to a network description -*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_CONVERSION_SPIKEQUANTTONEUROMORPHIC_H
#define SPIKEQUANT_CONVERSION_SPIKEQUANTTONEUROMORPHIC_H

#include "spikequant/Target/Network.h"

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

/// The only function with a body, or the one called `name` if that is not
/// empty.
FailureOr<func::FuncOp> findNetworkFunction(ModuleOp module, StringRef name);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_CONVERSION_SPIKEQUANTTONEUROMORPHIC_H
