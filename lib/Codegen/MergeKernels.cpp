//===- MergeKernels.cpp - kernels that differ in numbers to one --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Layers differ in rates, bounds and shifts. A kernel's key is everything but
// these numbers; kernels of one key become one, and a number that is not the
// same in all of them becomes an argument.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/GraphContext.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/MapVector.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_MERGEKERNELS
#include "spikequant/Codegen/Passes.h.inc"

namespace {
/// More numbers than this stay apart: arguments beyond registers cost more
/// than code.
constexpr size_t kMostNumbers = 16;

/// Division by a constant is much faster than by a variable.
bool isDivisor(OpOperand &use) {
  return use.getOperandNumber() == 1 &&
         isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp,
             arith::CeilDivSIOp, arith::CeilDivUIOp, arith::FloorDivSIOp>(
             use.getOwner());
}

/// The constant of a use that may become an argument, or null.
arith::ConstantOp getNumber(OpOperand &use) {
  auto constant = use.get().getDefiningOp<arith::ConstantOp>();
  if (!constant || isDivisor(use))
    return {};
  Type type = constant.getType();
  bool isNumber =
      isa<FloatType>(type) || (isa<IntegerType>(type) && !type.isInteger(1));
  return isNumber ? constant : arith::ConstantOp();
}

/// What makes a kernel: `key` without numbers, `uses` of numbers in order.
/// Types and attributes are unique, so their addresses stand for them.
class KernelShape {
public:
  explicit KernelShape(func::FuncOp kernel) {
    add(kernel.getFunctionType().getAsOpaquePointer());
    addRegion(kernel.getBody());
  }

  std::vector<const void *> key;
  SmallVector<OpOperand *> uses;

private:
  void add(const void *part) { key.push_back(part); }
  void addCount(size_t count) { add(reinterpret_cast<const void *>(count)); }

  void define(ValueRange values) {
    for (Value value : values) {
      add(value.getType().getAsOpaquePointer());
      numbers.insert({value, numbers.size()});
    }
  }

  void addRegion(Region &region) {
    addCount(region.getBlocks().size());
    for (Block &block : region) {
      addCount(block.getNumArguments());
      define(block.getArguments());
      for (Operation &op : block)
        addOperation(op);
    }
  }

  void addOperation(Operation &op) {
    if (isa<arith::ConstantOp>(op) &&
        llvm::all_of(op.getUses(), [](OpOperand &u) { return getNumber(u); }))
      return;
    add(op.getName().getAsOpaquePointer());
    add(op.getAttrDictionary().getAsOpaquePointer());
    addCount(op.getNumOperands());
    for (OpOperand &operand : op.getOpOperands())
      addOperand(operand);
    define(op.getResults());
    addCount(op.getNumRegions());
    for (Region &region : op.getRegions())
      addRegion(region);
  }

  void addOperand(OpOperand &operand) {
    if (getNumber(operand)) {
      add(operand.get().getType().getAsOpaquePointer());
      uses.push_back(&operand);
      return;
    }
    auto found = numbers.find(operand.get());
    addCount(found == numbers.end() ? ~size_t(0) : found->second);
  }

