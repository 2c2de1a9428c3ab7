//===- EvaluateInReals.cpp - selected layers without quantisation ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/SelectLayers.h"
#include "spikequant/Weights/Rounding.h"
#include "spikequant/Weights/Safetensors.h"

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

/// The tile's weights before rounding, row-major.
static llvm::Expected<std::vector<double>> cutTile(const SelectedLayer &layer,
                                                   ArrayRef<float> values) {
  WeightsOp op = layer.weights;
  ArrayRef<int64_t> shape = op.getArrayType().getShape();
  bool transposed =
      !op.getValue() && op.getPermutation() &&
      ArrayRef<int64_t>(*op.getPermutation()) == ArrayRef<int64_t>{1, 0};
  if (int64_t(values.size()) != shape[0] * shape[1])
    return llvm::createStringError(
        "weight '" + op.getSymName() +
        "' has another size in the weights file than in the program");
  sq::MatrixView view =
      transposed ? sq::MatrixView::transposed(values.data(), shape[1], shape[0])
                 : sq::MatrixView::rowMajor(values.data(), shape[0], shape[1]);
  std::vector<double> tile;
  for (int64_t o = layer.rows.first; o < layer.rows.end; ++o)
    for (int64_t j = layer.columns.first; j < layer.columns.end; ++j)
      tile.push_back(view.at(o, j));
  return tile;
}

static llvm::Expected<std::vector<double>>
readTile(const SelectedLayer &layer, const sq::SafetensorsFile *source) {
  WeightsOp op = layer.weights;
  if (auto literal = dyn_cast_or_null<DenseElementsAttr>(
          op.getValue().value_or(ElementsAttr())))
    return cutTile(layer, llvm::to_vector(literal.getValues<float>()));
  if (!source || !op.getSource())
    return llvm::createStringError("weight '" + op.getSymName() +
                                   "' is not a literal: give the weights "
                                   "before rounding with --real-weights");
  llvm::Expected<sq::F32Tensor> tensor = source->tensorF32(*op.getSource());
  if (!tensor)
    return tensor.takeError();
  return cutTile(layer, tensor->values());
}

static std::vector<double> multiply(ArrayRef<double> tile,
                                    ArrayRef<double> values) {
  std::vector<double> result(tile.size() / values.size(), 0.0);
  for (auto [o, sum] : llvm::enumerate(result))
    for (auto [weight, value] :
         llvm::zip(tile.slice(o * values.size(), values.size()), values))
      sum += weight * value;
  return result;
}

llvm::Expected<std::vector<double>>
mlir::spikequant::evaluateInReals(const SelectedNetwork &selected,
                                  const sq::SafetensorsFile *source) {
  std::vector<std::vector<double>> tiles;
  for (const SelectedLayer &layer : selected.layers) {
    llvm::Expected<std::vector<double>> tile = readTile(layer, source);
    if (!tile)
      return tile.takeError();
    tiles.push_back(std::move(*tile));
  }
  std::vector<double> outputs;
  int64_t channels = selected.located.network.input.channels();
  for (int64_t i = 0; i < selected.samples(); ++i) {
    ArrayRef<float> row =
        ArrayRef(selected.inputs).slice(i * channels, channels);
    std::vector<double> values(row.begin(), row.end());
    for (auto [layer, tile] : llvm::zip(selected.layers, tiles)) {
      values = multiply(tile, values);
      for (auto [o, value] : llvm::enumerate(values))
        value = layer.between.lineOf(layer.rows.first + o).evaluate(value);
    }
    llvm::append_range(outputs, values);
  }
  return outputs;
}
