//===- ElementType.h - MLIR element types across the C interface
//--------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_RUNTIME_ELEMENTTYPE_H
#define SPIKEQUANT_RUNTIME_ELEMENTTYPE_H

#include "spikequant/Runtime/spikequant.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::spikequant {

/// The `sq_element_type` of arrays of `type`, or nothing if such arrays cannot
/// cross the C interface.
inline std::optional<int32_t> getElementCode(Type type) {
  static constexpr std::pair<unsigned, int32_t> integers[] = {
      {1, SQ_I1}, {8, SQ_I8}, {16, SQ_I16}, {32, SQ_I32}, {64, SQ_I64}};
  for (auto [width, code] : integers)
    if (type.isInteger(width))
      return code;
  return llvm::TypeSwitch<Type, std::optional<int32_t>>(type)
      .Case<Float32Type>([](auto) { return SQ_F32; })
      .Case<Float64Type>([](auto) { return SQ_F64; })
      .Case<Float16Type>([](auto) { return SQ_F16; })
      .Case<BFloat16Type>([](auto) { return SQ_BF16; })
      .Default([](auto) { return std::nullopt; });
}

} // namespace mlir::spikequant

#endif // SPIKEQUANT_RUNTIME_ELEMENTTYPE_H
