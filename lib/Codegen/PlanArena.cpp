//===- PlanArena.cpp - one block of memory for a step ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Bufferization/Transforms/BufferViewFlowAnalysis.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_PLANARENA
#include "spikequant/Codegen/Passes.h.inc"

namespace {
constexpr int64_t kAlignment = 64;

/// An allocation, alive from operation `first` to operation `last` of the body.
struct Buffer {
  memref::AllocOp alloc;
  int64_t bytes = 0;
  int64_t first = 0;
  int64_t last = 0;
  int64_t offset = 0;

  bool overlapsInTime(const Buffer &other) const {
    return first <= other.last && other.first <= last;
  }
};

int64_t getBytes(MemRefType type) {
  // One byte for i1; other types are whole bytes.
  int64_t bits = type.getElementTypeBitWidth();
  return llvm::alignTo(type.getNumElements() * llvm::divideCeil(bits, 8),
                       kAlignment);
}

/// First fit among the buffers that are already placed and alive meanwhile.
int64_t findOffset(const Buffer &buffer, ArrayRef<const Buffer *> placed) {
  int64_t offset = 0;
  for (const Buffer *other : placed) { // ascending offsets
    if (!buffer.overlapsInTime(*other))
      continue;
    if (offset + buffer.bytes <= other->offset)
      break;
    offset = std::max(offset, other->offset + other->bytes);
  }
  return offset;
}

/// Assigns offsets; returns the size of the arena.
int64_t placeBuffers(MutableArrayRef<Buffer> buffers) {
  SmallVector<Buffer *> order;
  for (Buffer &buffer : buffers)
    order.push_back(&buffer);
  llvm::sort(order, [](const Buffer *a, const Buffer *b) {
    return std::tie(b->bytes, a->first, a) < std::tie(a->bytes, b->first, b);
  });
  SmallVector<const Buffer *> placed;
  int64_t size = 0;
  for (Buffer *buffer : order) {
    buffer->offset = findOffset(*buffer, placed);
    size = std::max(size, buffer->offset + buffer->bytes);
    auto position = llvm::upper_bound(
        placed, buffer->offset,
        [](int64_t offset, const Buffer *b) { return offset < b->offset; });
    placed.insert(position, buffer);
  }
  return size;
}

/// The address of a buffer, handed to a call of a C function, is a use too.
bool takesAddress(Operation *op) {
  return isa<memref::ExtractAlignedPointerAsIndexOp, arith::IndexCastOp,
             LLVM::IntToPtrOp>(op);
}

/// Lets the buffer live at every use of `value`, which is a view of it or its
/// address.
void extendLife(Value value, Buffer &buffer,
                function_ref<int64_t(Operation *)> getPosition) {
  for (Operation *user : value.getUsers()) {
    int64_t position = getPosition(user);
    buffer.first = std::min(buffer.first, position);
    buffer.last = std::max(buffer.last, position);
    if (takesAddress(user))
      extendLife(user->getResult(0), buffer, getPosition);
  }
}

struct PlanArenaPass : impl::PlanArenaBase<PlanArenaPass> {
  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isDeclaration())
      return;
    Value arena = getContextArgument(function, kArenaAttr);
    if (!arena)
      return;
    SmallVector<Buffer> buffers;
    if (failed(collectBuffers(function, buffers)))
      return signalPassFailure();
    int64_t size = placeBuffers(buffers);
    function->setAttr("spikequant.arena_bytes",
                      Builder(&getContext()).getI64IntegerAttr(size));
    for (Buffer &buffer : buffers) {
      markUnread(buffer.alloc);
      replaceByView(buffer, arena);
    }
  }

  /// Later, buffers of other times may share a view: who reads is known here.
  static void markUnread(memref::AllocOp alloc) {
    if (!alloc->hasOneUse())
      return;
    OpOperand &use = *alloc->use_begin();
    auto integrate = dyn_cast<IntegrateDecodeOp>(use.getOwner());
    if (integrate && integrate.getOutputs().front() == use.get())
      integrate->setAttr(kUnreadAttr, UnitAttr::get(alloc.getContext()));
  }

  LogicalResult collectBuffers(func::FuncOp function,
                               SmallVectorImpl<Buffer> &buffers) {
    Block &body = function.getBody().front();
    DenseMap<Operation *, int64_t> positions;
    for (auto [position, op] : llvm::enumerate(body))
      positions[&op] = position;
    BufferViewFlowAnalysis aliases(function);
    WalkResult result = function.walk([&](memref::AllocOp alloc) {
      if (!alloc.getType().hasStaticShape() ||
          !alloc.getType().getLayout().isIdentity()) {
        alloc.emitError("cannot plan memory for ")
            << alloc.getType() << ": only static shapes are supported";
        return WalkResult::interrupt();
      }
      Buffer buffer{alloc, getBytes(alloc.getType())};
      buffer.first = positions.size();
      for (Value alias : aliases.resolve(alloc))
        extendLife(alias, buffer, [&](Operation *user) {
          return positions.at(body.findAncestorOpInBlock(*user));
        });
      buffers.push_back(buffer);
      return WalkResult::advance();
    });
    return failure(result.wasInterrupted());
  }

  /// Views are made at the top of the function: allocations may be in loops.
  void replaceByView(Buffer &buffer, Value arena) {
    auto function = getOperation();
    OpBuilder builder(&function.getBody().front(),
                      function.getBody().front().begin());
    Location location = buffer.alloc.getLoc();
    Value shift =
        arith::ConstantIndexOp::create(builder, location, buffer.offset);
    Value view = memref::ViewOp::create(
        builder, location, buffer.alloc.getType(), arena, shift, ValueRange());
    buffer.alloc.replaceAllUsesWith(view);
    buffer.alloc.erase();
  }
};
} // namespace
} // namespace mlir::spikequant
