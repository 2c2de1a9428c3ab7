//===- WeightSymbols.h - creating and viewing weights symbols -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTSYMBOLS_H
#define SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTSYMBOLS_H

#include "mlir/IR/BuiltinOps.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"

namespace mlir {
class RewritePatternSet;
namespace spikequant {

/// On a function argument: the key of its data in the safetensors file.
inline constexpr llvm::StringLiteral kWeightAttr = "spikequant.weight";

/// What a `spikequant.weights` op says, without its name.
struct WeightsContent {
  RankedTensorType type;
  Attribute format;
  StringAttr source;
  /// Null for the identity.
  DenseI64ArrayAttr permutation;
  /// What no permutation says; null otherwise.
  ViewAttr view;
  ElementsAttr value;

  static WeightsContent of(WeightsOp op);
  bool operator==(const WeightsContent &other) const;
};

/// The weights op called `name`, or null.
WeightsOp lookupWeights(ModuleOp module, StringRef name);

/// The weights op with this name and content, created before the first function
/// if there is none. Fails, with a diagnostic at `loc`, if the name means
/// something else.
FailureOr<WeightsOp> getOrCreateWeights(ModuleOp module, Location loc,
                                        StringRef name,
                                        const WeightsContent &content);

/// The content of `weights` seen as `type` through `view`, which is composed
/// with the symbol's own view and has the shape of `type`. A source key keeps
/// the view; a literal is copied, and converted to the element type. Fails for
/// a literal that is neither dense nor a resource of whole bytes per element.
FailureOr<WeightsContent> viewContent(WeightsOp weights, const WeightView &view,
                                      RankedTensorType type);

/// Bytes of a literal with whole bytes per element, row-major; empty if there
/// is no such view of it (splats, strings, i1).
ArrayRef<char> getLiteralBytes(Attribute value);

/// Symbol of `weights` seen through `linalg.transpose`, named after the source:
/// `key` if the permutation is the identity, else `key.t10` and the like.
FailureOr<WeightsOp> getOrCreateTransposed(ModuleOp module, WeightsOp weights,
                                           ArrayRef<int64_t> permutation);

/// Erases the weights ops that nothing refers to.
void eraseUnusedWeights(ModuleOp module);

/// linalg.transpose(load_weights @w) -> load_weights @w.t10, and the same for a
/// linalg.generic that only transposes; an extension of f16 or bf16 weights to
/// f32 becomes load_weights @w.f32. Creates symbols in the module, so run
/// it from a pass on the module.
void populateFoldWeightTransposePatterns(RewritePatternSet &patterns);

} // namespace spikequant
} // namespace mlir

#endif // SPIKEQUANT_DIALECT_SPIKEQUANT_TRANSFORMS_WEIGHTSYMBOLS_H
