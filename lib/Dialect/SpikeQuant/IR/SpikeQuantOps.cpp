//===- SpikeQuantOps.cpp - verifiers and folders --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The numbers of the constraints are those of docs/spec.md.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "Constraints.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/Fire.h"

using namespace mlir;
using namespace mlir::spikequant;

#define GET_OP_CLASSES
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuantOps.cpp.inc"

/// Shape without its last dimension.
static ArrayRef<int64_t> getRows(RankedTensorType type) {
  return type.getShape().drop_back();
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

static LogicalResult verifyPermutation(WeightsOp op) {
  std::optional<ArrayRef<int64_t>> permutation = op.getPermutation();
  if (permutation && !op.getSource())
    return op.emitOpError() << "WGT-C8: a permutation needs a source";
  if (!permutation || (static_cast<int64_t>(permutation->size()) ==
                           op.getArrayType().getRank() &&
                       isPermutationVector(*permutation)))
    return success();
  return op.emitOpError() << "WGT-C8: permutation must order the "
                          << op.getArrayType().getRank()
                          << " dimensions of the source";
}

/// Computed by the packer: neither a source nor a value.
static LogicalResult verifyThresholdArray(WeightsOp op) {
  RankedTensorType type = op.getArrayType();
  if (type.getRank() == 2 && type.getDimSize(0) == 5 &&
      type.getElementType().isInteger(64) && !op.getSource() && !op.getValue())
    return success();
  return op.emitOpError() << "WGT-C13: thresholds are a computed [5, N] array "
                             "of i64, without source and value";
}

static LogicalResult verifyRateArray(WeightsOp op) {
  RankedTensorType type = op.getArrayType();
  if (type.getRank() == 2 && type.getDimSize(0) == 3 &&
      type.getElementType().isInteger(32) && !op.getSource() && !op.getValue())
    return success();
  return op.emitOpError() << "WGT-C14: rates are a computed [3, N] array of "
                             "i32, without source and value";
}

static LogicalResult verifyView(WeightsOp op) {
  ViewAttr view = op.getViewAttr();
  if (!view)
    return success();
  if (!op.getSource() || op.getPermutation())
    return op.emitOpError() << "WGT-C12: a view needs a source and takes the "
                               "place of a permutation";
  if (ShapedType::getNumElements(view.getSizes()) ==
      op.getArrayType().getNumElements())
    return success();
  return op.emitOpError() << "WGT-C12: the view has "
                          << ShapedType::getNumElements(view.getSizes())
                          << " elements, the type "
                          << op.getArrayType().getNumElements();
}

LogicalResult WeightsOp::verify() {
  RankedTensorType type = getArrayType();
  if (!type.hasStaticShape() || type.getNumElements() == 0)
    return emitOpError() << "WGT-C5: type must have a static shape without "
                            "empty dimensions, not "
                         << type;
  if (!isa<CodesAttr, RealAttr, ThresholdsAttr, RatesAttr, CountRatesAttr>(
          getFormat()))
    return emitOpError() << "WGT-C6: format must be #spikequant.codes, "
                            "#spikequant.real, #spikequant.thresholds, "
                            "#spikequant.rates or #spikequant.count_rates, not "
                         << getFormat();
  if (isa<RatesAttr, CountRatesAttr>(getFormat()))
    return verifyRateArray(*this);
  if (isa<ThresholdsAttr>(getFormat()))
    return verifyThresholdArray(*this);
  bool isPacked = (*this)->hasAttr("spikequant.layout");
  if (!isPacked && getSource().has_value() == getValue().has_value())
    return emitOpError() << "WGT-C7: needs either a source or a literal value";
  if (failed(verifyPermutation(*this)) || failed(verifyView(*this)))
    return failure();
  if (getValue() && getValue()->getShapedType() != type)
    return emitOpError() << "WGT-C9: value has type "
                         << getValue()->getShapedType() << ", not " << type;
  if (isa<CodesAttr>(getFormat()) &&
      ((type.getRank() != 2 && type.getRank() != 3) ||
       !type.getElementType().isF32()))
    return emitOpError() << "WGT-C10: codes stand for a [N, K] array of f32 or "
                            "a stack [L, N, K], not "
                         << type;
  return success();
}

LogicalResult LoadWeightsOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findWeights(*this, tables, getWeightsAttr(), "LDW-C1");
  if (failed(weights))
    return failure();
  if (!isa<RealAttr, ThresholdsAttr, RatesAttr, CountRatesAttr>(
          weights->getFormat()))
    return emitOpError() << "LDW-C2: " << getWeightsAttr()
                         << " must have the format #spikequant.real; codes "
                            "are read by integrate, decode and lookup";
  auto type = cast<ShapedType>(getType());
  RankedTensorType declared = weights->getArrayType();
  if (type.getShape() != declared.getShape() ||
      type.getElementType() != declared.getElementType())
    return emitOpError() << "LDW-C3: " << getWeightsAttr() << " has type "
                         << declared << ", not " << type;
  return success();
}

