//===- AddGraphContext.cpp - weights file, arena, counters, call -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/SetVector.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_ADDGRAPHCONTEXT
#include "spikequant/Codegen/Passes.h.inc"

namespace {
MemRefType getFlatType(Type element) {
  return MemRefType::get({ShapedType::kDynamic}, element);
}

LogicalResult addArguments(func::FuncOp function) {
  MLIRContext *context = function.getContext();
  Builder builder(context);
  std::pair<StringRef, Type> arguments[] = {
      {kWeightsFileAttr, getFlatType(builder.getI8Type())},
      {kArenaAttr, getFlatType(builder.getI8Type())},
      {kSalientAttr, getFlatType(builder.getI64Type())},
      {kCallAttr, LLVM::LLVMPointerType::get(context)}};
  for (auto [name, type] : arguments)
    if (failed(function.insertArgument(
            function.getNumArguments(), type,
            builder.getDictionaryAttr(
                builder.getNamedAttr(name, builder.getUnitAttr())),
            function.getLoc())))
      return failure();
  return success();
}

/// Names that the host sees: those that are listed already, then the others in
/// the order of their first appearance.
void listSites(func::FuncOp function) {
  llvm::SetVector<Attribute> sites;
  if (auto listed = function->getAttrOfType<ArrayAttr>(kSitesAttr))
    sites.insert(listed.begin(), listed.end());
  function.walk([&](Operation *op) {
    if (isa<ObserveOp, TallyOp, EncodeSplitOp>(op))
      sites.insert(op->getAttr("site"));
  });
  function->setAttr(kSitesAttr,
                    ArrayAttr::get(function.getContext(), sites.getArrayRef()));
}

LogicalResult resolveLoad(LoadWeightsOp load, Value file) {
  auto symbol = SymbolTable::lookupNearestSymbolFrom<WeightsOp>(
      load, load.getWeightsAttr());
  auto layout = symbol->getAttrOfType<DictionaryAttr>(kLayoutAttr);
  auto offset = layout ? layout.getAs<IntegerAttr>("data") : IntegerAttr();
  if (!offset)
    return load.emitError("weights '")
           << load.getWeights()
           << "' have no place in the packed file; pack them first (attribute '"
           << kLayoutAttr << "' with 'data')";
  OpBuilder builder(load);
  auto type = cast<MemRefType>(load.getType());
  Value shift =
      arith::ConstantIndexOp::create(builder, load.getLoc(), offset.getInt());
  auto dense = MemRefType::get(type.getShape(), type.getElementType());
  Value view = memref::ViewOp::create(builder, load.getLoc(), dense, file,
                                      shift, ValueRange());
  if (dense != type)
    view = memref::CastOp::create(builder, load.getLoc(), type, view);
  load.replaceAllUsesWith(view);
  load.erase();
  return success();
}

struct AddGraphContextPass : impl::AddGraphContextBase<AddGraphContextPass> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>()) {
      if (function.isDeclaration() || function.isPrivate())
        continue;
      if (failed(addArguments(function)))
        return signalPassFailure();
      listSites(function);
      Value file = getContextArgument(function, kWeightsFileAttr);
      WalkResult result = function.walk([&](LoadWeightsOp load) {
        return failed(resolveLoad(load, file)) ? WalkResult::interrupt()
                                               : WalkResult::advance();
      });
      if (result.wasInterrupted())
        return signalPassFailure();
    }
  }
};
} // namespace
} // namespace mlir::spikequant
