//===- SpikeQuantToReference.cpp - operations to their definitions -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   %n = spikequant.encode %x .. : tensor<2x8xf32> -> tensor<2x8xi16>
// becomes
//   %a = memref.alloc() : memref<2x8xi16>
//   func.call @sq_ref_encode(address of %x, .., address of %a, ..)
//   %n = bufferization.to_tensor %a restrict writable
//
//===----------------------------------------------------------------------===//

#include "ReferenceLowering.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Conversion/Passes.h"
#include "spikequant/Kernel/PackedCodes.h"
#include "spikequant/Runtime/ElementType.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_CONVERTSPIKEQUANTTOREFERENCE
#include "spikequant/Conversion/Passes.h.inc"

namespace {

/// An array seen as [rows, last dimension].
struct Matrix {
  int64_t rows, channels;
  explicit Matrix(Value value) {
    auto type = cast<ShapedType>(value.getType());
    channels = type.getRank() ? type.getShape().back() : 1;
    rows = channels ? type.getNumElements() / channels : 0;
  }
};

LogicalResult verifyStatic(Operation *op) {
  auto isStatic = [](Value value) {
    auto type = dyn_cast<ShapedType>(value.getType());
    return !type || type.hasStaticShape();
  };
  if (llvm::all_of(op->getOperands(), isStatic) &&
      llvm::all_of(op->getResults(), isStatic))
    return success();
  return op->emitOpError("has a shape that is not known; the reference needs "
                         "static shapes");
}

class Lowering {
public:
  Lowering(ModuleOp module, bool spikePlanes)
      : calls(module), spikePlanes(spikePlanes) {}

  LogicalResult lower(Operation *op) {
    if (failed(verifyStatic(op)))
      return failure();
    calls.setInsertionPoint(op);
    return llvm::TypeSwitch<Operation *, LogicalResult>(op)
        .Case<EncodeOp, IntegrateOp, FireOp, GridOp, ScaleRowsOp, TableOp,
              ExponentOp, DecodeOp, LookupOp, ObserveOp>(
            [&](auto concrete) { return lowerOp(concrete); })
        .Default([](Operation *other) {
          return other->emitOpError(
              "is not part of the reference program, which starts from "
              "encode, integrate, fire, decode and lookup on tensors");
        });
  }

private:
  LogicalResult lowerOp(EncodeOp op);
  LogicalResult lowerOp(IntegrateOp op);
  LogicalResult lowerOp(FireOp op);
  LogicalResult lowerOp(GridOp op);
  LogicalResult lowerOp(ScaleRowsOp op);
  LogicalResult lowerOp(TableOp op);
  LogicalResult lowerOp(ExponentOp op);
  LogicalResult lowerOp(DecodeOp op);
  LogicalResult lowerOp(LookupOp op);
  LogicalResult lowerOp(ObserveOp op);

  /// The codes of `op` and where their parts lie.
  struct Codes {
    Value start, container, offsetBits, group, n, k;
  };
  FailureOr<Codes> getCodes(Operation *op, FlatSymbolRefAttr weights);
  void addStack(FlatSymbolRefAttr weights, Value index,
                SmallVectorImpl<Value> &arguments);
  Value toI64(Value membrane);
  void replace(Operation *op, const ReferenceCalls::Result &result,
               Type wanted);

