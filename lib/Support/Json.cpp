//===- Json.cpp - reading JSON from files that others wrote ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Support/Json.h"

using namespace llvm;

static constexpr int maxNesting = 64;

/// Brackets inside strings do not count; ill-formed text is the parser's job.
static bool nestsTooDeeply(StringRef text) {
  int depth = 0;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (inString && c == '\\')
      ++i;
    else if (c == '"')
      inString = !inString;
    else if (!inString && (c == '{' || c == '['))
      ++depth;
    else if (!inString && (c == '}' || c == ']'))
      --depth;
    if (depth > maxNesting)
      return true;
  }
  return false;
}

Expected<json::Object> spikequant::parseJsonObject(StringRef text,
                                                   const Twine &what) {
  if (nestsTooDeeply(text))
    return createStringError(what + " nests deeper than " + Twine(maxNesting) +
                             " levels");
  Expected<json::Value> value = json::parse(text);
  if (!value)
    return createStringError(
        what + " is not valid JSON: " + toString(value.takeError()));
  if (json::Object *object = value->getAsObject())
    return std::move(*object);
  return createStringError(what + " is not a JSON object");
}
