//===- OutlineKernels.cpp - array operations to functions --------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/GraphContext.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Utils/Utils.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Transforms/RegionUtils.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "spikequant/Codegen/Passes.h.inc"

namespace {
/// Whether the graph's threads have nothing to share in `op`: scalars, their
/// loads and stores, loops and branches around them.
bool isScalarWork(Operation *op) {
  return isa<memref::LoadOp, memref::StoreOp, scf::ForOp, scf::IfOp,
             scf::YieldOp>(op) ||
         (isMemoryEffectFree(op) && op->getNumRegions() == 0);
}

/// A loop that is one serial kernel: a sort, a scatter.
bool isScalarLoop(Operation *op) {
  if (!isa<scf::ForOp>(op) || op->getNumResults() != 0)
    return false;
  bool stores = false;
  WalkResult result = op->walk([&](Operation *inner) {
    stores |= isa<memref::StoreOp>(inner);
    return isScalarWork(inner) ? WalkResult::advance()
                               : WalkResult::interrupt();
  });
  return stores && !result.wasInterrupted();
}

bool isKernel(Operation *op) {
  return isa<linalg::LinalgOp, memref::CopyOp, memref::StoreOp,
             scf::ParallelOp>(op) ||
         isScalarLoop(op);
}

/// A name that says what the kernel does: operation and shape of its result.
std::string getKernelName(Operation *op) {
  std::string name = op->getName().stripDialect().str();
  llvm::raw_string_ostream stream(name);
  for (Value operand : llvm::reverse(op->getOperands()))
    if (auto type = dyn_cast<MemRefType>(operand.getType())) {
      for (int64_t size : type.getShape())
        stream << '_' << size;
      break;
    }
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

/// The same type with an offset that is known at run time only, so that slices
/// of one shape share a kernel.
Type withDynamicOffset(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref)
    return type;
  auto layout = dyn_cast<StridedLayoutAttr>(memref.getLayout());
  if (!layout)
    return type;
  return MemRefType::get(memref.getShape(), memref.getElementType(),
                         StridedLayoutAttr::get(type.getContext(),
                                                ShapedType::kDynamic,
                                                layout.getStrides()),
                         memref.getMemorySpace());
}

/// Where the loop of a limited operation ends, or null.
Value getLimit(OpBuilder &b, Operation *op) {
  auto limit = op->getAttrOfType<DenseI64ArrayAttr>(kLimitAttr);
  auto graph = op->getParentOfType<func::FuncOp>();
  if (!limit || limit.size() != 5)
    return {};
  Location loc = op->getLoc();
  auto constant = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, loc, value);
  };
  int64_t divisor = limit[3], size = limit[4];
  Value loaded =
      memref::LoadOp::create(b, loc, graph.getArgument(limit[1]), ValueRange());
  Value start = arith::IndexCastOp::create(b, loc, b.getIndexType(), loaded);
  Value end = arith::AddIOp::create(b, loc, start, constant(limit[2]));
  end = arith::CeilDivSIOp::create(b, loc, end, constant(kLimitUnit));
  end = arith::MulIOp::create(b, loc, end, constant(kLimitUnit / divisor));
  end = arith::MinSIOp::create(b, loc, end, constant(size));
  // Then some rows are hidden as a whole, and their maximum is the mask's.
  Value isNegative = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt,
                                           start, constant(0));
  return arith::SelectOp::create(b, loc, isNegative, constant(size), end);
}

/// Names of sites would keep equal kernels apart.
void eraseAnnotations(Operation *op) {
  for (NamedAttribute attribute : llvm::to_vector(op->getDiscardableAttrs()))
    if (attribute.getName().strref().starts_with("spikequant."))
      op->removeDiscardableAttr(attribute.getName());
}

bool isClonedIntoKernel(Value value) {
  Operation *op = value.getDefiningOp();
  return op && (op->hasTrait<OpTrait::ConstantLike>() ||
                isa<memref::GetGlobalOp>(op));
}

