//===- RemarkLocation.h - where a remark points to --------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_DIALECT_TRANSFORMS_REMARKLOCATION_H
#define SPIKEQUANT_LIB_DIALECT_TRANSFORMS_REMARKLOCATION_H

#include "mlir/IR/Location.h"

namespace mlir::spikequant {

/// The line of the user's source, which remarks can print: the innermost one of
/// a stack of calls. A location that only has a name becomes line 0 of it.
inline Location getRemarkLocation(Location loc) {
  if (auto line = loc->findInstanceOf<FileLineColLoc>())
    return line;
  if (auto name = loc->findInstanceOf<NameLoc>())
    return FileLineColLoc::get(name.getName(), 0, 0);
  return loc;
}

} // namespace mlir::spikequant

#endif // SPIKEQUANT_LIB_DIALECT_TRANSFORMS_REMARKLOCATION_H
