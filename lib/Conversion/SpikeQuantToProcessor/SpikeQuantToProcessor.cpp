//===- SpikeQuantToProcessor.cpp - neurons to the processor's containers --===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %n = spikequant.encode %x                     (tensor<..xi16>)
//   %acc = spikequant.integrate %n, @w            (tensor<..xi64>)
//   %y = spikequant.decode %acc, @w
//
// becomes
//
//   %dense, %sums, %overflow = spikequant.encode_split ins(%x) outs(..)
//   spikequant.tally %overflow
//   %y = spikequant.integrate_decode ins(%dense, %sums, %overflow) outs(..)
//
// with one encode_split per group size among the consumers. Other users of
// counts and membranes (observers) get them as extra outputs.
//
//===----------------------------------------------------------------------===//

#include "EncodeToLinalg.h"
#include "FireToLinalg.h"

#include "spikequant/Conversion/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_CONVERTSPIKEQUANTTOPROCESSOR
#include "spikequant/Conversion/Passes.h.inc"

namespace {

/// The three arrays that stand for counts.
struct SplitCounts {
  Value dense, sums, overflow;
};

class Lowering {
public:
  explicit Lowering(ModuleOp module)
      : module(module), symbols(module), rewriter(module.getContext()) {}

  LogicalResult run();

private:
  LogicalResult lowerCounts(Value counts);
  bool lowerToArray(EncodeOp op);
  LogicalResult lowerIntegrate(IntegrateOp op, const SplitCounts &counts);
  LogicalResult lowerLookup(LookupOp op);
  LogicalResult lowerFire(FireOp op);
  LogicalResult lowerGrid(GridOp op);
  LogicalResult lowerTable(TableOp op);
  LogicalResult lowerExponent(ExponentOp op);
  FailureOr<int64_t> groupOf(IntegrateOp op);
  SplitCounts split(Value counts, StringAttr site, int64_t group, bool first);
  Value integrateDecode(IntegrateOp op, const SplitCounts &counts,
                        FloatAttr step, Value *membrane);
  Value toRows(Location loc, Value value, int64_t keep);
  Value fromRows(Location loc, Value rows, RankedTensorType type);
  Value empty(Location loc, ArrayRef<int64_t> shape, Type element) {
    return tensor::EmptyOp::create(rewriter, loc, shape, element);
  }

  ModuleOp module;
  SymbolTable symbols;
  IRRewriter rewriter;
};

} // namespace

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static LogicalResult verifyStatic(Operation *op) {
  for (Type type :
       llvm::concat<const Type>(llvm::to_vector(op->getOperandTypes()),
                                llvm::to_vector(op->getResultTypes())))
    if (isa<RankedTensorType>(type) &&
        !cast<RankedTensorType>(type).hasStaticShape())
      return op->emitError("has the dynamic shape ")
             << type
             << "; the processor's kernels need static shapes: export one "
                "graph per size";
  return success();
}

/// Collapses all dimensions but the last `keep` into one.
Value Lowering::toRows(Location loc, Value value, int64_t keep) {
  RankedTensorType type = typeOf(value);
  int64_t leading = type.getRank() - keep;
  if (leading == 1)
    return value;
  SmallVector<ReassociationIndices> groups;
  if (leading == 0) {
    // A lone row: [K] becomes [1, K].
    SmallVector<int64_t> shape = {1};
    llvm::append_range(shape, type.getShape());
    auto rows = RankedTensorType::get(shape, type.getElementType());
    if (keep == 1)
      groups.push_back({0, 1});
    return tensor::ExpandShapeOp::create(rewriter, loc, rows, value, groups);
  }
  groups.push_back(llvm::to_vector(llvm::seq<int64_t>(0, leading)));
  for (int64_t i = 0; i < keep; ++i)
    groups.push_back({leading + i});
  return tensor::CollapseShapeOp::create(rewriter, loc, value, groups);
}

/// The inverse of toRows for a value of rank 2.
Value Lowering::fromRows(Location loc, Value rows, RankedTensorType type) {
  int64_t leading = type.getRank() - 1;
  if (leading == 1)
    return rows;
  if (leading == 0)
    return tensor::CollapseShapeOp::create(
        rewriter, loc, rows, SmallVector<ReassociationIndices>{{0, 1}});
  SmallVector<ReassociationIndices> groups = {
      llvm::to_vector(llvm::seq<int64_t>(0, leading)), {leading}};
  return tensor::ExpandShapeOp::create(
      rewriter, loc, type.clone(typeOf(rows).getElementType()), rows, groups);
}

//===----------------------------------------------------------------------===//
// Counts
//===----------------------------------------------------------------------===//

