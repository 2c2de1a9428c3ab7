//===- Suggest.cpp - names for messages -----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Support/Suggest.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

#include <set>

using namespace llvm;

static constexpr size_t mostNames = 5;

std::string spikequant::suggestNames(ArrayRef<StringRef> names,
                                     StringRef wanted) {
  std::set<std::pair<unsigned, StringRef>> nearest;
  for (StringRef name : names)
    nearest.insert({name.edit_distance(wanted), name});
  if (nearest.empty())
    return "";
  SmallVector<StringRef> shown;
  for (const auto &entry : nearest)
    if (shown.size() < mostNames)
      shown.push_back(entry.second);
  size_t more = nearest.size() - shown.size();
  std::string text = "did you mean " + join(shown, ", ") + "?";
  return more ? text + " (" + std::to_string(more) + " more)" : text;
}
