//===- EraseMetadata.cpp - remove what only earlier stages read --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Codegen/Passes.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"

#include "mlir/Interfaces/FunctionInterfaces.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_ERASEMETADATA
#include "spikequant/Codegen/Passes.h.inc"

namespace {
bool isOurs(NamedAttribute attribute) {
  return attribute.getName().strref().starts_with("spikequant.");
}

void eraseAttributes(Operation *op) {
  SmallVector<StringAttr> names;
  for (NamedAttribute attribute : op->getDiscardableAttrs())
    if (isOurs(attribute))
      names.push_back(attribute.getName());
  for (StringAttr name : names)
    op->removeDiscardableAttr(name);
}

void eraseArgumentAttributes(FunctionOpInterface function) {
  for (unsigned number = 0; number < function.getNumArguments(); ++number)
    for (NamedAttribute attribute :
         llvm::to_vector(function.getArgAttrs(number)))
      if (isOurs(attribute))
        function.removeArgAttr(number, attribute.getName());
}

struct EraseMetadataPass : impl::EraseMetadataBase<EraseMetadataPass> {
  void runOnOperation() override {
    for (Operation &op :
         llvm::make_early_inc_range(*getOperation().getBody())) {
      if (isa<WeightsOp>(op)) {
        op.erase();
        continue;
      }
      eraseAttributes(&op);
      if (auto function = dyn_cast<FunctionOpInterface>(op))
        eraseArgumentAttributes(function);
    }
  }
};
} // namespace
} // namespace mlir::spikequant