LogicalResult LookupOp::verify() {
  RankedTensorType ids = getIds().getType();
  RankedTensorType result = getType();
  if (result.getRank() != ids.getRank() + 1 ||
      getRows(result) != ids.getShape())
    return emitOpError() << "LKP-C2: result must have one row of channels per "
                            "id of "
                         << ids << ", not " << result;
  if (result.getElementType().isInteger(32) != getRates().has_value())
    return emitOpError() << "LKP-C4: rates, and nothing else, make fixed-point "
                            "numbers of i32";
  return success();
}

LogicalResult LookupOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findCodes(*this, tables, getWeightsAttr(), "LKP-C1");
  if (failed(weights))
    return failure();
  if (weights->getArrayType().getRank() != 2)
    return emitOpError() << "LKP-C1: " << getWeightsAttr()
                         << " is a stack of weights; rows are read from one "
                            "matrix";
  int64_t channels = weights->getArrayType().getDimSize(1);
  if (getType().getShape().back() != channels)
    return emitOpError() << "LKP-C3: rows of " << getWeightsAttr() << " have "
                         << channels << " channels, those of the result "
                         << getType().getShape().back();
  return verifyLookupRates(*this, tables, *weights, getRatesAttr(), "LKP-C4");
}

//===----------------------------------------------------------------------===//
// Encode
//===----------------------------------------------------------------------===//

LogicalResult EncodeOp::verify() {
  RankedTensorType input = getInput().getType();
  if (input.getRank() == 0 || input.isDynamicDim(input.getRank() - 1) ||
      input.getShape() != getType().getShape())
    return emitOpError() << "ENC-C1: input and counts must have one shape with "
                            "a static last dimension, the channels";
  if (saturates() && !getBits())
    return emitOpError() << "ENC-C9: overflow = saturate needs bits, the "
                            "windows that counts saturate to";
  if (getRowScale() && getRowScale().getType().getShape() != getRows(input))
    return emitOpError() << "ENC-C2: row_scale must have one value per row of "
                         << input << ", not " << getRowScale().getType();
  if (failed(verifyEncodeForm(*this, input.getElementType(), getUnit(),
                              getRatesAttr(), getGains() || getCentres())))
    return failure();
  return verifyEncodeAttributes(*this, getStep(), getTolerance(), getSite());
}

LogicalResult EncodeOp::verifySymbolUses(SymbolTableCollection &tables) {
  if (failed(verifyCountRates(*this, tables, getRatesAttr(),
                              getInput().getType().getShape().back())))
    return failure();
  return verifyEncodeSymbols(*this, tables,
                             getInput().getType().getShape().back(),
                             getStep().convertToFloat(), getBitsAttr(),
                             getGainsAttr(), getCentresAttr());
}

int32_t EncodeOp::getReach() {
  return saturates() ? ::spikequant::maxCount
                     : static_cast<int32_t>(getTolerance());
}

/// A row scale of 1 multiplies exactly: it can go.
LogicalResult EncodeOp::canonicalize(EncodeOp op, PatternRewriter &rewriter) {
  if (!op.getRowScale() || !matchPattern(op.getRowScale(), m_OneFloat()))
    return failure();
  rewriter.modifyOpInPlace(op, [&] { op.getRowScaleMutable().clear(); });
  return success();
}

