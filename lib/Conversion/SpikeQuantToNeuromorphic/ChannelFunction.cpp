//===- ChannelFunction.cpp - what stands between two layers ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Walks from an encode's input up to a decode through elementwise operations
// with constants. A value on the way is a tensor, or a scalar of a linalg body;
// a constant is one number per channel (the last dimension), or one for all.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/SelectLayers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

double ClampedLine::evaluate(double y) const {
  return std::min(std::max(scale * y + bias, low), high);
}

float ChannelFunction::evaluate(int64_t channel, float y) const {
  for (const ChannelStep &step : steps) {
    float c = step.constantOf(channel);
    switch (step.kind) {
    case ChannelStep::Kind::Add:
      y = y + c;
      break;
    case ChannelStep::Kind::Multiply:
      y = y * c;
      break;
    case ChannelStep::Kind::Divide:
      y = y / c;
      break;
    case ChannelStep::Kind::Max:
      y = std::max(y, c);
      break;
    case ChannelStep::Kind::Min:
      y = std::min(y, c);
      break;
    }
  }
  return y;
}

/// Scales everything; a negative factor exchanges the limits.
static void scaleLine(ClampedLine &line, double factor) {
  for (double *value : {&line.scale, &line.bias, &line.low, &line.high})
    *value *= factor;
  if (factor < 0)
    std::swap(line.low, line.high);
}

static void shiftLine(ClampedLine &line, double offset) {
  for (double *value : {&line.bias, &line.low, &line.high})
    *value += offset;
}

