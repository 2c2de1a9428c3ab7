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

/// The code of the unsigned integers of the same width; other codes as they
/// are. Inside a graph all integers are signless.
inline int32_t getUnsignedCode(int32_t code) {
  static constexpr std::pair<int32_t, int32_t> codes[] = {
      {SQ_I8, SQ_U8}, {SQ_I16, SQ_U16}, {SQ_I32, SQ_U32}, {SQ_I64, SQ_U64}};
  for (auto [signless, unsignedCode] : codes)
    if (code == signless)
      return unsignedCode;
  return code;
}

} // namespace mlir::spikequant

#endif // SPIKEQUANT_RUNTIME_ELEMENTTYPE_H
