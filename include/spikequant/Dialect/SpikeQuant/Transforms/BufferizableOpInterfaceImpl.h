//===- BufferizableOpInterfaceImpl.h - spikequant ops and buffers ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_BUFFERIZABLEOPINTERFACEIMPL_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_BUFFERIZABLEOPINTERFACEIMPL_H

namespace mlir {
class DialectRegistry;

namespace spikequant {

/// Lets one-shot-bufferize handle the processor form (`encode_split`,
/// `integrate_decode`, `lookup_rows`), `load_weights` (a read-only buffer with
/// identity layout), `observe` and `tally` (readers).
void registerBufferizableOpInterfaceExternalModels(DialectRegistry &registry);

} // namespace spikequant
} // namespace mlir

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_BUFFERIZABLEOPINTERFACEIMPL_H