ClampedLine ChannelFunction::lineOf(int64_t channel) const {
  ClampedLine line;
  for (const ChannelStep &step : steps) {
    double c = step.constantOf(channel);
    switch (step.kind) {
    case ChannelStep::Kind::Add:
      shiftLine(line, c);
      break;
    case ChannelStep::Kind::Multiply:
      scaleLine(line, c);
      break;
    case ChannelStep::Kind::Divide:
      scaleLine(line, 1 / c);
      break;
    case ChannelStep::Kind::Max:
      line.low = std::max(line.low, c);
      line.high = std::max(line.high, c);
      break;
    case ChannelStep::Kind::Min:
      line.low = std::min(line.low, c);
      line.high = std::min(line.high, c);
      break;
    }
  }
  return line;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

using Constants = std::optional<SmallVector<float>>;

static int64_t channelsOf(ShapedType type) {
  return type.getRank() ? type.getShape().back() : 1;
}

/// Values of an array that differs along its last dimension at most.
static Constants perChannel(ShapedType type, ArrayRef<float> values) {
  if (llvm::all_equal(values) && !values.empty())
    return SmallVector<float>{values.front()};
  if (int64_t(values.size()) == channelsOf(type))
    return SmallVector<float>(values);
  return std::nullopt;
}

static Constants readAttribute(Attribute value) {
  if (auto number = dyn_cast<FloatAttr>(value))
    if (number.getType().isF32())
      return SmallVector<float>{number.getValue().convertToFloat()};
  auto elements = dyn_cast<DenseElementsAttr>(value);
  if (!elements || !elements.getElementType().isF32())
    return std::nullopt;
  if (elements.isSplat())
    return SmallVector<float>{elements.getSplatValue<float>()};
  return perChannel(elements.getType(),
                    llvm::to_vector(elements.getValues<float>()));
}

static Constants readWeights(LoadWeightsOp op, const sq::PackedFile *packed) {
  auto symbol =
      SymbolTable::lookupNearestSymbolFrom<WeightsOp>(op, op.getWeightsAttr());
  if (!symbol || !symbol.getArrayType().getElementType().isF32())
    return std::nullopt;
  if (symbol.getValue())
    return readAttribute(*symbol.getValue());
  const sq::PackedEntry *entry =
      packed ? packed->find(symbol.getSymName()) : nullptr;
  if (!entry || entry->kind != sq::PackedEntry::Kind::Raw ||
      entry->type != "f32" ||
      ArrayRef<int64_t>(entry->shape) != symbol.getArrayType().getShape())
    return std::nullopt;
  ArrayRef<uint8_t> bytes = packed->bytes(entry->raw);
  return perChannel(symbol.getArrayType(),
                    ArrayRef(reinterpret_cast<const float *>(bytes.data()),
                             bytes.size() / sizeof(float)));
}

//===----------------------------------------------------------------------===//
// The walk
//===----------------------------------------------------------------------===//

namespace {
class Tracer {
public:
  Tracer(StringRef user, const sq::PackedFile *packed,
         ChannelFunction &function)
      : user(user), packed(packed), function(function) {}

  FailureOr<DecodeOp> trace(Value value);

private:
  Constants readConstant(Value value);
  Constants foldConstants(Operation *op);
  FailureOr<DecodeOp> traceBinary(Operation *op);
  FailureOr<DecodeOp> traceSelect(arith::SelectOp op);
  FailureOr<DecodeOp> traceBody(linalg::GenericOp op);
  FailureOr<DecodeOp> refuse(Operation *op, const Twine &why) {
    return op->emitError()
           << "SEL-C6: before '" << user << "' stands " << why
           << "; between two layers of a chain there may be additions of "
              "constants, multiplications by them and clamps such as ReLU: "
              "select the layers one at a time";
  }

  StringRef user;
  const sq::PackedFile *packed;
  ChannelFunction &function;
};
} // namespace

/// The operand of the linalg operation that an argument of its body stands
/// for; null for destinations.
static OpOperand *operandOf(BlockArgument argument) {
  auto generic =
      dyn_cast<linalg::GenericOp>(argument.getOwner()->getParentOp());
  if (!generic || int64_t(argument.getArgNumber()) >= generic.getNumDpsInputs())
    return nullptr;
  return generic.getDpsInputOperand(argument.getArgNumber());
}

/// Whether the last loop of a linalg operation runs along the last dimension of
/// this operand (or the operand is the same everywhere).
static bool alongChannels(linalg::GenericOp generic, OpOperand *operand) {
  AffineMap map = generic.getMatchingIndexingMap(operand);
  auto type = dyn_cast<ShapedType>(operand->get().getType());
  if (!type || type.getNumElements() == 1)
    return true;
  auto last = dyn_cast<AffineDimExpr>(map.getResults().back());
  return last && last.getPosition() == generic.getNumLoops() - 1;
}

static bool keepsChannels(Value from, Value to) {
  auto source = cast<ShapedType>(from.getType());
  return source.getNumElements() == 1 ||
         channelsOf(source) == channelsOf(cast<ShapedType>(to.getType()));
}

/// The operation on constants, as the program computes it.
static std::optional<float> foldScalar(Operation *op, float a, float b) {
  return llvm::TypeSwitch<Operation *, std::optional<float>>(op)
      .Case([&](arith::AddFOp) { return a + b; })
      .Case([&](arith::SubFOp) { return a - b; })
      .Case([&](arith::MulFOp) { return a * b; })
      .Case([&](arith::DivFOp) { return a / b; })
      .Case<arith::MaximumFOp, arith::MaxNumFOp>(
          [&](auto) { return std::max(a, b); })
      .Case<arith::MinimumFOp, arith::MinNumFOp>(
          [&](auto) { return std::min(a, b); })
      .Case([&](arith::NegFOp) { return -a; })
      .Case([&](math::AbsFOp) { return std::abs(a); })
      .Case([&](math::SqrtOp) { return std::sqrt(a); })
      .Default([](Operation *) { return std::nullopt; });
}

/// An expression of constants, such as the scale of a batch normalisation.
Constants Tracer::foldConstants(Operation *op) {
  if (op->getNumOperands() < 1 || op->getNumOperands() > 2 ||
      !foldScalar(op, 1.0f, 1.0f))
    return std::nullopt;
  Constants first = readConstant(op->getOperand(0));
  Constants second = readConstant(op->getOperands().back());
  if (!first || !second)
    return std::nullopt;
  SmallVector<float> result(std::max(first->size(), second->size()));
  for (auto [i, value] : llvm::enumerate(result))
    value = *foldScalar(op, (*first)[first->size() == 1 ? 0 : i],
                        (*second)[second->size() == 1 ? 0 : i]);
  return result;
}

Constants Tracer::readConstant(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    OpOperand *operand = operandOf(argument);
    if (!operand ||
        !alongChannels(cast<linalg::GenericOp>(operand->getOwner()), operand))
      return std::nullopt;
    return readConstant(operand->get());
  }
  Operation *op = value.getDefiningOp();
  Attribute attribute;
  if (matchPattern(op, m_Constant(&attribute)))
    return readAttribute(attribute);
  if (auto load = dyn_cast<LoadWeightsOp>(op))
    return readWeights(load, packed);
  if (auto fill = dyn_cast<linalg::FillOp>(op))
    return readConstant(fill.getInputs().front());
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op) &&
      keepsChannels(op->getOperand(0), value))
    return readConstant(op->getOperand(0));
  if (auto broadcast = dyn_cast<linalg::BroadcastOp>(op))
    if (auto type = cast<ShapedType>(value.getType());
        !llvm::is_contained(broadcast.getDimensions(), type.getRank() - 1))
      return readConstant(broadcast.getInput());
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic)
    return foldConstants(op);
  if (generic.getNumParallelLoops() != generic.getNumLoops() ||
      !generic.getIndexingMapsArray().back().isIdentity())
    return std::nullopt;
  return readConstant(generic.getBody()->getTerminator()->getOperand(0));
}

