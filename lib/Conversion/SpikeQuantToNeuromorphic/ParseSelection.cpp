//===- ParseSelection.cpp - SITE[rows,columns],SITE[rows,columns] ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/SelectLayers.h"

using namespace mlir;
using namespace mlir::spikequant;

static bool parseRange(StringRef text, std::optional<IndexRange> &range) {
  auto [first, end] = text.split(':');
  IndexRange parsed;
  if (first.trim().getAsInteger(10, parsed.first) ||
      end.trim().getAsInteger(10, parsed.end) || parsed.first < 0 ||
      parsed.size() < 1)
    return false;
  range = parsed;
  return true;
}

/// The text before the next comma that is not in brackets; removes both.
static StringRef takeLayer(StringRef &text) {
  size_t end = 0, depth = 0;
  for (; end < text.size() && (text[end] != ',' || depth > 0); ++end) {
    if (text[end] == '[')
      ++depth;
    else if (text[end] == ']' && depth > 0)
      --depth;
  }
  StringRef layer = text.take_front(end);
  text = text.drop_front(std::min(end + 1, text.size()));
  return layer;
}

static llvm::Expected<LayerSelection> parseLayer(StringRef text) {
  LayerSelection selection;
  auto [site, tile] = text.split('[');
  selection.site = site.trim().str();
  bool whole = site.size() == text.size();
  bool isClosed = tile.consume_back("]");
  auto [rows, columns] = tile.split(',');
  if (!selection.site.empty() &&
      (whole || (isClosed && parseRange(rows, selection.rows) &&
                 parseRange(columns, selection.columns))))
    return selection;
  return llvm::createStringError(
      "'" + text +
      "' must be SITE or SITE[rows,columns], for example "
      "blk.0.ffn_down[0:64,128:192]");
}

llvm::Expected<SmallVector<LayerSelection>>
mlir::spikequant::parseSelection(StringRef text) {
  SmallVector<LayerSelection> selections;
  do {
    llvm::Expected<LayerSelection> layer = parseLayer(takeLayer(text));
    if (!layer)
      return layer.takeError();
    selections.push_back(std::move(*layer));
  } while (!text.empty());
  return selections;
}
