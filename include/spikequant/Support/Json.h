//===- Json.h - reading JSON from files that others wrote -------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_SUPPORT_JSON_H
#define SPIKEQUANT_SUPPORT_JSON_H

#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <vector>

namespace spikequant {

/// Parses `text`, which must be one JSON object. `what` names the text in
/// errors ("header of 'x.safetensors'"). LLVM's parser recurses without limit,
/// so text that nests deeper than 64 levels is refused first.
llvm::Expected<llvm::json::Object> parseJsonObject(llvm::StringRef text,
                                                   const llvm::Twine &what);

/// A JSON object whose inner objects may still be text.
struct SplitJson {
  llvm::json::Object object;
  /// Objects inside `depth` brackets, in order; `object` has null for each.
  std::vector<llvm::StringRef> pieces;
};

/// As `parseJsonObject`, for text too long to be a tree of values as a whole:
/// a piece is parsed when it is needed. `depth` 1 leaves the members of the
/// outermost object as text.
llvm::Expected<SplitJson> splitJsonObject(llvm::StringRef text, unsigned depth,
                                          const llvm::Twine &what);

} // namespace spikequant

#endif // SPIKEQUANT_SUPPORT_JSON_H