/// Input channels that share sums, the whole row as K.
FailureOr<int64_t> Lowering::groupOf(IntegrateOp op) {
  auto weights = symbols.lookup<WeightsOp>(op.getWeights());
  auto codes = weights ? dyn_cast<CodesAttr>(weights.getFormat()) : CodesAttr();
  if (!codes) {
    InFlightDiagnostic error = op->emitError("has no kernel: weights @")
                               << op.getWeights()
                               << " are not packed as #spikequant.codes";
    if (weights)
      error.attachNote(weights.getLoc()) << "weights declared here";
    return error;
  }
  int64_t k = typeOf(op.getCounts()).getShape().back();
  int64_t group = codes.getGroup();
  return group == 0 || group >= k ? k : group;
}

/// Emits encode_split for `counts`. Counts that no encode made are encoded
/// with step 1: f32 holds them exactly.
SplitCounts Lowering::split(Value counts, StringAttr site, int64_t group,
                            bool first) {
  Location loc = counts.getLoc();
  auto encode = counts.getDefiningOp<EncodeOp>();
  RankedTensorType type = typeOf(counts);
  SmallVector<Value> inputs;
  if (encode) {
    rewriter.setInsertionPoint(encode);
    inputs.push_back(toRows(loc, encode.getInput(), 1));
    if (encode.getRowScale())
      inputs.push_back(toRows(loc, encode.getRowScale(), 0));
  } else {
    rewriter.setInsertionPointAfterValue(counts);
    Value reals =
        mapElements(rewriter, loc, counts, rewriter.getF32Type(),
                    [](OpBuilder &b, Location loc, Value n) -> Value {
                      return arith::SIToFPOp::create(b, loc, b.getF32Type(), n);
                    });
    inputs.push_back(toRows(loc, reals, 1));
  }

  int64_t rows = typeOf(inputs[0]).getDimSize(0), k = type.getShape().back();
  int64_t padded = llvm::alignTo(k, 8), groups = llvm::divideCeil(k, group);
  SmallVector<Value> outputs = {
      empty(loc, {rows, padded}, rewriter.getI8Type()),
      empty(loc, {rows, groups}, rewriter.getI32Type()),
      empty(loc, {rows, 2 + 2 * k}, rewriter.getI32Type())};
  bool tapped =
      encode && first && llvm::any_of(counts.getUsers(), [](Operation *user) {
        return !isa<IntegrateOp>(user);
      });
  if (tapped)
    outputs.push_back(empty(loc, {rows, k}, rewriter.getI16Type()));

  auto op = EncodeSplitOp::create(
      rewriter, loc, ValueRange(outputs).getTypes(), inputs, outputs,
      encode ? encode.getStepAttr() : rewriter.getF32FloatAttr(1.0f), site,
      rewriter.getI64IntegerAttr(group),
      encode ? encode.getBitsAttr() : nullptr,
      encode ? encode.getGainsAttr() : nullptr,
      encode ? encode.getCentresAttr() : nullptr,
      rewriter.getI32IntegerAttr(encode ? encode.getReach() : 0),
      encode ? encode.getUnitAttr() : nullptr,
      encode ? encode.getRatesAttr() : nullptr);
  SplitCounts result{op.getResult(0), op.getResult(1), op.getResult(2)};
  // Once per encode, however many splits there are.
  if (encode && first && encode.getBits())
    TallyOp::create(rewriter, loc, result.overflow, site);
  if (tapped) {
    Value all = fromRows(loc, op.getResult(3), type);
    rewriter.replaceUsesWithIf(counts, all, [](OpOperand &use) {
      return !isa<IntegrateOp>(use.getOwner());
    });
  }
  return result;
}

/// Counts that are read as an array alone, and that no event can exceed, need
/// no container. Returns whether that was so.
bool Lowering::lowerToArray(EncodeOp op) {
  bool integrates = llvm::any_of(op->getUsers(), llvm::IsaPred<IntegrateOp>);
  WeightsOp bits;
  if (op.getBitsAttr())
    bits = symbols.lookup<WeightsOp>(op.getBitsAttr().getAttr());
  if (integrates || op->use_empty() || op.isInteger() ||
      !hasOneWindow(op, bits))
    return false;
  rewriter.setInsertionPoint(op);
  rewriter.replaceOp(op, lowerEncodeToLinalg(rewriter, op, bits));
  return true;
}