  DenseMap<Value, size_t> numbers;
};

struct Member {
  func::FuncOp kernel;
  SmallVector<OpOperand *> uses;
};

/// One number, in each kernel of a group, and where the first uses it.
struct Column {
  SmallVector<TypedAttr> values;
  SmallVector<OpOperand *> uses;
  bool isSame() const { return llvm::all_equal(values); }
};

/// Numbers that are equal everywhere are one.
SmallVector<Column> getDifferences(ArrayRef<Member> members) {
  SmallVector<Column> columns;
  for (size_t i = 0; i < members.front().uses.size(); ++i) {
    Column column;
    for (const Member &member : members)
      column.values.push_back(getNumber(*member.uses[i]).getValue());
    if (column.isSame())
      continue;
    auto *known = llvm::find_if(columns, [&](const Column &other) {
      return other.values == column.values;
    });
    if (known == columns.end())
      known = columns.insert(known, std::move(column));
    known->uses.push_back(members.front().uses[i]);
  }
  return columns;
}

/// Whether all values of 64 bits fit 32.
bool isNarrow(const Column &column) {
  return llvm::all_of(column.values, [](TypedAttr value) {
    auto integer = dyn_cast<IntegerAttr>(value);
    return integer && integer.getType().isInteger(64) &&
           integer.getValue().isSignedIntN(32);
  });
}

/// Bounds are passed with 32 bits if they fit.
TypedAttr getPassed(const Column &column, size_t member) {
  TypedAttr value = column.values[member];
  if (!isNarrow(column))
    return value;
  return IntegerAttr::get(IntegerType::get(value.getContext(), 32),
                          cast<IntegerAttr>(value).getInt());
}

/// Says that a clamped number has 32 bits, as constant bounds would: products
/// of such numbers are one instruction, of 64 bits three.
void narrowClamps(const Column &column) {
  for (OpOperand *use : column.uses) {
    Operation *outer = use->getOwner();
    if (!isa<arith::MinSIOp, arith::MaxSIOp>(outer))
      continue;
    Operation *inner = outer->getOperand(0).getDefiningOp();
    if (!isa_and_nonnull<arith::MinSIOp, arith::MaxSIOp>(inner) ||
        inner->getName() == outer->getName())
      continue;
    auto bound = inner->getOperand(1).getDefiningOp();
    if (!isa_and_nonnull<arith::ExtSIOp>(bound) &&
        !isa_and_nonnull<arith::ConstantOp>(bound))
      continue;
    if (auto constant = dyn_cast<arith::ConstantOp>(bound))
      if (!cast<IntegerAttr>(constant.getValue()).getValue().isSignedIntN(32))
        continue;
    OpBuilder builder(outer->getContext());
    builder.setInsertionPointAfter(outer);
    Value result = outer->getResult(0);
    Value low = arith::TruncIOp::create(builder, outer->getLoc(),
                                        builder.getI32Type(), result);
    Value wide = arith::ExtSIOp::create(builder, outer->getLoc(),
                                        builder.getI64Type(), low);
    result.replaceAllUsesExcept(wide, low.getDefiningOp());
  }
}

/// Makes the numbers of `columns` arguments of the first kernel.
void addArguments(func::FuncOp kernel, ArrayRef<Column> columns) {
  Block &entry = kernel.getBody().front();
  OpBuilder builder = OpBuilder::atBlockBegin(&entry);
  for (const Column &column : columns) {
    Value value =
        entry.addArgument(getPassed(column, 0).getType(), kernel.getLoc());
    if (isNarrow(column))
      value = arith::ExtSIOp::create(builder, kernel.getLoc(),
                                     builder.getI64Type(), value);
    for (OpOperand *use : column.uses)
      use->set(value);
  }
  for (const Column &column : columns)
    if (isNarrow(column))
      narrowClamps(column);
  kernel.setType(builder.getFunctionType(entry.getArgumentTypes(), {}));
}

/// The kernel that calls of another go to, and the numbers that they pass.
struct Target {
  func::FuncOp kernel;
  SmallVector<TypedAttr> numbers;
};

void redirect(func::CallOp call, Target &target) {
  OpBuilder builder(call);
  SmallVector<Value> operands(call.getOperands());
  for (TypedAttr number : target.numbers)
    operands.push_back(
        arith::ConstantOp::create(builder, call.getLoc(), number));
  func::CallOp::create(builder, call.getLoc(), target.kernel, operands);
  call.erase();
}

/// Kernels that were outlined: those that were made for integers have their
/// shape in their name, and are equal already.
bool isMergeable(func::FuncOp kernel) {
  return kernel->hasAttr(kKernelAttr) && !kernel.isExternal() &&
         !kernel.getArgAttrsAttr() &&
         !kernel.getBody().front().getOps<linalg::LinalgOp>().empty();
}

struct MergeKernelsPass : impl::MergeKernelsBase<MergeKernelsPass> {
  void runOnOperation() override {
    llvm::MapVector<std::vector<const void *>, SmallVector<Member>,
                    std::map<std::vector<const void *>, unsigned>>
        groups;
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (isMergeable(kernel)) {
        KernelShape shape(kernel);
        groups[shape.key].push_back({kernel, std::move(shape.uses)});
      }
    llvm::StringMap<Target> targets;
    SmallVector<func::FuncOp> merged;
    for (auto &[key, members] : groups)
      merge(members, targets, merged);
    redirectCalls(targets);
    for (func::FuncOp kernel : merged)
      kernel.erase();
  }

private:
  static void merge(ArrayRef<Member> members, llvm::StringMap<Target> &targets,
                    SmallVectorImpl<func::FuncOp> &merged) {
    if (members.size() < 2)
      return;
    SmallVector<Column> columns = getDifferences(members);
    if (columns.size() > kMostNumbers)
      return;
    for (auto [i, member] : llvm::enumerate(members)) {
      func::FuncOp kernel = member.kernel;
      Target &target = targets[kernel.getSymName()];
      target.kernel = members.front().kernel;
      for (const Column &column : columns)
        target.numbers.push_back(getPassed(column, i));
      if (i != 0)
        merged.push_back(kernel);
    }
    addArguments(members.front().kernel, columns);
  }

  void redirectCalls(llvm::StringMap<Target> &targets) {
    SmallVector<func::CallOp> calls;
    getOperation().walk([&](func::CallOp call) { calls.push_back(call); });
    for (func::CallOp call : calls)
      if (auto found = targets.find(call.getCallee()); found != targets.end())
        redirect(call, found->second);
  }
};
} // namespace
} // namespace mlir::spikequant
