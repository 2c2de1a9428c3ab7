//===- SpikeQuantToVectorLoops.cpp - one kernel per shape and format ------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   spikequant.integrate_decode {weights = @up, step = 0.125 : f32}
//       ins(%d, %s, %o : ..) outs(%y : memref<128x1536xf32>)
//
// becomes
//
//   %codes = memref.view %weights_file[%c4096][] : .. to memref<442368xi8>
//   ..
//   call @sq_integrate_m128_n1536_k576_g32_c4(%d, %s, %o, %y, %codes, ..)
//
// and a private function, shared by all ops of the same shapes and format. What
// differs between layers (offsets in the packed file, steps, bounds) are the
// call's arguments.
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Conversion/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_CONVERTSPIKEQUANTTOVECTORLOOPS
#include "spikequant/Conversion/Passes.h.inc"

namespace {

/// Beyond this, a group's dot products might not fit i32.
constexpr int64_t kMaxInputChannels = 65536;

class Converter {
public:
  explicit Converter(ModuleOp module) : module(module), symbols(module) {}

  LogicalResult convert(EncodeSplitOp op);
  LogicalResult convert(IntegrateDecodeOp op);
  LogicalResult convert(LookupRowsOp op);
  LogicalResult convert(TallyOp op);

private:
  using Emit = function_ref<void(KernelBuilder &, Block::BlockArgListType)>;

  void call(Operation *op, StringRef name, ValueRange arguments, Emit emit);
  func::FuncOp getKernel(Location loc, StringRef name, TypeRange types,
                         Emit emit);
  FailureOr<Value> view(Operation *op, WeightsOp weights, StringRef blob,
                        ArrayRef<int64_t> shape, Type element);
  FailureOr<int64_t> layoutValue(Operation *op, WeightsOp weights,
                                 StringRef key);
  FailureOr<WeightsOp> findWeights(Operation *op, FlatSymbolRefAttr symbol);
  FailureOr<CodesShape> codesShape(Operation *op, WeightsOp weights);
  LogicalResult addCodes(Operation *op, WeightsOp weights,
                         const CodesShape &shape,
                         SmallVectorImpl<Value> &arguments);
  LogicalResult addChannelArray(Operation *op, std::optional<StringRef> symbol,
                                int64_t k, Type element,
                                SmallVectorImpl<Value> &arguments);
  FailureOr<WeightsOp> addRates(Operation *op, FlatSymbolRefAttr symbol,
                                int64_t channels,
                                SmallVectorImpl<Value> &arguments);
  FailureOr<Value> context(Operation *op, StringRef attribute);

  ModuleOp module;
  SymbolTable symbols;
  llvm::StringMap<func::FuncOp> kernels;
};

} // namespace

static MemRefType typeOf(Value value) {
  return cast<MemRefType>(value.getType());
}

static Value constantOf(OpBuilder &b, Location loc, TypedAttr value) {
  return arith::ConstantOp::create(b, loc, value);
}

/// The one operand that kernels read value by value: the rows' scales.
static bool isRowScale(Operation *op, Value operand) {
  auto encode = dyn_cast<EncodeSplitOp>(op);
  return encode && encode.getInputs().size() > 1 &&
         encode.getInputs()[1] == operand;
}

