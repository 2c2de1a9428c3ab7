//===- BufferizeGraphs.cpp - state in place, results to out arguments --===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Updates.h"
#include "spikequant/Codegen/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_BUFFERIZEGRAPHS
#include "spikequant/Codegen/Passes.h.inc"

namespace {
constexpr llvm::StringLiteral kStateAttr = "spikequant.state";
constexpr llvm::StringLiteral kResultAttr = "spikequant.result";
constexpr llvm::StringLiteral kWritableAttr = "bufferization.writable";

bool isUpdateOf(Value value, BlockArgument argument) {
  while (value && value != argument)
    value = getUpdatedValue(value);
  return value != nullptr;
}

/// The argument that holds state whose next value is result `index`.
std::optional<BlockArgument> findState(func::FuncOp function, int64_t index) {
  for (BlockArgument argument : function.getArguments())
    if (auto state = function.getArgAttrOfType<IntegerAttr>(
            argument.getArgNumber(), kStateAttr))
      if (state.getInt() == index)
        return argument;
  return std::nullopt;
}

/// Only declared state may be written.
void declareWritable(func::FuncOp function) {
  Builder builder(function.getContext());
  for (BlockArgument argument : function.getArguments()) {
    unsigned number = argument.getArgNumber();
    if (isa<TensorType>(argument.getType()))
      function.setArgAttr(
          number, kWritableAttr,
          builder.getBoolAttr(function.getArgAttr(number, kStateAttr) !=
                              nullptr));
  }
}

/// Appends the argument that receives result `index`.
FailureOr<BlockArgument> addOutArgument(func::FuncOp function, Type type,
                                        int64_t index) {
  Builder builder(function.getContext());
  auto attributes = builder.getDictionaryAttr(
      {builder.getNamedAttr(kResultAttr, builder.getI64IntegerAttr(index)),
       builder.getNamedAttr(kWritableAttr, builder.getBoolAttr(true))});
  unsigned number = function.getNumArguments();
  if (failed(
          function.insertArgument(number, type, attributes, function.getLoc())))
    return failure();
  return function.getArgument(number);
}

/// Makes every result an update of an argument.
LogicalResult routeResults(func::FuncOp function) {
  auto terminator =
      cast<func::ReturnOp>(function.getBody().front().getTerminator());
  OpBuilder builder(terminator);
  DenseMap<Value, Value> routed;
  for (OpOperand &operand : terminator->getOpOperands()) {
    int64_t index = operand.getOperandNumber();
    auto type = dyn_cast<RankedTensorType>(operand.get().getType());
    if (!type || !type.hasStaticShape())
      return terminator.emitError("result ")
             << index << " has type " << operand.get().getType()
             << "; only arrays of static shape can be results";
    std::optional<BlockArgument> target = findState(function, index);
    if (target && isUpdateOf(operand.get(), *target))
      continue;
    if (!target) {
      FailureOr<BlockArgument> added = addOutArgument(function, type, index);
      if (failed(added))
        return failure();
      target = *added;
    }
    // One operation cannot write to two places: the second is a copy.
    Value source = operand.get();
    if (Value earlier = routed.lookup(source))
      source = earlier;
    operand.set(bufferization::MaterializeInDestinationOp::create(
                    builder, terminator.getLoc(), source, *target)
                    .getResult());
    if (source.getDefiningOp())
      routed.try_emplace(source, operand.get());
  }
  return success();
}

Value skipCasts(Value value) {
  while (auto cast = value.getDefiningOp<memref::CastOp>())
    value = cast.getSource();
  return value;
}

InFlightDiagnostic reportCopiedState(func::FuncOp function, Location location,
                                     unsigned argument) {
  InFlightDiagnostic diagnostic = mlir::emitError(location, "state argument ")
                                  << argument << " of '" << function.getName()
                                  << "' cannot be updated in place";
  diagnostic.attachNote(function.getLoc())
      << "its old value is still read after an update begins; read it from "
         "the updated array instead";
  return diagnostic;
}

/// Removes results, which are now written to arguments; checks that they are.
LogicalResult dropResults(func::FuncOp function) {
  auto terminator =
      cast<func::ReturnOp>(function.getBody().front().getTerminator());
  for (OpOperand &operand : terminator->getOpOperands()) {
    auto argument = dyn_cast<BlockArgument>(skipCasts(operand.get()));
    if (argument)
      continue;
    std::optional<BlockArgument> state =
        findState(function, operand.getOperandNumber());
    if (state)
      return reportCopiedState(function, terminator.getLoc(),
                               state->getArgNumber());
    return terminator.emitError("result ")
           << operand.getOperandNumber() << " was not written in place";
  }
  terminator->setOperands({});
  BitVector all(function.getNumResults(), true);
  return function.eraseResults(all);
}

/// A copy of a whole state means that the update was not in place.
LogicalResult checkNoStateCopies(func::FuncOp function) {
  WalkResult result = function.walk([&](memref::CopyOp copy) {
    auto argument = dyn_cast<BlockArgument>(skipCasts(copy.getSource()));
    if (!argument || argument.getOwner() != &function.getBody().front() ||
        !function.getArgAttr(argument.getArgNumber(), kStateAttr))
      return WalkResult::advance();
    // Handing an unchanged state out as another result is a real copy.
    if (isa<BlockArgument>(skipCasts(copy.getTarget())))
      return WalkResult::advance();
    reportCopiedState(function, copy.getLoc(), argument.getArgNumber());
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult checkCarriedInPlace(Operation *loop, Value next, Value current) {
  if (!isa<MemRefType>(next.getType()) || skipCasts(next) == current)
    return success();
  return loop->emitError("a value of this loop does not stay in one place; "
                         "run 'spikequant-carry-in-place' first");
}

/// Memory is planned statically: the next value of a loop must be written to
/// the place of the current one, else one of them is lost.
LogicalResult checkLoops(func::FuncOp function) {
  WalkResult result = function.walk([](Operation *op) {
    auto fails = [&](Value next, Value current) {
      return failed(checkCarriedInPlace(op, next, current));
    };
    if (auto loop = dyn_cast<scf::ForOp>(op))
      for (auto [next, current] :
           llvm::zip_equal(loop.getYieldedValues(), loop.getRegionIterArgs()))
        if (fails(next, current))
          return WalkResult::interrupt();
    if (auto loop = dyn_cast<scf::WhileOp>(op))
      for (auto [i, next] : llvm::enumerate(loop.getYieldOp().getResults()))
        if (auto number = getBodyArgument(loop, i))
          if (fails(next, loop.getAfterArguments()[*number]))
            return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

/// The host's observer reads dense arrays only.
void makeObservedArraysDense(func::FuncOp function) {
  function.walk([](ObserveOp observe) {
    auto type = dyn_cast<MemRefType>(observe.getInput().getType());
    if (!type || type.getLayout().isIdentity())
      return;
    OpBuilder builder(observe);
    auto dense = MemRefType::get(type.getShape(), type.getElementType());
    Value copy = memref::AllocOp::create(builder, observe.getLoc(), dense);
    memref::CopyOp::create(builder, observe.getLoc(), observe.getInput(), copy);
    observe->setOperand(0, copy);
  });
}

bufferization::OneShotBufferizePassOptions getBufferizeOptions() {
  bufferization::OneShotBufferizePassOptions options;
  options.bufferizeFunctionBoundaries = true;
  options.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  options.allowReturnAllocsFromLoops = true;
  return options;
}

struct BufferizeGraphsPass : impl::BufferizeGraphsBase<BufferizeGraphsPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    for (auto function : module.getOps<func::FuncOp>()) {
      if (function.isDeclaration() || function.isPrivate())
        continue;
      declareWritable(function);
      if (failed(routeResults(function)))
        return signalPassFailure();
    }
    if (failed(bufferize(module)))
      return signalPassFailure();
    for (auto function : module.getOps<func::FuncOp>())
      if (!function.isDeclaration() && !function.isPrivate())
        if (failed(finishFunction(function)))
          return signalPassFailure();
  }

  /// Writing values to where they are wanted at last (which saves a copy each)
  /// may give one place to two values that are needed at a time. That shows
  /// when bufferisation fails: then the second attempt leaves them apart.
  LogicalResult bufferize(ModuleOp module) {
    OwningOpRef<ModuleOp> original = module.clone();
    {
      ScopedDiagnosticHandler silence(&getContext(),
                                      [](Diagnostic &) { return success(); });
      if (succeeded(bufferize(module, /*eliminatesEmptyTensors=*/true)))
        return success();
    }
    module.getBodyRegion().takeBody(original->getBodyRegion());
    return bufferize(module, /*eliminatesEmptyTensors=*/false);
  }

  LogicalResult bufferize(ModuleOp module, bool eliminatesEmptyTensors) {
    OpPassManager pipeline(ModuleOp::getOperationName());
    if (eliminatesEmptyTensors)
      pipeline.addPass(bufferization::createEmptyTensorEliminationPass());
    pipeline.addPass(
        bufferization::createOneShotBufferizePass(getBufferizeOptions()));
    OpPassManager &functions = pipeline.nest<func::FuncOp>();
    functions.addPass(createCanonicalizerPass());
    functions.addPass(createCSEPass());
    functions.addPass(createCanonicalizerPass());
    return runPipeline(pipeline, module);
  }

  LogicalResult finishFunction(func::FuncOp function) {
    if (failed(dropResults(function)) || failed(checkNoStateCopies(function)) ||
        failed(checkLoops(function)))
      return failure();
    for (unsigned number = 0; number < function.getNumArguments(); ++number)
      function.removeArgAttr(number, kWritableAttr);
    makeObservedArraysDense(function);
    return success();
  }
};
} // namespace
} // namespace mlir::spikequant
