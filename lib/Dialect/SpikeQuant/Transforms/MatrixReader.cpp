//===- MatrixReader.cpp - the values of a site's weights ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MatrixReader.h"

#include "spikequant/Dialect/SpikeQuant/Transforms/ChannelRotations.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"

#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::spikequant;

llvm::Error MatrixReader::open(StringRef weightsFile) {
  auto opened = ::spikequant::SafetensorsFile::open(weightsFile);
  if (!opened)
    return opened.takeError();
  file = std::move(*opened);
  addRotations(module, *file);
  path = weightsFile.str();
  return llvm::Error::success();
}

bool MatrixReader::knows(WeightsOp weights, const WeightView &view) const {
  if (weights.getValue())
    return !isa<SplatElementsAttr>(*weights.getValue())
               ? !getLiteralBytes(*weights.getValue()).empty()
               : true;
  if (!file || !weights.getSource())
    return false;
  const ::spikequant::TensorInfo *info = file->find(*weights.getSource());
  return info && ArrayRef(info->shape) == view.getSourceShape() &&
         llvm::is_contained({"F32", "F16", "BF16"}, info->dtype);
}

llvm::Error MatrixReader::readSource(WeightsOp weights, const WeightView &view,
                                     std::vector<float> &values) const {
  std::string name = weights.getSymName().str();
  if (!file || !weights.getSource())
    return llvm::createStringError("the values of '" + name +
                                   "' are not known; give the safetensors "
                                   "file that has them");
  auto tensor = file->tensorF32(*weights.getSource());
  if (!tensor)
    return tensor.takeError();
  if (tensor->shape() != view.getSourceShape())
    return llvm::createStringError("weight '" + name +
                                   "' has another shape in '" + path + "'");
  ArrayRef<float> from = tensor->values();
  view.gather(ArrayRef(reinterpret_cast<const char *>(from.data()),
                       from.size() * sizeof(float)),
              sizeof(float), reinterpret_cast<char *>(values.data()));
  return llvm::Error::success();
}

llvm::Expected<std::vector<float>>
MatrixReader::read(WeightsOp weights, const WeightView &view) const {
  SmallVector<int64_t> shape = view.getShape();
  std::vector<float> values(ShapedType::getNumElements(shape));
  if (!weights.getValue()) {
    if (llvm::Error error = readSource(weights, view, values))
      return std::move(error);
    return values;
  }
  auto type =
      RankedTensorType::get(shape, Float32Type::get(weights.getContext()));
  auto unreadable = [&] {
    return llvm::createStringError("the literal value of '" +
                                   weights.getSymName() + "' cannot be read");
  };
  auto content = viewContent(weights, view, type);
  if (failed(content))
    return unreadable();
  if (auto splat = dyn_cast<SplatElementsAttr>(content->value)) {
    llvm::fill(values, splat.getSplatValue<float>());
    return values;
  }
  ArrayRef<char> bytes = getLiteralBytes(content->value);
  if (bytes.size() != values.size() * sizeof(float))
    return unreadable();
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}
