//===- Json.cpp - reading JSON from files that others wrote ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Support/Json.h"

using namespace llvm;

static constexpr int maxNesting = 64;

/// The place behind the string that starts at `place`, or the end.
static size_t skipString(StringRef text, size_t place) {
  for (++place; place < text.size(); ++place) {
    size_t quote = text.find('"', place);
    size_t escape = text.slice(place, quote).find('\\');
    if (escape == StringRef::npos)
      return quote == StringRef::npos ? text.size() : quote + 1;
    place += escape + 1; // Of the escaped character.
  }
  return text.size();
}

namespace {
/// Calls `visit(place, depth)` at each bracket; depth is that inside of it.
/// Brackets in strings do not count; ill-formed text is the parser's job.
template <typename Visit> void visitBrackets(StringRef text, Visit visit) {
  int depth = 0;
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    bool opens = c == '{' || c == '[';
    if (opens || c == '}' || c == ']')
      if (!visit(i, opens ? ++depth : depth--))
        return;
    i = c == '"' ? skipString(text, i) : i + 1;
  }
}
} // namespace

static bool nestsTooDeeply(StringRef text) {
  bool tooDeep = false;
  visitBrackets(text, [&](size_t, int depth) {
    tooDeep = depth > maxNesting;
    return !tooDeep;
  });
  return tooDeep;
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

Expected<spikequant::SplitJson>
spikequant::splitJsonObject(StringRef text, unsigned depth, const Twine &what) {
  spikequant::SplitJson split;
  std::string skeleton;
  size_t begin = 0, written = 0;
  visitBrackets(text, [&](size_t place, int level) {
    if (level == int(depth) + 1 && text[place] == '{') {
      begin = place;
      skeleton += text.slice(written, begin);
    } else if (level == int(depth) + 1 && text[place] == '}') {
      split.pieces.push_back(text.slice(begin, place + 1));
      skeleton += "null";
      written = place + 1;
    }
    return level <= maxNesting;
  });
  skeleton += text.substr(written);
  Expected<json::Object> object = parseJsonObject(skeleton, what);
  if (!object) {
    // Places in a message are those of the whole text.
    consumeError(object.takeError());
    object = parseJsonObject(text, what);
  }
  if (!object)
    return object.takeError();
  split.object = std::move(*object);
  return split;
}