//===----------------------------------------------------------------------===//
// Integrate, decode
//===----------------------------------------------------------------------===//

LogicalResult IntegrateOp::verify() {
  RankedTensorType counts = getCounts().getType();
  if (counts.getRank() == 0 || counts.getRank() != getType().getRank() ||
      getRows(counts) != getRows(getType()))
    return emitOpError() << "INT-C1: counts " << counts << " and membrane "
                         << getType() << " must have the same rows";
  std::optional<uint64_t> bound = getBound();
  if (bound && static_cast<int64_t>(*bound) < 0)
    return emitOpError() << "INT-C3: bound must not be negative";
  if (getType().getElementType().isInteger(32) &&
      (!bound || *bound > std::numeric_limits<int32_t>::max()))
    return emitOpError() << "INT-C4: an i32 membrane needs a bound of at most "
                         << std::numeric_limits<int32_t>::max()
                         << " that proves it";
  return success();
}

LogicalResult IntegrateOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findCodes(*this, tables, getWeightsAttr(), "INT-C2");
  if (failed(weights))
    return failure();
  ArrayRef<int64_t> shape =
      weights->getArrayType().getShape().take_back(2); // [N, K]
  if (getCounts().getType().getShape().back() != shape[1] ||
      getType().getShape().back() != shape[0])
    return emitOpError() << "INT-C2: " << getWeightsAttr() << " has "
                         << shape[0] << " outputs and " << shape[1]
                         << " channels; counts are " << getCounts().getType()
                         << ", the membrane is " << getType();
  return verifyStackIndex(*this, *weights, getIndex(),
                          getRows(getCounts().getType()), "INT-C5");
}

LogicalResult DecodeOp::verify() {
  if (getMembrane().getType().getRank() == 0 ||
      getMembrane().getType().getShape() != getType().getShape())
    return emitOpError() << "DEC-C1: membrane and result must have one shape";
  return verifyStep(*this, getStep(), "DEC-C3");
}

LogicalResult DecodeOp::verifySymbolUses(SymbolTableCollection &tables) {
  FailureOr<WeightsOp> weights =
      findCodes(*this, tables, getWeightsAttr(), "DEC-C2");
  if (failed(weights))
    return failure();
  int64_t outputs = weights->getArrayType().getShape().drop_back().back();
  if (getType().getShape().back() != outputs)
    return emitOpError() << "DEC-C2: " << getWeightsAttr() << " has " << outputs
                         << " outputs, the membrane is "
                         << getMembrane().getType();
  return verifyStackIndex(*this, *weights, getIndex(), getRows(getType()),
                          "DEC-C4");
}

//===----------------------------------------------------------------------===//
// Fire
//===----------------------------------------------------------------------===//

StringRef mlir::spikequant::getSiteOfCounts(Value counts) {
  if (auto encode = counts.getDefiningOp<EncodeOp>())
    return encode.getSite();
  auto fire = counts.getDefiningOp<FireOp>();
  return fire ? fire.getSite().value_or("") : "";
}

/// Thresholds are given in one way; a window needs a site that counts what is
/// salient.
static LogicalResult verifyFireForm(FireOp op) {
  if (op.getThresholds() && !(op.getMultipliers().empty() &&
                              op.getBiases().empty() && op.getShift() == 0))
    return op.emitOpError() << "FIR-C6: thresholds stand for multipliers, "
                               "biases and shift";
  if (op.getBits() && !op.getSite())
    return op.emitOpError() << "FIR-C7: bits need a site";
  if ((op.getSite() && op.getSite()->empty()) || op.getTolerance() > 1)
    return op.emitOpError() << "FIR-C7: site must have a name, tolerance must "
                               "be 0 or 1";
  return success();
}