struct Outliner {
  explicit Outliner(ModuleOp module) : symbols(module) {}

  void outline(Operation *op) {
    SetVector<Value> captured(op->getOperands().begin(),
                              op->getOperands().end());
    getUsedValuesDefinedAbove(op->getRegions(), captured);
    SmallVector<Value> arguments, constants;
    OpBuilder builder(op);
    for (Value value : captured)
      (isClonedIntoKernel(value) ? constants : arguments).push_back(value);
    SmallVector<Value> operands = castOffsets(builder, op, arguments);
    Value limit = getLimit(builder, op);
    if (limit)
      operands.push_back(limit);
    func::FuncOp kernel = createKernel(op, TypeRange(ValueRange(operands)));
    fillKernel(kernel, op, arguments, constants);
    if (limit)
      limitLoop(kernel, op->getAttrOfType<DenseI64ArrayAttr>(kLimitAttr)[0]);
    func::CallOp::create(builder, op->getLoc(), kernel, operands);
    op->erase();
  }

private:
  SmallVector<Value> castOffsets(OpBuilder &builder, Operation *op,
                                 ArrayRef<Value> arguments) {
    SmallVector<Value> operands;
    for (Value value : arguments) {
      Type type = withDynamicOffset(value.getType());
      operands.push_back(
          type == value.getType()
              ? value
              : memref::CastOp::create(builder, op->getLoc(), type, value));
    }
    return operands;
  }

  func::FuncOp createKernel(Operation *op, TypeRange inputs) {
    auto kernel =
        func::FuncOp::create(op->getLoc(), getKernelName(op),
                             FunctionType::get(op->getContext(), inputs, {}));
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, UnitAttr::get(op->getContext()));
    symbols.insert(kernel);
    return kernel;
  }

  void fillKernel(func::FuncOp kernel, Operation *op, ArrayRef<Value> arguments,
                  ArrayRef<Value> constants) {
    Block *entry = kernel.addEntryBlock();
    OpBuilder builder = OpBuilder::atBlockEnd(entry);
    IRMapping mapping;
    mapping.map(ValueRange(arguments),
                entry->getArguments().take_front(arguments.size()));
    for (Value constant : constants)
      builder.clone(*constant.getDefiningOp(), mapping);
    cloneBody(builder, op, mapping);
    func::ReturnOp::create(builder, op->getLoc());
  }

  /// The last argument of the kernel ends loop `loop`.
  static void limitLoop(func::FuncOp kernel, int64_t loop) {
    Builder builder(kernel.getContext());
    int64_t numbers[] = {loop, kernel.getNumArguments() - 1};
    kernel.walk([&](linalg::LinalgOp op) {
      op->setAttr(kLimitAttr, builder.getDenseI64ArrayAttr(numbers));
    });
  }

  /// Strided copies are loops like any other; memref.copy would be lowered to
  /// a call of a run-time library.
  static void cloneBody(OpBuilder &builder, Operation *op, IRMapping &mapping) {
    auto copy = dyn_cast<memref::CopyOp>(op);
    if (!copy) {
      eraseAnnotations(builder.clone(*op, mapping));
      return;
    }
    linalg::makeMemRefCopyOp(builder, op->getLoc(),
                             mapping.lookup(copy.getSource()),
                             mapping.lookup(copy.getTarget()));
  }

  SymbolTable symbols;
};

struct OutlineKernelsPass : impl::OutlineKernelsBase<OutlineKernelsPass> {
  void runOnOperation() override {
    SmallVector<Operation *> operations;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isPrivate())
        function.walk<WalkOrder::PreOrder>([&](Operation *op) {
          if (!isKernel(op))
            return WalkResult::advance();
          operations.push_back(op);
          return WalkResult::skip();
        });
    Outliner outliner(getOperation());
    for (Operation *op : operations)
      outliner.outline(op);
  }
};
} // namespace
} // namespace mlir::spikequant
