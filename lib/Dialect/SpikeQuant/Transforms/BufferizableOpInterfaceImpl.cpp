//===- BufferizableOpInterfaceImpl.cpp - spikequant ops and buffers -------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/BufferizableOpInterfaceImpl.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/Bufferization/IR/DstBufferizableOpInterfaceImpl.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

using namespace mlir;
using namespace mlir::bufferization;
using namespace mlir::spikequant;

namespace {

/// Re-creates `op` on the buffers of its operands, without results.
LogicalResult bufferizeDestinationOp(RewriterBase &rewriter,
                                     DestinationStyleOpInterface op,
                                     const BufferizationOptions &options,
                                     BufferizationState &state) {
  SmallVector<Value> buffers;
  SmallVector<Value> initBuffers;
  for (OpOperand &operand : op->getOpOperands()) {
    Value buffer = operand.get();
    if (isa<TensorType>(buffer.getType())) {
      FailureOr<Value> found = getBuffer(rewriter, buffer, options, state);
      if (failed(found))
        return failure();
      buffer = *found;
    }
    buffers.push_back(buffer);
    if (op.isDpsInit(&operand))
      initBuffers.push_back(buffer);
  }
  rewriter.setInsertionPoint(op);
  clone(rewriter, op, /*newResultTypes=*/TypeRange(), buffers);
  replaceOpWithBufferizedValues(rewriter, op, initBuffers);
  return success();
}

/// Outputs are overwritten whole, never read.
template <typename OpTy>
struct DestinationModel
    : DstBufferizableOpInterfaceExternalModel<DestinationModel<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *op, OpOperand &operand,
                              const AnalysisState &) const {
    return !cast<DestinationStyleOpInterface>(op).isDpsInit(&operand);
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    return bufferizeDestinationOp(
        rewriter, cast<DestinationStyleOpInterface>(op), options, state);
  }
};

/// The mapped weights file is read-only memory: writers must copy.
struct LoadWeightsModel
    : BufferizableOpInterface::ExternalModel<LoadWeightsModel, LoadWeightsOp> {
  FailureOr<BufferLikeType> getBufferType(Operation *, Value value,
                                          const BufferizationOptions &,
                                          const BufferizationState &,
                                          SmallVector<Value> &) const {
    return cast<BufferLikeType>(getMemRefTypeWithStaticIdentityLayout(
        cast<TensorType>(value.getType())));
  }

  bool isWritable(Operation *, Value, const AnalysisState &) const {
    return false;
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    Value tensor = op->getResult(0);
    auto type = bufferization::getBufferType(tensor, options, state);
    if (failed(type))
      return failure();
    replaceOpWithNewBufferizedOp<LoadWeightsOp>(
        rewriter, op, *type, cast<LoadWeightsOp>(op).getWeightsAttr());
    return success();
  }
};

/// One operand that is read; no result.
template <typename OpTy>
struct ReaderModel
    : BufferizableOpInterface::ExternalModel<ReaderModel<OpTy>, OpTy> {
  bool bufferizesToMemoryRead(Operation *, OpOperand &,
                              const AnalysisState &) const {
    return true;
  }
  bool bufferizesToMemoryWrite(Operation *, OpOperand &,
                               const AnalysisState &) const {
    return false;
  }
  AliasingValueList getAliasingValues(Operation *, OpOperand &,
                                      const AnalysisState &) const {
    return {};
  }

  LogicalResult bufferize(Operation *op, RewriterBase &rewriter,
                          const BufferizationOptions &options,
                          BufferizationState &state) const {
    FailureOr<Value> buffer =
        getBuffer(rewriter, op->getOperand(0), options, state);
    if (failed(buffer))
      return failure();
    rewriter.modifyOpInPlace(op, [&] { op->setOperand(0, *buffer); });
    return success();
  }
};

} // namespace

void mlir::spikequant::registerBufferizableOpInterfaceExternalModels(
    DialectRegistry &registry) {
  registry.addExtension(+[](MLIRContext *context, SpikeQuantDialect *) {
    EncodeSplitOp::attachInterface<DestinationModel<EncodeSplitOp>>(*context);
    IntegrateDecodeOp::attachInterface<DestinationModel<IntegrateDecodeOp>>(
        *context);
    LookupRowsOp::attachInterface<DestinationModel<LookupRowsOp>>(*context);
    LoadWeightsOp::attachInterface<LoadWeightsModel>(*context);
    ObserveOp::attachInterface<ReaderModel<ObserveOp>>(*context);
    TallyOp::attachInterface<ReaderModel<TallyOp>>(*context);
  });
}
