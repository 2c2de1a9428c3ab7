//===- InsertObservers.cpp - show encode sites to the host ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   %q = linalg.matmul {spikequant.site = "q"} ins(%x, %wq) ..
//   %k = linalg.matmul {spikequant.site = "k"} ins(%x, %wk) ..
// becomes
//   spikequant.observe %x {site = "q.in"} : ..
//   %q = ..
//   %k = ..
// and with `probe`, for an argument %steps that the function gets,
//   %s = tensor.extract %steps[0]
//   %y = x, or x rounded to multiples of s if s > 0
//   %q = linalg.matmul {spikequant.site = "q"} ins(%y, %wq) ..
//
//===----------------------------------------------------------------------===//

#include "Elementwise.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Products.h"

namespace mlir::spikequant {
#define GEN_PASS_DEF_INSERTOBSERVERS
#include "spikequant/Dialect/SpikeQuant/Transforms/Passes.h.inc"

namespace {

/// What argument `kProbeStepsName` does to the input of a site.
class Prober {
public:
  Prober(func::FuncOp function, int64_t sites);
  /// `value` with the error of site `number`'s step.
  Value round(OpBuilder &builder, Location loc, Value value, int64_t number);

private:
  Value steps;
};

class Observers {
public:
  Observers(func::FuncOp function, bool probe)
      : function(function), probe(probe) {}
  void insert();

private:
  void observe(Site site);
  /// What products of two activations read; no probe rounds it.
  void observeProducts();
  void roundSites(ArrayRef<Site> sites);

  func::FuncOp function;
  bool probe;
  RowForms seen;
  SmallVector<Attribute> names;
  /// By the number of the row form.
  SmallVector<Operation *> points;
};

Prober::Prober(func::FuncOp function, int64_t sites) {
  unsigned number = function.getNumArguments();
  OpBuilder builder(function.getContext());
  auto type = RankedTensorType::get({sites}, builder.getF32Type());
  auto name = builder.getNamedAttr("spikequant.name",
                                   builder.getStringAttr(kProbeStepsName));
  // Fails only for functions without a body, or of another type.
  if (succeeded(function.insertArgument(
          number, type, builder.getDictionaryAttr(name), function.getLoc())))
    steps = function.getArgument(number);
}

Value Prober::round(OpBuilder &builder, Location loc, Value value,
                    int64_t number) {
  Value index = arith::ConstantIndexOp::create(builder, loc, number);
  Value step = tensor::ExtractOp::create(builder, loc, steps, index);
  Value zero =
      arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(0.0f));
  Value isOn = arith::CmpFOp::create(builder, loc, arith::CmpFPredicate::OGT,
                                     step, zero);
  return createElementwise(
      builder, loc, value, getElementTypeOrSelf(value),
      [&](OpBuilder &b, Location l, ValueRange in) -> Value {
        Value count = arith::DivFOp::create(b, l, in[0], step);
        count = math::RoundEvenOp::create(b, l, count);
        Value rounded = arith::MulFOp::create(b, l, count, step);
        return arith::SelectOp::create(b, l, isOn, rounded, in[0]);
      });
}

void Observers::observe(Site site) {
  auto [number, isNew] = seen.insert(site.activation);
  if (!isNew)
    return;
  OpBuilder builder(getEncodePoint(site));
  Location loc = site.op.getLoc();
  auto name = builder.getStringAttr(getEncodeSiteName(site.op));
  points.push_back(ObserveOp::create(
      builder, loc, buildRows(builder, loc, site.activation), name));
  names.push_back(name);
}

void Observers::insert() {
  std::vector<Site> sites = getNamedSites(function);
  for (Site site : sites)
    observe(site);
  if (probe && !names.empty())
    roundSites(sites);
  observeProducts();
  function->setAttr(kSitesAttr, ArrayAttr::get(function.getContext(), names));
}

/// [.., a, b] as [.., a b].
Value joinLast(OpBuilder &builder, Value value) {
  int64_t rank = cast<RankedTensorType>(value.getType()).getRank();
  SmallVector<ReassociationIndices> groups;
  for (int64_t i = 0; i + 1 < rank; ++i)
    groups.push_back({i});
  groups.back().push_back(rank - 1);
  return tensor::CollapseShapeOp::create(builder, value.getLoc(), value,
                                         groups);
}

void Observers::observeProducts() {
  OpBuilder builder(function.getContext());
  for (auto &[name, value, grouped] : findProductInputs(function)) {
    builder.setInsertionPointAfterValue(value);
    auto attribute = builder.getStringAttr(name);
    ObserveOp::create(builder, value.getLoc(),
                      grouped ? joinLast(builder, value) : value, attribute);
    names.push_back(attribute);
  }
}

void Observers::roundSites(ArrayRef<Site> sites) {
  Prober prober(function, static_cast<int64_t>(names.size()));
  SmallVector<Value> rounded(names.size());
  for (Site site : sites) {
    unsigned number = seen.insert(site.activation).first;
    OpBuilder builder(function.getContext());
    builder.setInsertionPointAfter(points[number]);
    if (!rounded[number])
      rounded[number] = prober.round(builder, site.op.getLoc(),
                                     site.activation.value, number);
    for (OpOperand *input : site.op.getDpsInputOperands())
      if (input->get() == site.activation.value)
        input->set(rounded[number]);
  }
}

struct InsertObserversPass : impl::InsertObserversBase<InsertObserversPass> {
  using InsertObserversBase::InsertObserversBase;

  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (!function.isExternal())
        Observers(function, probe).insert();
  }
};

} // namespace
} // namespace mlir::spikequant