/// The steps that `op` is when `constants` are its second operand (or its first
/// one, if `reversed`); none if it is not taken. A difference and a negation
/// are exact in this form.
static SmallVector<ChannelStep>
stepsOf(Operation *op, SmallVector<float> constants, bool reversed) {
  using Kind = ChannelStep::Kind;
  if (isa<arith::SubFOp>(op) && reversed)
    return {{Kind::Multiply, {-1.0f}}, {Kind::Add, constants}};
  if (isa<arith::SubFOp>(op))
    for (float &c : constants)
      c = -c;
  if (isa<arith::AddFOp, arith::SubFOp>(op))
    return {{Kind::Add, constants}};
  if (isa<arith::DivFOp>(op) && !reversed)
    return {{Kind::Divide, constants}};
  if (isa<arith::MulFOp>(op))
    return {{Kind::Multiply, constants}};
  if (isa<arith::MaximumFOp, arith::MaxNumFOp>(op))
    return {{Kind::Max, constants}};
  if (isa<arith::MinimumFOp, arith::MinNumFOp>(op))
    return {{Kind::Min, constants}};
  return {};
}

FailureOr<DecodeOp> Tracer::traceBinary(Operation *op) {
  for (bool reversed : {false, true}) {
    Constants constants = readConstant(op->getOperand(reversed ? 0 : 1));
    if (!constants)
      continue;
    SmallVector<ChannelStep> steps = stepsOf(op, *constants, reversed);
    if (steps.empty())
      return refuse(op, "'" + op->getName().getStringRef() + "'");
    FailureOr<DecodeOp> decode = trace(op->getOperand(reversed ? 1 : 0));
    if (succeeded(decode))
      llvm::append_range(function.steps, steps);
    return decode;
  }
  return refuse(op, "'" + op->getName().getStringRef() +
                        "' without an operand that is one constant per "
                        "channel");
}

/// x > c ? x : c, ReLU's other spelling.
FailureOr<DecodeOp> Tracer::traceSelect(arith::SelectOp op) {
  auto compare = op.getCondition().getDefiningOp<arith::CmpFOp>();
  using Predicate = arith::CmpFPredicate;
  bool above = compare && llvm::is_contained({Predicate::OGT, Predicate::OGE,
                                              Predicate::UGT, Predicate::UGE},
                                             compare.getPredicate());
  if (!above || compare.getLhs() != op.getTrueValue())
    return refuse(op, "a selection that is no maximum with a constant");
  Constants bound = readConstant(compare.getRhs());
  Constants otherwise = readConstant(op.getFalseValue());
  if (!bound || !otherwise || *bound != *otherwise)
    return refuse(op, "a selection that is no maximum with a constant");
  FailureOr<DecodeOp> decode = trace(op.getTrueValue());
  if (succeeded(decode))
    function.steps.push_back({ChannelStep::Kind::Max, *bound});
  return decode;
}

FailureOr<DecodeOp> Tracer::traceBody(linalg::GenericOp op) {
  bool elementwise = op.getNumParallelLoops() == op.getNumLoops() &&
                     op->getNumResults() == 1 &&
                     op.getIndexingMapsArray().back().isIdentity();
  if (!elementwise)
    return refuse(op, "a reduction or a permutation");
  return trace(op.getBody()->getTerminator()->getOperand(0));
}

FailureOr<DecodeOp> Tracer::trace(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    OpOperand *operand = operandOf(argument);
    if (!operand)
      return refuse(argument.getOwner()->getParentOp(),
                    "an argument, no layer");
    auto generic = cast<linalg::GenericOp>(operand->getOwner());
    if (!generic.getMatchingIndexingMap(operand).isIdentity())
      return refuse(generic, "a value that is permuted or repeated");
    return trace(operand->get());
  }
  Operation *op = value.getDefiningOp();
  if (auto decode = dyn_cast<DecodeOp>(op))
    return decode;
  if (auto generic = dyn_cast<linalg::GenericOp>(op))
    return traceBody(generic);
  if (auto select = dyn_cast<arith::SelectOp>(op))
    return traceSelect(select);
  if (isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp>(op) &&
      keepsChannels(op->getOperand(0), value))
    return trace(op->getOperand(0));
  if (auto negation = dyn_cast<arith::NegFOp>(op)) {
    FailureOr<DecodeOp> decode = trace(negation.getOperand());
    if (succeeded(decode))
      function.steps.push_back({ChannelStep::Kind::Multiply, {-1.0f}});
    return decode;
  }
  if (op->getNumOperands() == 2 && op->getNumResults() == 1)
    return traceBinary(op);
  return refuse(op, "'" + op->getName().getStringRef() + "'");
}

FailureOr<DecodeOp>
mlir::spikequant::traceToDecode(Value value, StringRef user,
                                const sq::PackedFile *packed,
                                ChannelFunction &function) {
  return Tracer(user, packed, function).trace(value);
}
