//===- Workshare.cpp - parallel loops shared by running threads --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Runtime/ElementType.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/ViewLikeInterface.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_WORKSHARE
#include "spikequant/Codegen/Passes.h.inc"

namespace {
constexpr llvm::StringLiteral kObserveFunction = "sq_rt_observe";

SmallVector<scf::ParallelOp> getOutermostLoops(func::FuncOp kernel) {
  SmallVector<scf::ParallelOp> loops;
  kernel.walk<WalkOrder::PreOrder>([&](scf::ParallelOp loop) {
    loops.push_back(loop);
    return WalkResult::skip();
  });
  return loops;
}

/// Whether the kernel writes memory outside its parallel loops.
bool writesOutsideLoops(func::FuncOp kernel) {
  WalkResult result = kernel.walk<WalkOrder::PreOrder>([](Operation *op) {
    if (isa<scf::ParallelOp>(op))
      return WalkResult::skip();
    auto effects = dyn_cast<MemoryEffectOpInterface>(op);
    if (effects && effects.hasEffect<MemoryEffects::Write>())
      return WalkResult::interrupt();
    return WalkResult::advance();
  });
  return result.wasInterrupted();
}

void shareLoop(scf::ParallelOp loop) {
  OpBuilder builder(loop);
  Location location = loop.getLoc();
  auto shared = omp::WsloopOp::create(builder, location);
  builder.createBlock(&shared.getRegion());
  omp::LoopNestOperands clauses;
  llvm::append_range(clauses.loopLowerBounds, loop.getLowerBound());
  llvm::append_range(clauses.loopUpperBounds, loop.getUpperBound());
  llvm::append_range(clauses.loopSteps, loop.getStep());
  clauses.collapseNumLoops =
      builder.getI64IntegerAttr(loop.getLowerBound().size());
  auto nest = omp::LoopNestOp::create(builder, location, clauses);
  nest.getRegion().takeBody(loop.getRegion());
  Operation *terminator = nest.getRegion().front().getTerminator();
  builder.setInsertionPoint(terminator);
  omp::YieldOp::create(builder, location);
  terminator->erase();
  loop.erase();
}

/// Whether one thread has all the work anyway.
bool hasOneIteration(scf::ParallelOp loop) {
  return llvm::all_of(llvm::zip_equal(loop.getLowerBound(),
                                      loop.getUpperBound(), loop.getStep()),
                      [](auto bounds) {
                        auto [lower, upper, step] = bounds;
                        std::optional<int64_t> first =
                                                   getConstantIntValue(lower),
                                               end = getConstantIntValue(upper),
                                               stride =
                                                   getConstantIntValue(step);
                        return first && end && stride && *first < *end &&
                               *first + *stride >= *end;
                      });
}

/// A serial kernel is run by the first thread; its callers wait for it.
bool isSerial(func::FuncOp kernel) {
  SmallVector<scf::ParallelOp> loops = getOutermostLoops(kernel);
  return writesOutsideLoops(kernel) || llvm::all_of(loops, hasOneIteration);
}

/// Moves the body into `omp.masked`: the first thread runs it.
void runByFirstThread(func::FuncOp kernel) {
  Block &body = kernel.getBody().front();
  OpBuilder builder = OpBuilder::atBlockBegin(&body);
  auto masked =
      omp::MaskedOp::create(builder, kernel.getLoc(), omp::MaskedOperands());
  Block *inner = builder.createBlock(&masked.getRegion());
  inner->getOperations().splice(inner->end(), body.getOperations(),
                                std::next(masked->getIterator()),
                                std::prev(body.end()));
  builder.setInsertionPointToEnd(inner);
  omp::TerminatorOp::create(builder, kernel.getLoc());
}

LogicalResult shareKernel(func::FuncOp kernel) {
  for (scf::ParallelOp loop : getOutermostLoops(kernel))
    if (loop.getNumReductions())
      return loop.emitError("a parallel loop of a kernel cannot reduce: the "
                            "order of the additions would not be fixed");
  if (isSerial(kernel)) {
    runByFirstThread(kernel);
    return success();
  }
  for (scf::ParallelOp loop : getOutermostLoops(kernel))
    shareLoop(loop);
  return success();
}

/// `spikequant.observe` to a call by the first thread.
struct ObserveLowering {
  explicit ObserveLowering(ModuleOp module) : module(module) {}

