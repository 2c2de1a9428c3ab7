//===- StridedNest.cpp - a linalg operation as loops with strides ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StridedNest.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Conversion/LinalgToVectorLoops.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace mlir::spikequant;

//===----------------------------------------------------------------------===//
// Fused contractions
//===----------------------------------------------------------------------===//

/// The payload yields acc + (a * b) on its own arguments.
static bool isMultiplyAddBody(Block &body) {
  if (body.getNumArguments() != 3)
    return false;
  Value result = body.getTerminator()->getOperand(0);
  auto sum = result.getDefiningOp<arith::AddFOp>();
  if (!sum)
    return false;
  Value accumulator = body.getArgument(2);
  Value other = sum.getLhs() == accumulator ? sum.getRhs() : sum.getLhs();
  if (sum.getLhs() != accumulator && sum.getRhs() != accumulator)
    return false;
  auto product = other.getDefiningOp<arith::MulFOp>();
  if (!product)
    return false;
  Value a = body.getArgument(0), b = body.getArgument(1);
  return (product.getLhs() == a && product.getRhs() == b) ||
         (product.getLhs() == b && product.getRhs() == a);
}

bool mlir::spikequant::isFusedContraction(linalg::LinalgOp op) {
  if (op.getNumDpsInputs() != 2 || op.getNumDpsInits() != 1 ||
      op.getNumReductionLoops() == 0)
    return false;
  if (!llvm::all_of(op.getIndexingMapsArray(),
                    [](AffineMap map) { return map.isProjectedPermutation(); }))
    return false;
  Type element = getElementTypeOrSelf(op.getDpsInits()[0].getType());
  return (element.isF32() || element.isF64()) &&
         isMultiplyAddBody(*op.getBlock());
}

//===----------------------------------------------------------------------===//
// Analysis
//===----------------------------------------------------------------------===//

/// Adds `scale * expr` to the strides and the constant of an access.
static LogicalResult addLinear(AffineExpr expr, int64_t scale,
                               NestAccess &access) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    access.strides[dim.getPosition()] += scale;
    return success();
  }
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    access.constant += scale * constant.getValue();
    return success();
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (binary && binary.getKind() == AffineExprKind::Add)
    return success(succeeded(addLinear(binary.getLHS(), scale, access)) &&
                   succeeded(addLinear(binary.getRHS(), scale, access)));
  if (binary && binary.getKind() == AffineExprKind::Mul)
    if (auto factor = dyn_cast<AffineConstantExpr>(binary.getRHS()))
      return addLinear(binary.getLHS(), scale * factor.getValue(), access);
  return failure();
}

/// Strides of a static memref; fails on a dynamic size or stride and on a
/// negative stride.
static FailureOr<SmallVector<int64_t>> getStaticStrides(MemRefType type) {
  SmallVector<int64_t> strides;
  int64_t offset;
  if (!type.hasStaticShape() ||
      failed(type.getStridesAndOffset(strides, offset)))
    return failure();
  if (llvm::any_of(strides, [](int64_t stride) {
        return ShapedType::isDynamic(stride) || stride < 0;
      }))
    return failure();
  return strides;
}

static FailureOr<NestAccess> analyzeAccess(Value operand, AffineMap map) {
  NestAccess access;
  access.base = operand;
  access.strides.assign(map.getNumDims(), 0);
  access.elementType = getElementTypeOrSelf(operand.getType());
  auto type = dyn_cast<MemRefType>(operand.getType());
  access.scalar = !type;
  if (!type)
    return isa<ShapedType>(operand.getType()) ? FailureOr<NestAccess>(failure())
                                              : access;
  FailureOr<SmallVector<int64_t>> strides = getStaticStrides(type);
  if (failed(strides) || map.getNumSymbols() != 0)
    return failure();
  for (auto [expr, stride] : llvm::zip_equal(map.getResults(), *strides))
    if (failed(addLinear(expr, stride, access)))
      return failure();
  return access;
}

