//===- BuildNetwork.cpp - a chain of operations as plain data -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/SpikeQuantToNeuromorphic.h"

#include "ReadInput.h"
#include "spikequant/Weights/Rounding.h"

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

namespace {

class ChainReader {
public:
  explicit ChainReader(func::FuncOp function)
      : function(function), tables(),
        result{{}, std::nullopt, function.getLoc(), {}} {
    result.network.name = function.getSymName().str();
  }

  FailureOr<LocatedNetwork> read() {
    if (!function.getBody().hasOneBlock())
      return function.emitOpError() << "NEU-C1: needs one block";
    auto end = cast<func::ReturnOp>(function.front().getTerminator());
    if (end.getNumOperands() != 1)
      return end.emitOpError()
             << "NEU-C1: the network must have one result, not "
             << end.getNumOperands();
    if (failed(readFire(end.getOperand(0), end)))
      return failure();
    std::reverse(result.network.layers.begin(), result.network.layers.end());
    std::reverse(result.layerLocations.begin(), result.layerLocations.end());
    return std::move(result);
  }

private:
  /// Goes up the chain from the counts that `user` reads.
  LogicalResult readFire(Value counts, Operation *user) {
    while (auto fire = counts.getDefiningOp<FireOp>()) {
      auto integrate = fire.getMembrane().getDefiningOp<IntegrateOp>();
      if (!integrate)
        return fire.emitOpError()
               << "NEU-C1: its membrane must come from spikequant.integrate";
      if (failed(readLayer(integrate, fire)) ||
          failed(noteCode(fire, fire.getCode())))
        return failure();
      counts = integrate.getCounts();
      user = integrate;
    }
    if (auto encode = counts.getDefiningOp<EncodeOp>())
      return readEncode(encode);
    return user->emitOpError()
           << "NEU-C1: a network is a chain encode, integrate, fire, "
              "integrate, fire, ..; this operand is no count of the chain";
  }

  LogicalResult noteCode(Operation *op, std::optional<SpikeCode> code) {
    if (!code)
      return success();
    auto plain = static_cast<sq::SpikeCode>(*code);
    if (result.code && *result.code != plain)
      return op->emitOpError()
             << "NEU-C9: code is '" << sq::nameOf(plain)
             << "', elsewhere in the chain '" << sq::nameOf(*result.code)
             << "'; a chain has one code";
    result.code = plain;
    return success();
  }

  LogicalResult readLayer(IntegrateOp integrate, FireOp fire) {
    sq::Layer layer;
    auto weights = tables.lookupNearestSymbolFrom<WeightsOp>(
        integrate, integrate.getWeightsAttr());
    if (integrate.getIndex())
      return integrate->emitOpError()
             << "NEU-C10: its matrix is chosen from a stack at run time; a "
                "chain's layer needs one matrix";
    layer.name = weights.getSymName().str();
    layer.outputs = weights.getArrayType().getDimSize(0);
    layer.inputs = weights.getArrayType().getDimSize(1);
    if (failed(readWeights(integrate, weights, layer)))
      return failure();
    ArrayRef<int64_t> multipliers = fire.getMultipliers();
    ArrayRef<int64_t> biases = fire.getBiases();
    for (int64_t o = 0; o < layer.outputs; ++o)
      layer.thresholds.push_back(
          {static_cast<int32_t>(multipliers[multipliers.size() == 1 ? 0 : o]),
           biases[biases.size() == 1 ? 0 : o],
           static_cast<int32_t>(fire.getShift())});
    layer.lo = static_cast<int32_t>(fire.getLo());
    layer.hi = static_cast<int32_t>(fire.getHi());
    result.network.layers.push_back(std::move(layer));
    result.layerLocations.push_back(fire.getLoc());
    return success();
  }

  LogicalResult readWeights(IntegrateOp user, WeightsOp op, sq::Layer &layer) {
    auto literal =
        dyn_cast_or_null<DenseElementsAttr>(op.getValue().value_or(nullptr));
    if (!literal)
      return user.emitOpError() << "NEU-C10: the weights '" << layer.name
                                << "' must be a literal value";
    auto codes = cast<CodesAttr>(op.getFormat());
    sq::RoundingOptions options;
    options.bits = codes.getBits();
    options.group = codes.getGroup() ? codes.getGroup() : layer.inputs;
    options.symmetric = codes.getSymmetric();
    SmallVector<float> values(literal.getValues<float>());
    llvm::Expected<sq::RoundedMatrix> rounded = sq::roundToCodes(
        sq::MatrixView::rowMajor(values.data(), layer.outputs, layer.inputs),
        options, layer.name);
    if (!rounded)
      return op.emitOpError() << llvm::toString(rounded.takeError());
    for (int64_t o = 0; o < layer.outputs; ++o)
      for (int64_t j = 0; j < layer.inputs; ++j)
        layer.weights.push_back(rounded->weightAt(o, j));
    return success();
  }

  LogicalResult readEncode(EncodeOp encode) {
    result.inputLocation = encode.getLoc();
    if (failed(noteCode(encode, encode.getCode())))
      return failure();
    if (!encode.saturates())
      return encode.emitOpError()
             << "NEU-C11: a neuromorphic target carries no salient counts; "
                "state overflow = #spikequant.overflow<saturate>";
    return readInput(encode, tables, result.network.input);
  }

  func::FuncOp function;
  SymbolTableCollection tables;
  LocatedNetwork result;
};

} // namespace

FailureOr<LocatedNetwork>
mlir::spikequant::buildNetwork(func::FuncOp function) {
  return ChainReader(function).read();
}

FailureOr<func::FuncOp> mlir::spikequant::findNetworkFunction(ModuleOp module,
                                                              StringRef name) {
  SmallVector<func::FuncOp> found;
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal() &&
        (name.empty() || function.getSymName() == name))
      found.push_back(function);
  if (found.size() == 1)
    return found.front();
  if (!name.empty())
    return module.emitError() << "there is no function '" << name << "'";
  return module.emitError() << "needs one function, not " << found.size()
                            << "; choose one with --function";
}
