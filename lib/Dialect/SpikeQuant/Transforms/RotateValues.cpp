//===- RotateValues.cpp - Hadamard rotations that weights absorb ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   v = x Wv, y = (P v) Wo
// becomes
//   v = x (Wv H), y = (P v) (H Wo)
//
// The program stays as it is; the module says which arrays are read rotated.
//
//===----------------------------------------------------------------------===//

#include "RemarkLocation.h"
#include "RotationWeb.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/Remarks.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/ChannelRotations.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "llvm/ADT/StringSet.h"

#include <limits>

namespace mlir::spikequant {
#define GEN_PASS_DEF_ROTATEVALUES
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

void addRotations(ModuleOp module, ::spikequant::SafetensorsFile &file) {
  auto rotations = module->getAttrOfType<DictionaryAttr>(kRotationsAttr);
  if (!rotations)
    return;
  for (NamedAttribute entry : rotations)
    for (auto list :
         cast<ArrayAttr>(entry.getValue()).getAsRange<DenseI64ArrayAttr>())
      file.addRotation(entry.getName(), {list[0], list[1], list[2], list[3]});
}

bool hasRotatedInput(ModuleOp module, StringRef source) {
  auto names = module->getAttrOfType<ArrayAttr>(kRotatedInputsAttr);
  return names && llvm::any_of(names.getAsRange<StringAttr>(),
                               [&](StringAttr a) { return a == source; });
}

namespace {

/// The dimensions of `operand` that only it has: of a mix of values, those that
/// a linear layer may read next.
SmallVector<int64_t> findOwnDimensions(linalg::LinalgOp op,
                                       OpOperand *operand) {
  SmallVector<int64_t> own;
  AffineMap map = op.getMatchingIndexingMap(operand);
  for (auto [d, expr] : llvm::enumerate(map.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    bool isShared = llvm::any_of(op.getDpsInputOperands(), [&](OpOperand *o) {
      return o != operand && dim &&
             op.getMatchingIndexingMap(o).isFunctionOfDim(dim.getPosition());
    });
    if (dim && !isShared &&
        op.getIteratorTypesArray()[dim.getPosition()] ==
            utils::IteratorType::parallel)
      own.push_back(int64_t(d));
  }
  return own;
}

class RotateValuesPass : public impl::RotateValuesBase<RotateValuesPass> {
public:
  using RotateValuesBase::RotateValuesBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    SmallVector<std::pair<func::FuncOp, linalg::LinalgOp>> products;
    for (auto function : module.getOps<func::FuncOp>())
      function.walk([&](linalg::LinalgOp op) {
        auto contraction = classifyContraction(op);
        if (contraction && contraction->kind == Contraction::Kind::Product)
          products.push_back({function, op});
      });
    for (auto [function, op] : products)
      tryProduct(function, op);
    setAttributes(module);
  }

private:
  void tryProduct(func::FuncOp function, linalg::LinalgOp op);
  enum class Outcome { New, Known, Conflict };
  Outcome rotate(const RotationWeb &web, int64_t block);
  void setAttributes(ModuleOp module);
  void remarkRotated(func::FuncOp function, linalg::LinalgOp op,
                     const RotationWeb &web, int64_t block);
  void remarkLeft(func::FuncOp function, linalg::LinalgOp op, StringRef reason);

  llvm::MapVector<StringRef, SmallVector<::spikequant::ChannelRotation>>
      rotations;
  llvm::SetVector<StringRef> inputs;
};

} // namespace

/// Both factors may be the values; the other one's rows are refused soon.
void RotateValuesPass::tryProduct(func::FuncOp function, linalg::LinalgOp op) {
  std::string reason = "no dimension of its own has a power of two";
  SmallVector<OpOperand *> operands = op.getDpsInputOperands();
  for (OpOperand *operand : llvm::reverse(operands))
    for (int64_t d : findOwnDimensions(op, operand)) {
      int64_t size =
          cast<RankedTensorType>(operand->get().getType()).getDimSize(d);
      int64_t block = size & -size;
      if (ShapedType::isDynamic(size) || block < int64_t(minBlock))
        continue;
      RotationWeb web(getOperation(), block);
      if (failed(web.grow({operand->get(), d, 0, size}))) {
        if (operand->getOperandNumber() == 1)
          reason = web.getReason().str();
        continue;
      }
      if (web.getAbsorbing().empty()) {
        reason = "no weights read its result";
        continue;
      }
      Outcome outcome = rotate(web, block);
      if (outcome == Outcome::New)
        remarkRotated(function, op, web, block);
      if (outcome != Outcome::Conflict)
        return;
      reason = "its weights are rotated in another way already";
    }
  remarkLeft(function, op, reason);
}

/// Known weights: the same product in another graph.
RotateValuesPass::Outcome RotateValuesPass::rotate(const RotationWeb &web,
                                                   int64_t block) {
  Outcome outcome = Outcome::Known;
  for (const auto &[source, axis] : web.getWeights()) {
    ::spikequant::ChannelRotation wanted{axis.dimension, axis.begin, axis.end,
                                         block};
    for (const auto &other : rotations[source])
      if (other.dimension == wanted.dimension && !(other == wanted) &&
          other.begin < wanted.end && wanted.begin < other.end)
        return Outcome::Conflict;
    if (!llvm::is_contained(rotations[source], wanted))
      outcome = Outcome::New;
  }
  if (outcome == Outcome::Known)
    return outcome;
  for (const auto &[source, axis] : web.getWeights())
    rotations[source].push_back({axis.dimension, axis.begin, axis.end, block});
  inputs.insert_range(web.getAbsorbing());
  return outcome;
}

void RotateValuesPass::setAttributes(ModuleOp module) {
  if (inputs.empty())
    return;
  Builder builder(&getContext());
  NamedAttrList entries;
  for (const auto &[source, list] : rotations) {
    SmallVector<Attribute> numbers;
    for (const auto &[dimension, begin, end, block] : list)
      numbers.push_back(
          builder.getDenseI64ArrayAttr({dimension, begin, end, block}));
    if (!numbers.empty())
      entries.append(source, builder.getArrayAttr(numbers));
  }
  module->setAttr(kRotationsAttr, entries.getDictionary(&getContext()));
  module->setAttr(kRotatedInputsAttr, builder.getStrArrayAttr(llvm::to_vector(
                                          inputs.getArrayRef())));
}

void RotateValuesPass::remarkRotated(func::FuncOp function, linalg::LinalgOp op,
                                     const RotationWeb &web, int64_t block) {
  std::string names;
  for (const auto &[source, axis] : web.getWeights())
    names += (names.empty() ? "'" : ", '") + source.str() + "'";
  remark::passed(getRemarkLocation(op.getLoc()),
                 remark::RemarkOpts::name("values-rotated")
                     .category("spikequant-rotate-values")
                     .function(function.getSymName()))
      << remark::add("values rotated in blocks of {0}, absorbed by {1}", block,
                     names);
}

void RotateValuesPass::remarkLeft(func::FuncOp function, linalg::LinalgOp op,
                                  StringRef reason) {
  remark::missed(getRemarkLocation(op.getLoc()),
                 remark::RemarkOpts::name("values-left")
                     .category("spikequant-rotate-values")
                     .function(function.getSymName()))
      << remark::add("values of a product left: {0}", reason);
}

} // namespace mlir::spikequant