LogicalResult FireOp::verifySymbolUses(SymbolTableCollection &tables) {
  int64_t channels = getType().getShape().back();
  if (getBits() && failed(verifyEncodeSymbols(*this, tables, channels, 1.0f,
                                              getBitsAttr(), nullptr, nullptr)))
    return failure();
  if (!getThresholds())
    return success();
  FailureOr<WeightsOp> weights =
      findWeights(*this, tables, getThresholdsAttr(), "FIR-C6");
  if (failed(weights))
    return failure();
  auto format = dyn_cast<ThresholdsAttr>(weights->getFormat());
  if (format && weights->getArrayType().getDimSize(1) == channels &&
      format.getLo() == static_cast<int32_t>(getLo()) &&
      format.getHi() == static_cast<int32_t>(getHi()))
    return success();
  return emitOpError() << "FIR-C6: " << getThresholdsAttr() << " must be "
                       << "#spikequant.thresholds of " << channels
                       << " channels with the same lo and hi";
}

LogicalResult FireOp::verify() {
  RankedTensorType type = getMembrane().getType();
  if (type.getRank() == 0 || type.getShape() != getType().getShape())
    return emitOpError() << "FIR-C1: membrane and counts must have one shape";
  if (failed(verifyFireForm(*this)))
    return failure();
  int64_t channels = type.getShape().back();
  ArrayRef<int64_t> lists[] = {getMultipliers(), getBiases()};
  for (ArrayRef<int64_t> values :
       ArrayRef(lists).take_front(getThresholds() ? 0 : 2))
    if (values.size() != 1 && static_cast<int64_t>(values.size()) != channels)
      return emitOpError() << "FIR-C2: multipliers and biases need 1 or "
                           << channels << " values, not " << values.size();
  for (int64_t multiplier : getMultipliers())
    if (multiplier < 1 || multiplier > std::numeric_limits<int32_t>::max())
      return emitOpError() << "FIR-C3: multiplier must be 1 to "
                           << std::numeric_limits<int32_t>::max() << ", not "
                           << multiplier;
  if (static_cast<int32_t>(getShift()) < 0 ||
      static_cast<int32_t>(getShift()) > ::spikequant::maxFireShift)
    return emitOpError() << "FIR-C4: shift must be 0 to "
                         << ::spikequant::maxFireShift << ", not "
                         << static_cast<int32_t>(getShift());
  auto lo = static_cast<int32_t>(getLo());
  auto hi = static_cast<int32_t>(getHi());
  if (lo < -::spikequant::maxCount || hi > ::spikequant::maxCount || lo >= hi)
    return emitOpError() << "FIR-C5: needs " << -::spikequant::maxCount
                         << " <= lo < hi <= " << ::spikequant::maxCount
                         << ", not lo = " << lo << " and hi = " << hi;
  return success();
}

/// Counts of a constant membrane.
OpFoldResult FireOp::fold(FoldAdaptor adaptor) {
  // Larger arrays would only make the program text grow.
  constexpr int64_t maxElements = 1 << 16;
  auto membrane = dyn_cast_or_null<DenseIntElementsAttr>(adaptor.getMembrane());
  if (!membrane || getThresholds() || getBits() ||
      !getType().hasStaticShape() || getType().getNumElements() > maxElements)
    return {};
  ArrayRef<int64_t> multipliers = getMultipliers();
  ArrayRef<int64_t> biases = getBiases();
  int64_t channels = getType().getShape().back();
  SmallVector<int16_t> counts;
  for (auto [index, value] : llvm::enumerate(membrane.getValues<APInt>())) {
    size_t channel = index % channels;
    ::spikequant::FireThreshold threshold = {
        static_cast<int32_t>(
            multipliers[multipliers.size() == 1 ? 0 : channel]),
        biases[biases.size() == 1 ? 0 : channel],
        static_cast<int32_t>(getShift())};
    counts.push_back(::spikequant::fireCount(value.getSExtValue(), threshold,
                                             static_cast<int32_t>(getLo()),
                                             static_cast<int32_t>(getHi())));
  }
  return DenseElementsAttr::get(getType(), ArrayRef<int16_t>(counts));
}

LogicalResult ObserveOp::verify() {
  if (getSite().empty())
    return emitOpError() << "OBS-C1: site must have a name";
  if (cast<ShapedType>(getInput().getType()).getRank() == 0)
    return emitOpError() << "OBS-C2: input must have a last dimension, the "
                            "channels";
  return success();
}
