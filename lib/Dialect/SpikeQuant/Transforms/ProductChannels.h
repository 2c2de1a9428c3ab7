//===- ProductChannels.h - channels that meet in a product ------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A state may hold its counts in a step of its own for every channel. In
/// `q k^T` the other factor then is encoded with the inverse: the product does
/// not change. In `P v` channels of the state are channels of the result, which
/// is multiplied where a channel is its last dimension again.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTCHANNELS_H
#define SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTCHANNELS_H

#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

namespace mlir::spikequant {

/// Channels of `operand`: its source's last dimension, with the one before it
/// if that is a batch dimension of the product (heads): [.., heads, channels].
int64_t countGroupedChannels(const Product &product, unsigned operand);

/// Which channels of the operand that a state holds meet which others.
struct ChannelPairing {
  unsigned held;        ///< the operand in the state, 0 or 1
  int64_t heldChannels; ///< see countGroupedChannels
  bool contracted;      ///< `q k^T`: the product sums over the channels
  bool shiftable;       ///< the result may change by a number per row
  /// If `contracted`: the held channel that each channel of the other factor
  /// meets, these of its last dimension or of its last two. Otherwise that of
  /// each channel of the scaled array.
  std::vector<int64_t> partners;

  bool operator==(const ChannelPairing &other) const {
    return held == other.held && heldChannels == other.heldChannels &&
           contracted == other.contracted && shiftable == other.shiftable &&
           partners == other.partners;
  }
};

/// Nothing if no operand or both are in a state, or a channel meets several.
/// `products` are all of the function.
std::optional<ChannelPairing> pairChannels(const Product &product,
                                           ArrayRef<Product> products);

/// Where the result of a product that does not sum over the held channels is
/// multiplied: itself or what it is moved to, its last dimension the channels.
Value getScaledArray(const Product &product, const ChannelPairing &pairing);

/// The dimension of the state along which the source's last dimension runs,
/// whole and of even size: two halves share bytes. Nothing if there is none.
std::optional<int64_t> getPackedDimension(const ProductOperand &operand);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_TRANSFORMS_PRODUCTCHANNELS_H