LogicalResult Lowering::lowerCounts(Value counts) {
  if (auto encode = counts.getDefiningOp<EncodeOp>();
      encode && lowerToArray(encode))
    return success();
  llvm::MapVector<int64_t, SplitCounts> splits;
  SmallVector<std::pair<IntegrateOp, int64_t>> consumers;
  for (Operation *user : counts.getUsers()) {
    auto integrate = dyn_cast<IntegrateOp>(user);
    if (!integrate)
      continue;
    FailureOr<int64_t> group = groupOf(integrate);
    if (failed(group) || failed(verifyStatic(integrate)))
      return failure();
    consumers.push_back({integrate, *group});
  }
  // In program order, so that the result does not depend on use lists.
  llvm::sort(consumers, [](const auto &a, const auto &b) {
    return a.first->getBlock() == b.first->getBlock() &&
           a.first->isBeforeInBlock(b.first);
  });
  auto encode = counts.getDefiningOp<EncodeOp>();
  StringAttr site = encode ? encode.getSiteAttr()
                           : rewriter.getStringAttr(
                                 consumers.front().first.getWeights() + ".in");
  for (auto [integrate, group] : consumers)
    if (!splits.count(group))
      splits[group] = split(counts, site, group, splits.empty());
  if (encode && splits.empty() && !counts.use_empty())
    split(counts, site, typeOf(counts).getShape().back(), /*first=*/true);
  for (auto [integrate, group] : consumers)
    if (failed(lowerIntegrate(integrate, splits[group])))
      return failure();
  if (encode)
    rewriter.eraseOp(encode);
  return success();
}

//===----------------------------------------------------------------------===//
// Membranes
//===----------------------------------------------------------------------===//

/// Emits integrate_decode; the membrane is an extra output if it is wanted.
Value Lowering::integrateDecode(IntegrateOp op, const SplitCounts &counts,
                                FloatAttr step, Value *membrane) {
  Location loc = op.getLoc();
  SmallVector<int64_t> shape = {typeOf(counts.dense).getDimSize(0),
                                typeOf(op.getMembrane()).getShape().back()};
  SmallVector<Value> outputs = {empty(loc, shape, rewriter.getF32Type())};
  if (membrane)
    outputs.push_back(empty(loc, shape, rewriter.getI64Type()));
  auto fused = IntegrateDecodeOp::create(
      rewriter, loc, ValueRange(outputs).getTypes(),
      ValueRange{counts.dense, counts.sums, counts.overflow}, op.getIndex(),
      outputs, op.getWeightsAttr(), step);
  if (membrane)
    *membrane = fromRows(loc, fused.getResult(1), typeOf(op.getMembrane()));
  return fromRows(loc, fused.getResult(0), typeOf(op.getMembrane()));
}

LogicalResult Lowering::lowerIntegrate(IntegrateOp op,
                                       const SplitCounts &counts) {
  rewriter.setInsertionPoint(op);
  SmallVector<DecodeOp> decodes;
  for (Operation *user : op->getUsers())
    if (auto decode = dyn_cast<DecodeOp>(user)) {
      if (decode.getWeightsAttr() != op.getWeightsAttr())
        return decode->emitError("decodes with the scales of @")
               << decode.getWeights() << " what was integrated over @"
               << op.getWeights() << "; both must name the same weights";
      if (decode.getIndex() != op.getIndex())
        return decode->emitError("decodes with the scales of other matrices of "
                                 "@")
               << op.getWeights()
               << " than were integrated over; both must have one index";
      decodes.push_back(decode);
    }
  auto userCount = std::distance(op->user_begin(), op->user_end());
  bool tapped = userCount > static_cast<int64_t>(decodes.size());
  if (tapped || decodes.empty()) {
    Value membrane;
    FloatAttr step = decodes.empty() ? rewriter.getF32FloatAttr(1.0f)
                                     : decodes.front().getStepAttr();
    Value y = integrateDecode(op, counts, step, &membrane);
    if (!decodes.empty())
      rewriter.replaceOp(decodes.front(), y);
    decodes.erase(decodes.begin(), decodes.begin() + !decodes.empty());
    if (getElementTypeOrSelf(op.getType()).isInteger(32))
      membrane = mapElements(
          rewriter, op.getLoc(), membrane, rewriter.getI32Type(),
          [](OpBuilder &b, Location loc, Value acc) -> Value {
            return arith::TruncIOp::create(b, loc, b.getI32Type(), acc);
          });
    rewriter.replaceUsesWithIf(op, membrane, [](OpOperand &use) {
      return !isa<DecodeOp>(use.getOwner());
    });
  }
  for (DecodeOp decode : decodes)
    rewriter.replaceOp(decode, integrateDecode(op, counts, decode.getStepAttr(),
                                               /*membrane=*/nullptr));
  rewriter.eraseOp(op);
  return success();
}

