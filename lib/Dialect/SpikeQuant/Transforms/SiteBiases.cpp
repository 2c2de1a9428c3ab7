//===- SiteBiases.cpp - constants of the inputs behind a matrix -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SiteBiases.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace mlir::spikequant;

bool SiteBiases::isPossible(ModuleOp module, const MatrixReader &reader,
                            const Site &site) {
  if (site.isStack() || site.activation.slices != 0)
    return false;
  WeightsOp weights = lookupWeights(module, site.getSymbol());
  return weights && reader.knows(weights, site.codes);
}

FailureOr<WeightsOp> SiteBiases::get(Site site, ArrayRef<float> offsets) {
  Location loc = site.op.getLoc();
  StringRef name = site.op->getAttrOfType<StringAttr>(kSiteAttr).getValue();
  auto [entry, isNew] = known.try_emplace(name);
  std::vector<float> &biases = entry->second;
  if (isNew) {
    auto matrix =
        reader.read(lookupWeights(module, site.getSymbol()), site.codes);
    if (!matrix)
      return emitError(loc) << llvm::toString(matrix.takeError());
    for (int64_t o = 0; o < site.outputs; ++o) {
      double sum = 0.0;
      for (int64_t j = 0; j < site.channels; ++j)
        sum += double((*matrix)[o * site.channels + j]) * offsets[j];
      biases.push_back(float(sum));
    }
  }
  Builder b(module.getContext());
  auto type = RankedTensorType::get(site.outputs, b.getF32Type());
  WeightsContent content{};
  content.type = type;
  content.format = RealAttr::get(b.getContext());
  content.value =
      cast<ElementsAttr>(DenseElementsAttr::get(type, ArrayRef<float>(biases)));
  return getOrCreateWeights(module, loc, (name + ".bias").str(), content);
}