/// Each point of the parallel space must own its output elements.
static bool ownsOutputs(const StridedNest &nest) {
  linalg::LinalgOp op = nest.op;
  for (OpOperand &init : op.getDpsInitsMutable()) {
    AffineMap map = op.getMatchingIndexingMap(&init);
    if (!map.isProjectedPermutation())
      return false;
    const NestAccess &access = nest.accesses[init.getOperandNumber()];
    for (auto [loop, stride] : llvm::zip_equal(nest.loops, access.strides))
      if (loop.size > 1 && loop.reduction != (stride == 0))
        return false;
  }
  return true;
}

FailureOr<StridedNest> mlir::spikequant::analyzeNest(linalg::LinalgOp op) {
  StridedNest nest;
  nest.op = op;
  nest.inputs = op.getNumDpsInputs();
  nest.fused = isFusedContraction(op);
  for (auto [size, kind] :
       llvm::zip_equal(op.getStaticLoopRanges(), op.getIteratorTypesArray())) {
    if (ShapedType::isDynamic(size))
      return failure();
    unsigned origin = nest.loops.size();
    nest.loops.push_back(
        {size, kind == utils::IteratorType::reduction, origin, Value(), false});
  }
  for (OpOperand &operand : op->getOpOperands()) {
    FailureOr<NestAccess> access =
        analyzeAccess(operand.get(), op.getMatchingIndexingMap(&operand));
    if (failed(access))
      return failure();
    nest.accesses.push_back(*access);
  }
  if (!ownsOutputs(nest))
    return failure();
  if (auto limit = op->getAttrOfType<DenseI64ArrayAttr>(kLimitAttr))
    nest.loops[limit[0]].limit =
        op->getParentOfType<func::FuncOp>().getArgument(limit[1]);
  return nest;
}

//===----------------------------------------------------------------------===//
// Simplification
//===----------------------------------------------------------------------===//

static void eraseLoop(StridedNest &nest, unsigned loop) {
  nest.loops.erase(nest.loops.begin() + loop);
  for (NestAccess &access : nest.accesses)
    access.strides.erase(access.strides.begin() + loop);
}

/// Every operand steps through `outer` as through more iterations of `inner`.
static bool areMergeable(const StridedNest &nest, unsigned outer,
                         unsigned inner) {
  return !nest.loops[outer].limit && !nest.loops[inner].limit &&
         nest.loops[outer].reduction == nest.loops[inner].reduction &&
         llvm::all_of(nest.accesses, [&](const NestAccess &access) {
           return access.strides[outer] ==
                  access.strides[inner] * nest.loops[inner].size;
         });
}

/// Merges one pair of loops. Reductions keep their order, so only neighbours
/// among them may merge; parallel loops have none.
static bool mergeOnePair(StridedNest &nest) {
  SmallVector<unsigned> reductions = nest.reductionLoops();
  for (unsigned i = 1; i < reductions.size(); ++i)
    if (areMergeable(nest, reductions[i - 1], reductions[i])) {
      nest.loops[reductions[i]].size *= nest.loops[reductions[i - 1]].size;
      eraseLoop(nest, reductions[i - 1]);
      return true;
    }
  for (unsigned outer : nest.parallelLoops())
    for (unsigned inner : nest.parallelLoops())
      if (outer != inner && areMergeable(nest, outer, inner)) {
        nest.loops[inner].size *= nest.loops[outer].size;
        eraseLoop(nest, outer);
        return true;
      }
  return false;
}

void mlir::spikequant::simplifyNest(StridedNest &nest) {
  for (unsigned loop = nest.loops.size(); loop-- > 0;)
    if (nest.loops[loop].size == 1)
      eraseLoop(nest, loop);
  if (nest.op.hasIndexSemantics())
    return;
  while (mergeOnePair(nest))
    ;
}