  ReferenceCalls calls;
  bool spikePlanes; ///< Integrate without a multiplication.
};

LogicalResult Lowering::lowerOp(EncodeOp op) {
  Matrix x(op.getInput());
  ReferenceCalls::Result counts = calls.allocate(op.getType());
  Value rowScale =
      op.getRowScale() ? calls.address(op.getRowScale()) : calls.null();
  if (op.isInteger()) {
    Value rates = calls.address(op, calls.lookup(op.getRatesAttr()), "data");
    if (!rates)
      return failure();
    calls.call("sq_ref_encode_grid",
               {calls.address(op.getInput()), rowScale, calls.number(x.rows),
                calls.number(x.channels),
                calls.number(op.getUnit()->getExactLog2(), 32), rates,
                calls.address(op.getBitsAttr()),
                calls.number(op.getReach(), 32), counts.address});
    replace(op, counts, op.getType());
    return success();
  }
  calls.call("sq_ref_encode",
             {calls.address(op.getInput()), rowScale, calls.number(x.rows),
              calls.number(x.channels), calls.number(op.getStep()),
              calls.address(op.getGainsAttr()),
              calls.address(op.getCentresAttr()),
              calls.address(op.getBitsAttr()), calls.number(op.getReach(), 32),
              counts.address, calls.null()});
  replace(op, counts, op.getType());
  return success();
}

FailureOr<Lowering::Codes> Lowering::getCodes(Operation *op,
                                              FlatSymbolRefAttr symbol) {
  WeightsOp weights = calls.lookup(symbol);
  auto format = dyn_cast<CodesAttr>(weights.getFormat());
  if (!format)
    return op->emitOpError("needs weights of format codes, but '")
           << weights.getSymName() << "' has " << weights.getFormat();
  // Of one matrix.
  ArrayRef<int64_t> shape = weights.getArrayType().getShape().take_back(2);
  Codes codes;
  codes.start = calls.address(op, weights, "codes");
  if (!codes.start)
    return failure();
  auto layout = weights->getAttrOfType<DictionaryAttr>(kLayoutAttr);
  codes.container = calls.number(std::max(format.getBits(), 2u), 32);
  codes.offsetBits =
      calls.number(layout.getAs<IntegerAttr>("offset_bits").getInt(), 32);
  codes.group = calls.number(format.getGroup() ? format.getGroup() : shape[1]);
  codes.n = calls.number(shape[0]);
  codes.k = calls.number(shape[1]);
  return codes;
}

/// Appends the number of matrices, the numbers that choose them, and the number
/// of those.
void Lowering::addStack(FlatSymbolRefAttr weights, Value index,
                        SmallVectorImpl<Value> &arguments) {
  OpBuilder &b = calls.builder();
  Location loc = index.getLoc();
  if (!isa<RankedTensorType>(index.getType())) {
    // Far-off numbers must not wrap when they become i32.
    Type i64 = b.getI64Type();
    Value wide = arith::IndexCastOp::create(b, loc, i64, index);
    wide = arith::MaxSIOp::create(b, loc, wide, calls.number(-1));
    wide = arith::MinSIOp::create(
        b, loc, wide, calls.number(std::numeric_limits<int32_t>::max()));
    Value number = arith::TruncIOp::create(b, loc, b.getI32Type(), wide);
    index = tensor::FromElementsOp::create(b, loc, number);
  }
  arguments.push_back(
      calls.number(calls.lookup(weights).getArrayType().getDimSize(0)));
  arguments.push_back(calls.address(index));
  arguments.push_back(
      calls.number(cast<RankedTensorType>(index.getType()).getDimSize(0)));
}

LogicalResult Lowering::lowerOp(IntegrateOp op) {
  FailureOr<Codes> codes = getCodes(op, op.getWeightsAttr());
  if (failed(codes))
    return failure();
  auto type = cast<RankedTensorType>(op.getType());
  ReferenceCalls::Result acc =
      calls.allocate(type.clone(calls.builder().getI64Type()));
  SmallVector<Value> arguments = {calls.address(op.getCounts()),
                                  calls.number(Matrix(op.getCounts()).rows),
                                  codes->k,
                                  codes->start,
                                  calls.number(0),
                                  codes->container,
                                  codes->offsetBits,
                                  codes->group,
                                  codes->n};
  if (op.getIndex())
    addStack(op.getWeightsAttr(), op.getIndex(), arguments);
  arguments.push_back(acc.address);
  std::string name = "sq_ref_integrate";
  name += op.getIndex() ? "_stack" : "";
  name += spikePlanes ? "_planes" : "";
  calls.call(name, arguments);
  replace(op, acc, type);
  return success();
}

LogicalResult Lowering::lowerOp(FireOp op) {
  Matrix acc(op.getMembrane());
  Builder &b = calls.builder();
  auto expand = [&](ArrayRef<int64_t> values, Type element) {
    SmallVector<APInt> all;
    for (int64_t i = 0; i < acc.channels; ++i)
      all.emplace_back(element.getIntOrFloatBitWidth(),
                       values[values.size() == 1 ? 0 : i], /*isSigned=*/true);
    return calls.address(DenseElementsAttr::get(
        RankedTensorType::get({acc.channels}, element), all));
  };
  ReferenceCalls::Result counts = calls.allocate(op.getType());
  Value membrane = calls.address(toI64(op.getMembrane()));
  Value rows = calls.number(acc.rows), channels = calls.number(acc.channels);
  Value lo = calls.number(static_cast<int32_t>(op.getLo()), 32);
  Value hi = calls.number(static_cast<int32_t>(op.getHi()), 32);
  if (op.getThresholds()) {
    Value table =
        calls.address(op, calls.lookup(op.getThresholdsAttr()), "data");
    if (!table)
      return failure();
    calls.call("sq_ref_fire_table",
               {membrane, rows, channels, table, lo, hi, counts.address});
  } else {
    Value multipliers = expand(op.getMultipliers(), b.getI32Type());
    Value biases = expand(op.getBiases(), b.getI64Type());
    calls.call("sq_ref_fire",
               {membrane, rows, channels, multipliers, biases,
                calls.number(op.getShift(), 32), lo, hi, counts.address});
  }
  if (op.getBits())
    calls.call("sq_ref_window",
               {counts.address, rows, channels, calls.address(op.getBitsAttr()),
                calls.number(static_cast<int32_t>(op.getTolerance()), 32)});
  replace(op, counts, op.getType());
  return success();
}

LogicalResult Lowering::lowerOp(GridOp op) {
  Matrix acc(op.getMembrane());
  Value rates = calls.address(op, calls.lookup(op.getRatesAttr()), "data");
  if (!rates)
    return failure();
  ReferenceCalls::Result y = calls.allocate(op.getType());
  calls.call("sq_ref_grid",
             {calls.address(toI64(op.getMembrane())), calls.number(acc.rows),
              calls.number(acc.channels), rates, y.address});
  replace(op, y, op.getType());
  return success();
}

LogicalResult Lowering::lowerOp(ScaleRowsOp op) {
  Matrix x(op.getInput());
  ReferenceCalls::Result y = calls.allocate(op.getType());
  calls.call("sq_ref_scale_rows",
             {calls.address(op.getInput()), calls.address(op.getRowScale()),
              calls.number(x.rows), calls.number(x.channels),
              calls.number(op.getUnit().getExactLog2(), 32), y.address});
  replace(op, y, op.getType());
  return success();
}

LogicalResult Lowering::lowerOp(TableOp op) {
  ReferenceCalls::Result y = calls.allocate(op.getType());
  int64_t size = calls.lookup(op.getTableAttr()).getArrayType().getDimSize(0);
  auto narrow = [&](uint32_t value) {
    return calls.number(static_cast<int32_t>(value), 32);
  };
  calls.call("sq_ref_table",
             {calls.address(op.getInput()),
              calls.number(op.getType().getNumElements()),
              calls.address(op.getTableAttr()), calls.number(size),
              narrow(op.getLo()), narrow(op.getLowSlope()),
              narrow(op.getHighSlope()), y.address});
  replace(op, y, op.getType());
  return success();
}

LogicalResult Lowering::lowerOp(ExponentOp op) {
  Matrix scores(op.getScores());
  Builder &b = calls.builder();
  ReferenceCalls::Result counts = calls.allocate(op.getType());
  SmallVector<int32_t> multipliers(op.getMultipliers().begin(),
                                   op.getMultipliers().end());
  auto heads = static_cast<int64_t>(multipliers.size());
  Value table = calls.address(cast<DenseElementsAttr>(DenseIntElementsAttr::get(
      RankedTensorType::get({heads}, b.getI32Type()), multipliers)));
  auto narrow = [&](uint32_t value) {
    return calls.number(static_cast<int32_t>(value), 32);
  };
  calls.call("sq_ref_exponent",
             {calls.address(op.getScores()), calls.address(op.getMaximum()),
              calls.number(scores.rows), calls.number(scores.channels), table,
              calls.number(heads), calls.address(op.getOffsetsAttr()),
              narrow(op.getLargest()), narrow(op.getPreshift()),
              narrow(op.getShift()), counts.address});
  replace(op, counts, op.getType());
  return success();
}

LogicalResult Lowering::lowerOp(DecodeOp op) {
  Matrix acc(op.getMembrane());
  Value scales = calls.address(op, calls.lookup(op.getWeightsAttr()), "scales");
  if (!scales)
    return failure();
  ReferenceCalls::Result y = calls.allocate(op.getType());
  SmallVector<Value> arguments = {
      calls.address(toI64(op.getMembrane())), calls.number(acc.rows),
      calls.number(acc.channels), calls.number(op.getStep()), scales};
  if (op.getIndex())
    addStack(op.getWeightsAttr(), op.getIndex(), arguments);
  arguments.push_back(y.address);
  calls.call(op.getIndex() ? "sq_ref_decode_stack" : "sq_ref_decode",
             arguments);
  replace(op, y, op.getType());
  return success();
}

LogicalResult Lowering::lowerOp(LookupOp op) {
  FailureOr<Codes> codes = getCodes(op, op.getWeightsAttr());
  if (failed(codes))
    return failure();
  auto layout = calls.lookup(op.getWeightsAttr())
                    ->getAttrOfType<DictionaryAttr>(kLayoutAttr);
  int64_t scales = layout.getAs<IntegerAttr>("scales").getInt() -
                   layout.getAs<IntegerAttr>("codes").getInt();
  Value ids = op.getIds();
  if (!getElementTypeOrSelf(ids).isInteger(32))
    return op.emitOpError("needs ids of type i32 in the reference");
  ReferenceCalls::Result y = calls.allocate(op.getType());
  if (op.getRates()) {
    Value rates = calls.address(op, calls.lookup(op.getRatesAttr()), "data");
    if (!rates)
      return failure();
    calls.call("sq_ref_lookup_grid",
               {calls.address(ids),
                calls.number(cast<ShapedType>(ids.getType()).getNumElements()),
                codes->start, calls.number(0), codes->container,
                codes->offsetBits, codes->group, codes->n, codes->k, rates,
                y.address});
    replace(op, y, op.getType());
    return success();
  }
  calls.call("sq_ref_lookup",
             {calls.address(ids),
              calls.number(cast<ShapedType>(ids.getType()).getNumElements()),
              codes->start, calls.number(0), calls.number(scales),
              codes->container, codes->offsetBits, codes->group, codes->n,
              codes->k, y.address});
  replace(op, y, op.getType());
  return success();
}

LogicalResult Lowering::lowerOp(ObserveOp op) {
  Matrix array(op.getInput());
  std::optional<int32_t> element =
      getElementCode(getElementTypeOrSelf(op.getInput()));
  if (!element)
    return op.emitOpError("shows an array of a type that cannot be recorded");
  int64_t site =
      getSiteIndex(op->getParentOfType<func::FuncOp>(), op.getSite());
  calls.call("sq_ref_observe",
             {calls.number(site), calls.address(op.getInput()),
              calls.number(*element, 32), calls.number(array.rows),
              calls.number(array.channels)});
  op.erase();
  return success();
}

Value Lowering::toI64(Value membrane) {
  auto type = cast<RankedTensorType>(membrane.getType());
  if (type.getElementType().isInteger(64))
    return membrane;
  OpBuilder &b = calls.builder();
  return arith::ExtSIOp::create(b, membrane.getLoc(),
                                type.clone(b.getI64Type()), membrane);
}

void Lowering::replace(Operation *op, const ReferenceCalls::Result &result,
                       Type wanted) {
  Value tensor = calls.toTensor(result);
  if (wanted != result.type)
    tensor =
        arith::TruncIOp::create(calls.builder(), op->getLoc(), wanted, tensor);
  op->getResult(0).replaceAllUsesWith(tensor);
  op->erase();
}

/// Names of the observed arrays, in the order of their first appearance.
void listSites(func::FuncOp function) {
  llvm::SetVector<Attribute> sites;
  function.walk([&](ObserveOp op) { sites.insert(op.getSiteAttr()); });
  function->setAttr(kSitesAttr,
                    ArrayAttr::get(function.getContext(), sites.getArrayRef()));
}

struct ConvertSpikeQuantToReferencePass
    : impl::ConvertSpikeQuantToReferenceBase<ConvertSpikeQuantToReferencePass> {
  using ConvertSpikeQuantToReferenceBase::ConvertSpikeQuantToReferenceBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (auto function : module.getOps<func::FuncOp>())
      listSites(function);
    SmallVector<Operation *> operations;
    module.walk([&](Operation *op) {
      if (isa<SpikeQuantDialect>(op->getDialect()) &&
          !isa<WeightsOp, LoadWeightsOp>(op))
        operations.push_back(op);
    });
    Lowering lowering(module, spikePlanes);
    for (Operation *op : operations)
      if (failed(lowering.lower(op)))
        return signalPassFailure();
    if (failed(fuseContractions(module)))
      signalPassFailure();
  }
};

} // namespace
} // namespace mlir::spikequant
