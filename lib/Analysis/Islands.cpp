//===- Islands.cpp - group and count real-valued operations ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "IslandKinds.h"

#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/EquivalenceClasses.h"

#include <algorithm>
#include <utility>

using namespace mlir;
using namespace mlir::spikequant;

/// Values of a type; dynamic dimensions count as 1.
static int64_t getElements(Type type) {
  auto shaped = dyn_cast<ShapedType>(type);
  int64_t elements = 1;
  if (shaped && shaped.hasRank())
    for (int64_t size : shaped.getShape())
      elements *= ShapedType::isDynamic(size) ? 1 : size;
  return elements;
}

static int64_t getBytes(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (!element.isIntOrFloat() || !isa<ShapedType>(type))
    return 0;
  return getElements(type) *
         llvm::divideCeil(element.getIntOrFloatBitWidth(), 8);
}

/// How often the scalar operations of `op` run.
static int64_t getIterations(Operation *op) {
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
    int64_t product = 1;
    for (int64_t size : linalgOp.getStaticLoopRanges())
      product *= ShapedType::isDynamic(size) ? 1 : size;
    return product;
  }
  return op->getNumResults() ? getElements(op->getResult(0).getType()) : 0;
}

/// Real scalar operations per element: encode scales, adds and rounds; decode
/// and lookup convert and scale.
static int64_t getScalarsPerElement(Operation *op) {
  if (auto encode = dyn_cast<EncodeOp>(op))
    return encode.getRowScale() ? 4 : 3;
  if (isa<DecodeOp, LookupOp>(op))
    return 2;
  return llvm::count_if(getScalarOperations(op), [](Operation *inner) {
    return llvm::any_of(inner->getOperands(), isReal) ||
           llvm::any_of(inner->getResults(), isReal);
  });
}

/// Destinations that are only overwritten are not read.
static bool isRead(OpOperand &operand) {
  auto linalgOp = dyn_cast<linalg::LinalgOp>(operand.getOwner());
  return !linalgOp || linalgOp.payloadUsesValueFromOperand(&operand);
}

static int64_t getTraffic(Operation *op, bool realOnly) {
  int64_t bytes = 0;
  for (OpOperand &operand : op->getOpOperands())
    if (isRead(operand) && (!realOnly || isReal(operand.get())))
      bytes += getBytes(operand.get().getType());
  for (Value result : op->getResults())
    if (!realOnly || isReal(result))
      bytes += getBytes(result.getType());
  return bytes;
}

/// Products of two arrays of counts, which no weights are in.
static bool multipliesCounts(Operation *op) {
  auto linalgOp = dyn_cast_or_null<linalg::LinalgOp>(op);
  return linalgOp && linalg::isaContractionOpInterface(linalgOp) &&
         llvm::all_of(linalgOp->getOperands(), [](Value value) {
           return isa<IntegerType>(getElementTypeOrSelf(value.getType()));
         });
}

static void addOperation(Island &island, Operation *op) {
  island.operations.push_back(op);
  island.decodes += isa<DecodeOp>(op) ||
                    llvm::any_of(op->getOperands(), [](Value operand) {
                      return multipliesCounts(operand.getDefiningOp());
                    });
  for (Value result : op->getResults())
    if (isReal(result))
      island.elements += getElements(result.getType());
  island.scalars += getScalarsPerElement(op) * getIterations(op);
  island.bytes += getTraffic(op, /*realOnly=*/true);
}

/// Connected operations of one kind.
static std::vector<Island>
connect(const llvm::MapVector<Operation *, IslandKind> &kinds) {
  llvm::EquivalenceClasses<Operation *> classes;
  for (auto &[op, kind] : kinds) {
    classes.insert(op);
    for (Value operand : op->getOperands()) {
      Operation *producer = operand.getDefiningOp();
      auto other = kinds.find(producer);
      if (other != kinds.end() && other->second == kind)
        classes.unionSets(op, producer);
    }
  }
  llvm::MapVector<Operation *, Island> islands;
  for (auto &[op, kind] : kinds) {
    auto [entry, isNew] =
        islands.insert({classes.getLeaderValue(op), Island()});
    entry->second.kind = kind;
    addOperation(entry->second, op);
  }
  std::vector<Island> list;
  for (auto &entry : islands)
    list.push_back(std::move(entry.second));
  return list;
}

/// Products of counts and weights, and the bytes of the weights' codes.
static void addIntegrate(IslandReport &report, IntegrateOp op) {
  int64_t channels =
      cast<ShapedType>(op.getCounts().getType()).getShape().back();
  int64_t products = getElements(op.getMembrane().getType()) * channels;
  report.accumulations += products;
  auto weights =
      SymbolTable::lookupNearestSymbolFrom<WeightsOp>(op, op.getWeightsAttr());
  if (!weights)
    return;
  if (auto codes = dyn_cast<CodesAttr>(weights.getFormat()))
    report.bytes +=
        weights.getArrayType().getNumElements() * int64_t(codes.getBits()) / 8;
}

/// Rows of what weights are applied to: tokens. Factors of products of
/// activations have rows of another kind.
static int64_t countTokens(EncodeOp encode) {
  if (llvm::none_of(encode->getUsers(), llvm::IsaPred<IntegrateOp>))
    return 0;
  auto type = cast<ShapedType>(encode.getType());
  return getElements(type) / type.getShape().back();
}

IslandReport mlir::spikequant::findIslands(func::FuncOp function) {
  IslandReport report;
  report.function = function.getName().str();
  report.islands = connect(findIslandKinds(function));
  function.walk<WalkOrder::PreOrder>([&](Operation *op) {
    if (auto encode = dyn_cast<EncodeOp>(op))
      report.tokens = std::max(report.tokens, countTokens(encode));
    if (multipliesCounts(op))
      report.accumulations += getIterations(op);
    if (auto integrate = dyn_cast<IntegrateOp>(op))
      addIntegrate(report, integrate);
    if (op != function && !op->hasTrait<OpTrait::ConstantLike>() &&
        !isa<LoadWeightsOp>(op) && !op->hasTrait<OpTrait::IsTerminator>())
      report.bytes += getTraffic(op, /*realOnly=*/false);
    return isa<linalg::LinalgOp>(op) ? WalkResult::skip()
                                     : WalkResult::advance();
  });
  return report;
}

int64_t IslandReport::getScalars() const {
  int64_t sum = 0;
  for (const Island &island : islands)
    sum += island.scalars;
  return sum;
}

int64_t IslandReport::getDecodes() const {
  int64_t sum = 0;
  for (const Island &island : islands)
    if (!isNamedIsland(island.kind))
      sum += island.decodes;
  return sum;
}

std::vector<Island> IslandReport::getSummary() const {
  llvm::MapVector<int, Island> sums;
  for (const Island &island : islands) {
    auto [entry, isNew] = sums.insert({int(island.kind), island});
    if (isNew)
      continue;
    Island &sum = entry->second;
    llvm::append_range(sum.operations, island.operations);
    ++sum.count;
    sum.decodes += island.decodes;
    sum.elements += island.elements;
    sum.scalars += island.scalars;
    sum.bytes += island.bytes;
  }
  std::vector<Island> list;
  for (auto &entry : sums)
    list.push_back(std::move(entry.second));
  std::sort(list.begin(), list.end(), [](const Island &a, const Island &b) {
    return std::make_pair(-a.scalars, int(a.kind)) <
           std::make_pair(-b.scalars, int(b.kind));
  });
  return list;
}
