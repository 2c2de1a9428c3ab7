//===- Suggest.h - names for messages ---------------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_SUPPORT_SUGGEST_H
#define SPIKEQUANT_SUPPORT_SUGGEST_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <string>

namespace spikequant {

/// "did you mean A, B, C?": the names that are spelt most like `wanted` (at
/// most 5, each once) and how many more there are. Empty if there is none.
std::string suggestNames(llvm::ArrayRef<llvm::StringRef> names,
                         llvm::StringRef wanted);

} // namespace spikequant

#endif // SPIKEQUANT_SUPPORT_SUGGEST_H