  LogicalResult lower(ObserveOp observe, func::FuncOp graph) {
    auto type = cast<MemRefType>(observe.getInput().getType());
    std::optional<int32_t> code = getElementCode(type.getElementType());
    if (!code || !type.hasStaticShape() || !type.getLayout().isIdentity())
      return observe.emitError("cannot show ") << type << " to the host";
    OpBuilder builder(observe);
    auto masked =
        omp::MaskedOp::create(builder, observe.getLoc(), omp::MaskedOperands());
    builder.createBlock(&masked.getRegion());
    int64_t columns = type.getRank() ? type.getShape().back() : 1;
    int64_t rows = columns ? type.getNumElements() / columns : 0;
    createCall(builder, observe, graph, *code, rows, columns);
    omp::TerminatorOp::create(builder, observe.getLoc());
    observe.erase();
    return success();
  }

private:
  void createCall(OpBuilder &builder, ObserveOp observe, func::FuncOp graph,
                  int32_t code, int64_t rows, int64_t columns) {
    Location location = observe.getLoc();
    auto pointer = LLVM::LLVMPointerType::get(builder.getContext());
    auto constant = [&](int64_t value, unsigned width) -> Value {
      return arith::ConstantIntOp::create(builder, location, value, width);
    };
    Value address = memref::ExtractAlignedPointerAsIndexOp::create(
        builder, location, observe.getInput());
    address = arith::IndexCastOp::create(builder, location,
                                         builder.getI64Type(), address);
    Value data = LLVM::IntToPtrOp::create(builder, location, pointer, address);
    Value operands[] = {getContextArgument(graph, kCallAttr),
                        constant(getSiteIndex(graph, observe.getSite()), 32),
                        data,
                        constant(code, 32),
                        constant(rows, 64),
                        constant(columns, 64)};
    func::CallOp::create(builder, location, getCallee(operands), operands);
  }

  func::FuncOp getCallee(ValueRange operands) {
    if (auto function = module.lookupSymbol<func::FuncOp>(kObserveFunction))
      return function;
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    auto function =
        func::FuncOp::create(builder, module.getLoc(), kObserveFunction,
                             builder.getFunctionType(operands.getTypes(), {}));
    function.setPrivate();
    return function;
  }

  ModuleOp module;
};

/// Whether the graph may write the memory behind `buffer` during the step.
bool mayBeWritten(func::FuncOp graph, Value buffer) {
  while (Operation *op = buffer.getDefiningOp()) {
    auto view = dyn_cast<ViewLikeOpInterface>(op);
    if (!view)
      return !isa<memref::GetGlobalOp>(op);
    buffer = view.getViewSource();
  }
  auto argument = dyn_cast<BlockArgument>(buffer);
  if (!argument || argument.getOwner() != &graph.getBody().front())
    return true;
  unsigned number = argument.getArgNumber();
  return graph.getArgAttr(number, kArenaAttr) ||
         graph.getArgAttr(number, "spikequant.state") ||
         graph.getArgAttr(number, "spikequant.result");
}

/// What a barrier may have to stand before: everything but addresses, numbers
/// and reads of memory that does not change.
bool needsOrder(Operation &op, func::FuncOp graph) {
  if (auto load = dyn_cast<memref::LoadOp>(op))
    return mayBeWritten(graph, load.getMemref());
  return !isMemoryEffectFree(&op);
}

/// Barriers after runs of serial kernels and after scalar reads. In a run the
/// first thread is the only one that touches memory.
struct BarrierPlacement {
  BarrierPlacement(func::FuncOp graph, const DenseSet<StringAttr> &serial)
      : graph(graph), serial(serial) {}

  void run() {
    SmallVector<Operation *> places;
    graph.walk([&](Block *block) {
      for (Operation &op : *block)
        if ((isSerialStep(op) && !continuesSerially(op)) ||
            (isa<memref::LoadOp>(op) && needsOrder(op, graph)))
          places.push_back(&op);
    });
    for (Operation *op : places) {
      OpBuilder builder(op->getContext());
      builder.setInsertionPointAfter(op);
      omp::BarrierOp::create(builder, op->getLoc());
    }
  }

private:
  bool isSerialStep(Operation &op) {
    auto call = dyn_cast<func::CallOp>(op);
    return isa<ObserveOp>(op) ||
           (call && serial.contains(call.getCalleeAttr().getAttr()));
  }

  /// Whether the next step is serial too, or the graph ends.
  bool continuesSerially(Operation &op) {
    for (Operation *next = op.getNextNode(); next; next = next->getNextNode()) {
      if (isSerialStep(*next) || isa<func::ReturnOp>(next))
        return true;
      if (next->hasTrait<OpTrait::IsTerminator>() || needsOrder(*next, graph))
        return false;
    }
    return false;
  }

  func::FuncOp graph;
  const DenseSet<StringAttr> &serial;
};

LogicalResult shareGraph(func::FuncOp graph, ModuleOp module,
                         const DenseSet<StringAttr> &serial) {
  BarrierPlacement(graph, serial).run();
  ObserveLowering lowering(module);
  WalkResult result = graph.walk([&](ObserveOp observe) {
    return failed(lowering.lower(observe, graph)) ? WalkResult::interrupt()
                                                  : WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

struct WorksharePass : impl::WorkshareBase<WorksharePass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    DenseSet<StringAttr> serial;
    for (auto kernel : module.getOps<func::FuncOp>())
      if (!kernel.isDeclaration() && kernel->hasAttr(kKernelAttr)) {
        if (isSerial(kernel))
          serial.insert(kernel.getSymNameAttr());
        if (failed(shareKernel(kernel)))
          return signalPassFailure();
      }
    for (auto graph : llvm::make_early_inc_range(module.getOps<func::FuncOp>()))
      if (!graph.isDeclaration() && getContextArgument(graph, kArenaAttr))
        if (failed(shareGraph(graph, module, serial)))
          return signalPassFailure();
  }
};
} // namespace
} // namespace mlir::spikequant
