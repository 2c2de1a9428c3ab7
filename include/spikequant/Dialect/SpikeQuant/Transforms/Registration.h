//===- Registration.h - the dialects that every tool needs ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_REGISTRATION_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_REGISTRATION_H

namespace mlir {
class DialectRegistry;

namespace spikequant {

/// Adds upstream's dialects with their extensions (bufferisation, translation
/// and inlining interfaces), the spikequant dialect, and its external models.
void registerSpikeQuantDialects(DialectRegistry &registry);

} // namespace spikequant
} // namespace mlir

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_REGISTRATION_H
