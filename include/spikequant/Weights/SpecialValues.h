//===- SpecialValues.h - NaN and infinity in weights ----------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_SPECIALVALUES_H
#define SPIKEQUANT_WEIGHTS_SPECIALVALUES_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <optional>
#include <string>

namespace spikequant {

/// Position of the first NaN among little-endian values of type `type` (named
/// as in PackedFormat::elementBytes); integers have none.
std::optional<size_t> findNaN(llvm::StringRef type,
                              llvm::ArrayRef<uint8_t> bytes);

/// Position of the first NaN or infinity.
std::optional<size_t> findNonFinite(llvm::ArrayRef<float> values);

/// The index of a row-major position, as in "[2, 3]".
std::string describeIndex(size_t position, llvm::ArrayRef<int64_t> shape);

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_SPECIALVALUES_H
