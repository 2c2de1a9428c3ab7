//===- FindLayers.cpp - selected layers in a function ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FindLayers.h"

#include "spikequant/Support/Suggest.h"

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

/// Codes are named after their weight.
static StringRef siteOf(IntegrateOp op) {
  StringRef name = op.getWeights();
  name.consume_back(".codes");
  return name;
}

static std::string nearestSites(func::FuncOp function, StringRef wanted) {
  SmallVector<StringRef> names;
  function.walk([&](IntegrateOp op) { names.push_back(siteOf(op)); });
  std::string text = sq::suggestNames(names, wanted);
  return text.empty() ? "it has no integrate site: was the graph quantised?"
                      : text;
}

namespace {
class LayerFinder {
public:
  LayerFinder(func::FuncOp function, const sq::PackedFile *packed)
      : function(function), packed(packed) {}

  FailureOr<SelectedLayer> find(const LayerSelection &selection) {
    FailureOr<IntegrateOp> integrate = findIntegrate(selection.site);
    if (failed(integrate))
      return failure();
    SelectedLayer layer;
    layer.integrate = *integrate;
    layer.encode = integrate->getCounts().getDefiningOp<EncodeOp>();
    if (!layer.encode)
      return integrate->emitOpError() << "SEL-C2: its counts must come "
                                         "directly from spikequant.encode";
    if (layer.encode.isInteger())
      return integrate->emitOpError()
             << "SEL-C2: its counts come from fixed-point numbers, and the "
                "inputs of a tile are real; compile with --real-residual";
    if (layer.integrate->getNumOperands() != 1)
      return integrate->emitOpError()
             << "SEL-C2: its matrix is chosen from a stack at run time; a tile "
                "needs one matrix";
    layer.weights = tables.lookupNearestSymbolFrom<WeightsOp>(
        *integrate, integrate->getWeightsAttr());
    ArrayRef<int64_t> shape = layer.weights.getArrayType().getShape();
    layer.rows = selection.rows.value_or(IndexRange{0, shape[0]});
    layer.columns = selection.columns.value_or(IndexRange{0, shape[1]});
    if (failed(checkRange(layer, layer.rows, shape[0], "rows")) ||
        failed(checkRange(layer, layer.columns, shape[1], "columns")) ||
        failed(checkPacked(layer)))
      return failure();
    return layer;
  }

  /// Fills in what stands between two layers.
  LogicalResult connect(SelectedLayer &layer, SelectedLayer &next) {
    FailureOr<DecodeOp> decode = traceToDecode(
        next.encode.getInput(), siteOf(next.integrate), packed, layer.between);
    if (failed(decode))
      return failure();
    auto before = decode->getMembrane().getDefiningOp<IntegrateOp>();
    if (before != layer.integrate)
      return next.encode.emitOpError()
             << "SEL-C7: '" << siteOf(next.integrate) << "' follows '"
             << (before ? siteOf(before) : StringRef("no integrate"))
             << "', not '" << siteOf(layer.integrate)
             << "'; a chain names layers in the order of the program";
    if (!(layer.rows == next.columns))
      return next.integrate.emitOpError()
             << "SEL-C3: columns " << next.columns.first << ":"
             << next.columns.end << " of '" << siteOf(next.integrate)
             << "' must be the rows " << layer.rows.first << ":"
             << layer.rows.end << " of '" << siteOf(layer.integrate)
             << "' before it";
    return success();
  }

private:
  FailureOr<IntegrateOp> findIntegrate(StringRef site) {
    SmallVector<IntegrateOp> found;
    function.walk([&](IntegrateOp op) {
      if (siteOf(op) == site || op.getWeights() == site)
        found.push_back(op);
    });
    if (found.size() == 1)
      return found.front();
    auto error = function.emitError();
    error << "SEL-C1: '" << function.getSymName() << "' has ";
    if (found.empty())
      error << "no integrate site '" << site
            << "': " << nearestSites(function, site);
    else
      error << found.size() << " integrate operations with the weights '"
            << site << "'; a selection needs a site that is used once";
    return failure();
  }

  LogicalResult checkRange(SelectedLayer &layer, IndexRange range, int64_t size,
                           StringRef what) {
    if (range.end <= size)
      return success();
    return layer.integrate.emitOpError()
           << "SEL-C3: " << what << " " << range.first << ":" << range.end
           << " of '" << siteOf(layer.integrate)
           << "' are not all in 0:" << size;
  }

  LogicalResult checkPacked(SelectedLayer &layer) {
    const sq::PackedEntry *entry =
        packed ? packed->find(layer.weights.getSymName()) : nullptr;
    ArrayRef<int64_t> shape = layer.weights.getArrayType().getShape();
    if (entry && entry->kind == sq::PackedEntry::Kind::Codes &&
        entry->layout.n == shape[0] && entry->layout.k == shape[1])
      return success();
    return layer.integrate.emitOpError()
           << "SEL-C4: the codes '" << layer.weights.getSymName() << "' of "
           << shape[0] << " rows and " << shape[1]
           << " columns must be in the packed file; give the program's own "
              "with --weights";
  }

  func::FuncOp function;
  const sq::PackedFile *packed;
  SymbolTableCollection tables;
};
} // namespace

/// Ranges that only one of two neighbours states hold for both.
static SmallVector<LayerSelection>
shareRanges(ArrayRef<LayerSelection> selections) {
  SmallVector<LayerSelection> shared(selections);
  for (size_t i = 1; i < shared.size(); ++i) {
    if (!shared[i].columns)
      shared[i].columns = shared[i - 1].rows;
    else if (!shared[i - 1].rows)
      shared[i - 1].rows = shared[i].columns;
  }
  return shared;
}

FailureOr<SmallVector<SelectedLayer>>
mlir::spikequant::findLayers(func::FuncOp function,
                             ArrayRef<LayerSelection> selections,
                             const sq::PackedFile *packed) {
  LayerFinder finder(function, packed);
  SmallVector<SelectedLayer> layers;
  for (const LayerSelection &selection : shareRanges(selections)) {
    FailureOr<SelectedLayer> layer = finder.find(selection);
    if (failed(layer))
      return failure();
    layers.push_back(std::move(*layer));
  }
  for (size_t i = 1; i < layers.size(); ++i)
    if (failed(finder.connect(layers[i - 1], layers[i])))
      return failure();
  return layers;
}