LogicalResult Lowering::lowerLookup(LookupOp op) {
  if (failed(verifyStatic(op)))
    return failure();
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  auto type = cast<RankedTensorType>(op.getType());
  Value ids = toRows(loc, op.getIds(), 0);
  SmallVector<int64_t> shape = {typeOf(ids).getDimSize(0),
                                type.getShape().back()};
  Value output = empty(loc, shape, type.getElementType());
  auto rows = LookupRowsOp::create(rewriter, loc, output.getType(), ids, output,
                                   op.getWeightsAttr(), op.getRatesAttr());
  rewriter.replaceOp(op, fromRows(loc, rows.getResult(0), type));
  return success();
}

LogicalResult Lowering::lowerFire(FireOp op) {
  if (failed(verifyStatic(op)))
    return failure();
  rewriter.setInsertionPoint(op);
  Location loc = op.getLoc();
  if (!op.getBits()) {
    rewriter.replaceOp(op,
                       lowerFireToLinalg(rewriter, op, rewriter.getI16Type()));
    return success();
  }
  // The window is that of an encode with step 1: f32 holds counts exactly.
  Value counts = lowerFireToLinalg(rewriter, op, rewriter.getF32Type());
  auto encode = EncodeOp::create(
      rewriter, loc, op.getType(), counts, Value(),
      rewriter.getF32FloatAttr(1.0f), op.getSiteAttr(), op.getBitsAttr(),
      nullptr, nullptr, op.getToleranceAttr(), nullptr, nullptr);
  rewriter.replaceOp(op, encode);
  return success();
}

LogicalResult Lowering::lowerGrid(GridOp op) {
  if (failed(verifyStatic(op)))
    return failure();
  rewriter.setInsertionPoint(op);
  rewriter.replaceOp(op, lowerGridToLinalg(rewriter, op));
  return success();
}

LogicalResult Lowering::lowerTable(TableOp op) {
  if (failed(verifyStatic(op)))
    return failure();
  rewriter.setInsertionPoint(op);
  auto table = symbols.lookup<WeightsOp>(op.getTable());
  rewriter.replaceOp(op, lowerTableToLinalg(rewriter, op, table));
  return success();
}

LogicalResult Lowering::lowerExponent(ExponentOp op) {
  if (failed(verifyStatic(op)))
    return failure();
  rewriter.setInsertionPoint(op);
  rewriter.replaceOp(op, lowerExponentToLinalg(rewriter, op));
  return success();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

/// Fires first: what they make are counts without an encode.
LogicalResult Lowering::run() {
  SmallVector<FireOp> fires;
  SmallVector<LookupOp> lookups;
  module.walk([&](FireOp op) { fires.push_back(op); });
  module.walk([&](LookupOp op) { lookups.push_back(op); });
  for (FireOp op : fires)
    if (failed(lowerFire(op)))
      return failure();
  SmallVector<GridOp> grids;
  SmallVector<ScaleRowsOp> scaled;
  SmallVector<TableOp> tables;
  module.walk([&](GridOp op) { grids.push_back(op); });
  module.walk([&](ScaleRowsOp op) { scaled.push_back(op); });
  module.walk([&](TableOp op) { tables.push_back(op); });
  for (ScaleRowsOp op : scaled) {
    if (failed(verifyStatic(op)))
      return failure();
    rewriter.setInsertionPoint(op);
    rewriter.replaceOp(op, lowerScaleRowsToLinalg(rewriter, op));
  }
  for (GridOp op : grids)
    if (failed(lowerGrid(op)))
      return failure();
  for (TableOp op : tables)
    if (failed(lowerTable(op)))
      return failure();
  SmallVector<ExponentOp> exponents;
  module.walk([&](ExponentOp op) { exponents.push_back(op); });
  for (ExponentOp op : exponents)
    if (failed(lowerExponent(op)))
      return failure();
  for (LookupOp op : lookups)
    if (failed(lowerLookup(op)))
      return failure();

  llvm::SetVector<Value> counts;
  module.walk([&](Operation *op) {
    if (auto encode = dyn_cast<EncodeOp>(op))
      counts.insert(encode.getCounts());
    if (auto integrate = dyn_cast<IntegrateOp>(op))
      counts.insert(integrate.getCounts());
  });
  for (Value value : counts) {
    Operation *encode = value.getDefiningOp<EncodeOp>();
    if ((encode && failed(verifyStatic(encode))) || failed(lowerCounts(value)))
      return failure();
  }
  WalkResult left = module.walk([](DecodeOp op) {
    op->emitError("decodes a membrane that no integrate made; the processor "
                  "has no kernel for that");
    return WalkResult::interrupt();
  });
  return failure(left.wasInterrupted());
}

namespace {
struct ConvertSpikeQuantToProcessorPass
    : impl::ConvertSpikeQuantToProcessorBase<ConvertSpikeQuantToProcessorPass> {
  void runOnOperation() override {
    if (failed(Lowering(getOperation()).run()))
      signalPassFailure();
  }
};
} // namespace
} // namespace mlir::spikequant