/// Static buffers whose rows are contiguous, or an error.
static LogicalResult verifyBuffers(Operation *op) {
  for (Value operand : op->getOperands()) {
    if (isa<IndexType>(operand.getType()))
      continue;
    auto type = dyn_cast<MemRefType>(operand.getType());
    if (!type)
      return op->emitError("has operands that are no buffers; run "
                           "one-shot-bufferize before this pass");
    int64_t offset;
    SmallVector<int64_t> strides;
    if (!type.hasStaticShape() ||
        failed(type.getStridesAndOffset(strides, offset)) ||
        (!strides.empty() && strides.back() != 1 && !isRowScale(op, operand)))
      return op->emitError("operand of type ")
             << type << " needs a static shape and contiguous rows";
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Kernels and their arguments
//===----------------------------------------------------------------------===//

func::FuncOp Converter::getKernel(Location loc, StringRef name, TypeRange types,
                                  Emit emit) {
  auto type = FunctionType::get(module.getContext(), types, {});
  std::string key;
  llvm::raw_string_ostream(key) << name << type;
  func::FuncOp &kernel = kernels[key];
  if (kernel)
    return kernel;
  kernel = func::FuncOp::create(loc, name, type);
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, UnitAttr::get(module.getContext()));
  symbols.insert(kernel);
  Block *body = kernel.addEntryBlock();
  KernelBuilder b(loc, OpBuilder::atBlockBegin(body));
  emit(b, body->getArguments());
  func::ReturnOp::create(b);
  return kernel;
}

void Converter::call(Operation *op, StringRef name, ValueRange arguments,
                     Emit emit) {
  func::FuncOp kernel =
      getKernel(op->getLoc(), name, arguments.getTypes(), emit);
  OpBuilder b(op);
  func::CallOp::create(b, op->getLoc(), kernel, arguments);
  op->erase();
}

FailureOr<Value> Converter::context(Operation *op, StringRef attribute) {
  auto function = op->getParentOfType<func::FuncOp>();
  Value argument = function ? getContextArgument(function, attribute) : Value();
  if (!argument)
    return op->emitError("is in a function without an argument marked '")
           << attribute << "'; add the graph's context before this pass";
  return argument;
}

FailureOr<WeightsOp> Converter::findWeights(Operation *op,
                                            FlatSymbolRefAttr symbol) {
  if (auto weights = symbols.lookup<WeightsOp>(symbol.getValue()))
    return weights;
  return op->emitError("refers to ")
         << symbol << ", which is no spikequant.weights";
}

FailureOr<int64_t> Converter::layoutValue(Operation *op, WeightsOp weights,
                                          StringRef key) {
  auto layout = weights->getAttrOfType<DictionaryAttr>(kLayoutAttr);
  auto value = layout ? layout.getAs<IntegerAttr>(key) : IntegerAttr();
  if (value)
    return value.getInt();
  InFlightDiagnostic error = op->emitError("needs weights whose place in the "
                                           "packed file is known");
  error.attachNote(weights.getLoc())
      << "these have no '" << key << "' in " << kLayoutAttr
      << "; pack the weights before this pass";
  return error;
}

FailureOr<Value> Converter::view(Operation *op, WeightsOp weights,
                                 StringRef blob, ArrayRef<int64_t> shape,
                                 Type element) {
  FailureOr<int64_t> offset = layoutValue(op, weights, blob);
  FailureOr<Value> file = context(op, kWeightsFileAttr);
  if (failed(offset) || failed(file))
    return failure();
  OpBuilder b(op);
  Value shift = constantOf(b, op->getLoc(), b.getIndexAttr(*offset));
  return memref::ViewOp::create(b, op->getLoc(),
                                MemRefType::get(shape, element), *file, shift,
                                ValueRange())
      .getResult();
}

FailureOr<CodesShape> Converter::codesShape(Operation *op, WeightsOp weights) {
  auto codes = dyn_cast<CodesAttr>(weights.getFormat());
  RankedTensorType type = weights.getArrayType();
  if (!codes || (type.getRank() != 2 && type.getRank() != 3)) {
    InFlightDiagnostic error = op->emitError("needs a matrix of codes");
    error.attachNote(weights.getLoc()) << "these weights are of another format";
    return error;
  }
  CodesShape shape;
  shape.n = type.getShape().drop_back().back();
  shape.k = type.getShape().back();
  shape.stack = type.getRank() == 3 ? type.getDimSize(0) : 0;
  bool wholeRow = codes.getGroup() == 0 || codes.getGroup() >= shape.k;
  shape.group = wholeRow ? shape.k : codes.getGroup();
  shape.container = std::max(codes.getBits(), 2u);
  FailureOr<int64_t> offsetBits = layoutValue(op, weights, "offset_bits");
  if (failed(offsetBits))
    return failure();
  shape.offsetBits = *offsetBits;
  if (shape.k > kMaxInputChannels)
    return op->emitError("has ")
           << shape.k << " input channels; the kernels sum at most "
           << kMaxInputChannels << " in 32 bits";
  return shape;
}

/// Appends codes and scales, in that order.
LogicalResult Converter::addCodes(Operation *op, WeightsOp weights,
                                  const CodesShape &shape,
                                  SmallVectorImpl<Value> &arguments) {
  Builder b(op->getContext());
  int64_t matrices = std::max<int64_t>(shape.stack, 1);
  struct Blob {
    StringRef name;
    SmallVector<int64_t> shape;
    Type element;
  };
  for (const Blob &blob :
       {Blob{"codes", {matrices * shape.codesBytes()}, b.getI8Type()},
        Blob{"scales", {matrices * shape.tiles() * kLanes}, b.getF32Type()}}) {
    FailureOr<Value> array =
        view(op, weights, blob.name, blob.shape, blob.element);
    if (failed(array))
      return failure();
    arguments.push_back(*array);
  }
  return success();
}

/// Three numbers of 32 bits per channel.
FailureOr<WeightsOp> Converter::addRates(Operation *op,
                                         FlatSymbolRefAttr symbol,
                                         int64_t channels,
                                         SmallVectorImpl<Value> &arguments) {
  FailureOr<WeightsOp> rates = findWeights(op, symbol);
  if (failed(rates))
    return failure();
  FailureOr<Value> array =
      view(op, *rates, "data", {3, channels}, OpBuilder(op).getI32Type());
  if (failed(array))
    return failure();
  arguments.push_back(*array);
  return rates;
}

/// Appends the array of K values behind an optional symbol.
LogicalResult Converter::addChannelArray(Operation *op,
                                         std::optional<StringRef> symbol,
                                         int64_t k, Type element,
                                         SmallVectorImpl<Value> &arguments) {
  if (!symbol)
    return success();
  FailureOr<WeightsOp> weights =
      findWeights(op, FlatSymbolRefAttr::get(op->getContext(), *symbol));
  if (failed(weights))
    return failure();
  RankedTensorType type = weights->getArrayType();
  if (type.getNumElements() != k || type.getElementType() != element)
    return op->emitError("needs ")
           << k << " values of type " << element << " in @" << *symbol
           << ", which is a " << type;
  FailureOr<Value> array = view(op, *weights, "data", {k}, element);
  if (failed(array))
    return failure();
  arguments.push_back(*array);
  return success();
}

//===----------------------------------------------------------------------===//
// One conversion per op
//===----------------------------------------------------------------------===//

LogicalResult Converter::convert(EncodeSplitOp op) {
  if (failed(verifyBuffers(op)))
    return failure();
  OpBuilder b(op);
  EncodeShape shape;
  shape.rows = typeOf(op.getInputs()[0]).getDimSize(0);
  shape.k = typeOf(op.getInputs()[0]).getDimSize(1);
  int64_t group = op.getGroup();
  shape.group = group == 0 || group >= shape.k ? shape.k : group;
  shape.tolerance = op.getTolerance();

  if (op.getUnit())
    shape.unitExponent = op.getUnit()->getExactLog2();

  SmallVector<Value> arguments(op.getInputs());
  llvm::append_range(arguments, op.getOutputs());
  Type f32 = b.getF32Type();
  if (failed(addChannelArray(op, op.getBits(), shape.k, b.getI8Type(),
                             arguments)) ||
      failed(addChannelArray(op, op.getGains(), shape.k, f32, arguments)) ||
      failed(addChannelArray(op, op.getCentres(), shape.k, f32, arguments)))
    return failure();
  arguments.push_back(constantOf(b, op.getLoc(), op.getStepAttr()));
  bool hasRates = op.getRates().has_value();
  if (hasRates) {
    FailureOr<WeightsOp> rates =
        addRates(op, op.getRatesAttr(), shape.k, arguments);
    if (failed(rates))
      return failure();
    shape.centred = static_cast<bool>(
        cast<CountRatesAttr>(rates->getFormat()).getCentres());
  }

  bool hasRowScale = op.getInputs().size() > 1;
  bool hasCounts = op.getOutputs().size() > 3;
  bool hasBits = op.getBits().has_value(), hasGains = op.getGains().has_value(),
       hasCentres = op.getCentres().has_value();
  std::string name;
  llvm::raw_string_ostream(name)
      << "sq_encode_m" << shape.rows << "_k" << shape.k << "_g" << shape.group
      << "_t" << shape.tolerance << (hasRowScale ? "_scaled" : "")
      << (hasCounts ? "_tapped" : "") << (hasBits ? "_bits" : "")
      << (hasGains ? "_gains" : "") << (hasCentres ? "_centres" : "");
  if (hasRates)
    llvm::raw_string_ostream(name) << "_grid" << (shape.centred ? "_z" : "")
                                   << "_e" << -shape.unitExponent;
  call(op, name, arguments, [&](KernelBuilder &b, auto values) {
    unsigned next = 0;
    auto take = [&](bool present) {
      return present ? Value(values[next++]) : Value();
    };
    EncodeArrays arrays;
    arrays.input = take(true);
    arrays.rowScale = take(hasRowScale);
    arrays.dense = take(true);
    arrays.sums = take(true);
    arrays.overflow = take(true);
    arrays.counts = take(hasCounts);
    arrays.bits = take(hasBits);
    arrays.gains = take(hasGains);
    arrays.centres = take(hasCentres);
    arrays.step = take(true);
    arrays.rates = take(hasRates);
    emitEncode(b, shape, arrays);
  });
  return success();
}

LogicalResult Converter::convert(IntegrateDecodeOp op) {
  FailureOr<WeightsOp> weights = findWeights(op, op.getWeightsAttr());
  if (failed(verifyBuffers(op)) || failed(weights))
    return failure();
  FailureOr<CodesShape> codes = codesShape(op, *weights);
  FailureOr<int64_t> rowSum = layoutValue(op, *weights, "max_row_sum");
  if (failed(codes) || failed(rowSum))
    return failure();
  OpBuilder b(op);
  IntegrateShape shape;
  Value index = op.getIndex();
  if (index && isa<MemRefType>(index.getType()))
    shape.slices = typeOf(index).getDimSize(0);
  shape.rows = typeOf(op.getOutputs()[0]).getDimSize(0) / shape.slices;
  shape.weights = *codes;
  // What 127 R leaves of the range of i32; negative if it does not fit at all.
  int64_t slack = std::numeric_limits<int32_t>::max() - 127 * *rowSum;
  shape.wide = slack < 0;

  SmallVector<Value> arguments(op.getInputs());
  llvm::append_range(arguments, op.getOutputs());
  if (failed(addCodes(op, *weights, *codes, arguments)))
    return failure();
  FailureOr<Value> columnMax =
      view(op, *weights, "column_max", {codes->k}, b.getI32Type());
  if (failed(columnMax))
    return failure();
  arguments.append({*columnMax,
                    constantOf(b, op.getLoc(), b.getI64IntegerAttr(slack)),
                    constantOf(b, op.getLoc(), op.getStepAttr())});
  if (index)
    arguments.push_back(index);

  bool hasMembrane = op.getOutputs().size() > 1;
  shape.decodes = !hasMembrane || !op->hasAttr(kUnreadAttr);
  std::string name;
  llvm::raw_string_ostream(name)
      << "sq_integrate_m" << shape.rows << "_n" << codes->n << "_k" << codes->k
      << "_g" << codes->group << "_c" << codes->container
      << (codes->offsetBits == 8 ? "_z" : "") << (shape.wide ? "_wide" : "")
      << (hasMembrane ? shape.decodes ? "_tapped" : "_membranes" : "");
  if (index)
    llvm::raw_string_ostream(name)
        << "_l" << codes->stack << "_p" << shape.slices;
  call(op, name, arguments, [&](KernelBuilder &b, auto values) {
    unsigned i = hasMembrane ? 5 : 4;
    IntegrateArrays arrays{values[0],
                           values[1],
                           values[2],
                           index ? Value(values[i + 5]) : Value(),
                           values[3],
                           hasMembrane ? Value(values[4]) : Value(),
                           {values[i], values[i + 1]},
                           values[i + 2],
                           values[i + 3],
                           values[i + 4]};
    emitIntegrate(b, shape, arrays);
  });
  return success();
}

LogicalResult Converter::convert(LookupRowsOp op) {
  FailureOr<WeightsOp> weights = findWeights(op, op.getWeightsAttr());
  if (failed(verifyBuffers(op)) || failed(weights))
    return failure();
  FailureOr<CodesShape> shape = codesShape(op, *weights);
  if (failed(shape))
    return failure();
  int64_t rows = typeOf(op.getInputs()[0]).getDimSize(0);
  SmallVector<Value> arguments = {op.getInputs()[0], op.getOutputs()[0]};
  if (failed(addCodes(op, *weights, *shape, arguments)))
    return failure();
  bool hasRates = op.getRates().has_value();
  if (hasRates && failed(addRates(op, op.getRatesAttr(), shape->n, arguments)))
    return failure();
  std::string name;
  llvm::raw_string_ostream(name)
      << "sq_lookup_m" << rows << "_n" << shape->n << "_k" << shape->k << "_g"
      << shape->group << "_c" << shape->container
      << (shape->offsetBits == 8 ? "_z" : "") << (hasRates ? "_grid" : "");
  call(op, name, arguments, [&](KernelBuilder &b, auto values) {
    CodesArrays arrays{values[2], values[3]};
    emitLookup(b, rows, *shape, arrays, values[0], values[1],
               hasRates ? values[4] : Value());
  });
  return success();
}

LogicalResult Converter::convert(TallyOp op) {
  FailureOr<Value> counters = context(op, kSalientAttr);
  if (failed(verifyBuffers(op)) || failed(counters))
    return failure();
  int64_t site =
      getSiteIndex(op->getParentOfType<func::FuncOp>(), op.getSite());
  if (site < 0)
    return op->emitError("site \"")
           << op.getSite() << "\" is not in the function's " << kSitesAttr;
  OpBuilder b(op);
  Value index = constantOf(b, op.getLoc(), b.getIndexAttr(site));
  int64_t rows = typeOf(op.getOverflow()).getDimSize(0);
  call(op, ("sq_tally_m" + Twine(rows)).str(),
       {op.getOverflow(), *counters, index},
       [&](KernelBuilder &b, auto values) {
         emitTally(b, rows, values[0], values[1], values[2]);
       });
  return success();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct ConvertSpikeQuantToVectorLoopsPass
    : impl::ConvertSpikeQuantToVectorLoopsBase<
          ConvertSpikeQuantToVectorLoopsPass> {
  void runOnOperation() override {
    Converter converter(getOperation());
    SmallVector<Operation *> ops;
    getOperation().walk([&](Operation *op) {
      if (isa<EncodeSplitOp, IntegrateDecodeOp, LookupRowsOp, TallyOp>(op))
        ops.push_back(op);
    });
    bool failedAny = false;
    for (Operation *op : ops)
      failedAny |= failed(
          TypeSwitch<Operation *, LogicalResult>(op)
              .Case<EncodeSplitOp, IntegrateDecodeOp, LookupRowsOp, TallyOp>(
                  [&](auto op) { return converter.convert(op); }));
    if (failedAny)
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::spikequant