static SmallVector<unsigned> loopsOfKind(ArrayRef<NestLoop> loops,
                                         bool reduction) {
  SmallVector<unsigned> found;
  for (auto [index, loop] : llvm::enumerate(loops))
    if (loop.reduction == reduction)
      found.push_back(index);
  return found;
}

SmallVector<unsigned> StridedNest::parallelLoops() const {
  return loopsOfKind(loops, /*reduction=*/false);
}

SmallVector<unsigned> StridedNest::reductionLoops() const {
  return loopsOfKind(loops, /*reduction=*/true);
}

//===----------------------------------------------------------------------===//
// Flat views
//===----------------------------------------------------------------------===//

static Value flatten(OpBuilder &builder, Location loc, Value memref) {
  auto type = cast<MemRefType>(memref.getType());
  SmallVector<int64_t> strides;
  int64_t offset;
  (void)type.getStridesAndOffset(strides, offset);
  if (type.getRank() == 1 && strides[0] == 1)
    return memref;
  int64_t span = 1;
  for (auto [size, stride] : llvm::zip_equal(type.getShape(), strides))
    span += (size - 1) * stride;
  auto layout = StridedLayoutAttr::get(builder.getContext(), offset, {1});
  auto flatType =
      MemRefType::get({span}, type.getElementType(),
                      offset == 0 ? MemRefLayoutAttrInterface()
                                  : MemRefLayoutAttrInterface(layout),
                      type.getMemorySpace());
  OpFoldResult start = builder.getIndexAttr(offset);
  if (ShapedType::isDynamic(offset)) {
    auto parts = memref::ExtractStridedMetadataOp::create(builder, loc, memref);
    memref = parts.getBaseBuffer();
    start = parts.getOffset();
  }
  return memref::ReinterpretCastOp::create(
      builder, loc, flatType, memref, start,
      ArrayRef<OpFoldResult>{builder.getIndexAttr(span)},
      ArrayRef<OpFoldResult>{builder.getIndexAttr(1)});
}

void mlir::spikequant::flattenOperands(OpBuilder &builder, StridedNest &nest) {
  for (NestAccess &access : nest.accesses)
    if (!access.scalar)
      access.base = flatten(builder, nest.op.getLoc(), access.base);
}

//===----------------------------------------------------------------------===//
// Payload
//===----------------------------------------------------------------------===//

static bool isVectorElement(Type type) { return type.isIntOrIndexOrFloat(); }

/// An element of an array outside, at a place that the payload computes. Only
/// of 32 or 64 bits: processors gather no others.
static bool isGather(Operation &op) {
  auto load = dyn_cast<memref::LoadOp>(op);
  if (!load || !load.getType().isIntOrFloat())
    return false;
  unsigned bits = load.getType().getIntOrFloatBitWidth();
  return (bits == 32 || bits == 64) && load.getMemRefType().getRank() == 1 &&
         load.getMemRefType().isLastDimUnitStride() &&
         load.getMemref().getParentBlock() != op.getBlock();
}

static bool isVectorizableOp(Operation &op) {
  if (isGather(op))
    return true;
  if (!llvm::all_of(op.getOperandTypes(), isVectorElement) ||
      !llvm::all_of(op.getResultTypes(), isVectorElement))
    return false;
  return isa<arith::ConstantOp, linalg::IndexOp>(op) ||
         OpTrait::hasElementwiseMappableTraits(&op);
}

bool mlir::spikequant::isVectorizablePayload(const StridedNest &nest) {
  return llvm::all_of(nest.payload().getArgumentTypes(), isVectorElement) &&
         llvm::all_of(nest.payload().without_terminator(), isVectorizableOp);
}

bool mlir::spikequant::mayPayloadTrap(const StridedNest &nest) {
  return llvm::any_of(nest.payload(), [](Operation &op) {
    return isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp,
               arith::CeilDivSIOp, arith::CeilDivUIOp, arith::FloorDivSIOp>(op);
  });
}
