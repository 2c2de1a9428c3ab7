//===- Report.cpp - what a compiled model is made of -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/Report.h"
#include "spikequant/Analysis/Islands.h"
#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Dialect/SpikeQuant/IR/SpikeQuant.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightPlan.h"
#include "spikequant/Pipelines/Pipelines.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/MapVector.h"

#include <numeric>

using namespace llvm;

namespace mlir::spikequant {
namespace {

WeightsOp lookup(ModuleOp module, FlatSymbolRefAttr name) {
  return name ? module.lookupSymbol<WeightsOp>(name.getValue()) : WeightsOp();
}

/// Mean of the bits per channel; the baseline's counts have four.
double getMeanBits(ModuleOp module, FlatSymbolRefAttr symbol,
                   StringRef method) {
  WeightsOp bits = lookup(module, symbol);
  auto values = bits ? dyn_cast_or_null<DenseElementsAttr>(
                           bits.getValue().value_or(ElementsAttr()))
                     : DenseElementsAttr();
  if (!values)
    return method == "rtn" ? 4 : 16;
  auto range = values.getValues<int8_t>();
  return std::accumulate(range.begin(), range.end(), 0.0) /
         values.getNumElements();
}

/// Encodes, and fires with a site: both make the counts of a site.
struct CountsSite {
  StringRef name;
  Value counts;
  FlatSymbolRefAttr bits;
  double step; ///< 0 if the thresholds are literal and nothing tells it
};

std::optional<CountsSite> getCountsSite(ModuleOp module, Operation *op) {
  if (auto encode = dyn_cast<EncodeOp>(op))
    return CountsSite{encode.getSite(), encode.getCounts(),
                      encode.getBitsAttr(), encode.getStep().convertToDouble()};
  auto fire = dyn_cast<FireOp>(op);
  if (!fire || !fire.getSite())
    return std::nullopt;
  WeightsOp table = lookup(module, fire.getThresholdsAttr());
  auto format =
      table ? dyn_cast<ThresholdsAttr>(table.getFormat()) : ThresholdsAttr();
  FloatAttr step =
      format ? format.getOutput() : fire->getAttrOfType<FloatAttr>(kStepAttr);
  return CountsSite{*fire.getSite(), fire.getCounts(), fire.getBitsAttr(),
                    step ? step.getValueAsDouble() : 0};
}

json::Array describeEncodes(ModuleOp module, StringRef method) {
  MapVector<StringRef, json::Object> sites;
  module.walk([&](Operation *op) {
    std::optional<CountsSite> counts = getCountsSite(module, op);
    if (!counts)
      return;
    int64_t fanOut = 0;
    for (Operation *user : counts->counts.getUsers())
      if (auto integrate = dyn_cast<IntegrateOp>(user))
        fanOut += cast<ShapedType>(integrate.getMembrane().getType())
                      .getShape()
                      .back();
    // Factors of products of activations have no fan-out and no events.
    if (fanOut == 0 || sites.count(counts->name))
      return;
    json::Object &site = sites[counts->name];
    site["site"] = counts->name.str();
    site["channels"] =
        cast<ShapedType>(counts->counts.getType()).getShape().back();
    site["fan_out"] = fanOut;
    site["mean_bits"] = getMeanBits(module, counts->bits, method);
    site["step"] = counts->step;
  });
  json::Array list;
  for (auto &site : sites)
    list.push_back(std::move(site.second));
  return list;
}

double getBitsPerWeight(WeightsOp op, CodesAttr codes) {
  return getStoredBits(codes.getBits(), codes.getGroup(),
                       op.getArrayType().getShape().back(),
                       codes.getSymmetric());
}

struct WeightedMean {
  double sum = 0, weight = 0;
  void add(double value, double by) {
    sum += value * by;
    weight += by;
  }
  json::Value get() const {
    return weight > 0 ? json::Value(sum / weight) : json::Value(nullptr);
  }
};

void describeWeights(ModuleOp module, json::Object &report) {
  SetVector<WeightsOp> sites;
  DenseSet<Operation *> tables;
  module.walk([&](Operation *op) {
    if (auto integrate = dyn_cast<IntegrateOp>(op))
      sites.insert(lookup(module, integrate.getWeightsAttr()));
    if (auto rows = dyn_cast<LookupOp>(op))
      tables.insert(lookup(module, rows.getWeightsAttr()));
  });
  WeightedMean all, layers;
  json::Object formats;
  for (WeightsOp op : sites)
    if (auto codes = op ? dyn_cast<CodesAttr>(op.getFormat()) : CodesAttr()) {
      double bits = getBitsPerWeight(op, codes);
      all.add(bits, op.getArrayType().getNumElements());
      formats[op.getSymName()] =
          json::Object{{"bits", int64_t(codes.getBits())},
                       {"group", int64_t(codes.getGroup())},
                       {"stored_bits", bits}};
      if (!tables.contains(op))
        layers.add(bits, op.getArrayType().getNumElements());
    }
  report["sites"] = int64_t(sites.size());
  report["weight_bits"] = all.get();
  report["layer_weight_bits"] = layers.get();
  report["weight_formats"] = std::move(formats);
}

} // namespace

json::Object describeProgram(ModuleOp module, StringRef method) {
  json::Object report{{"method", method.str()}};
  report["encode_sites"] = describeEncodes(module, method);
  describeWeights(module, report);
  return report;
}

FailureOr<json::Object> describeRealNumbers(ModuleOp module) {
  // Broadcasts and intermediate results of one expression are no operations.
  OwningOpRef<ModuleOp> fused = module.clone();
  PassManager pm(module.getContext());
  buildFusionPipeline(pm);
  if (failed(pm.run(*fused)))
    return failure();
  std::optional<IslandReport> largest;
  for (auto graph : fused->getOps<func::FuncOp>()) {
    IslandReport report = findIslands(graph);
    if (!largest || report.accumulations / report.tokens >
                        largest->accumulations / largest->tokens)
      largest = std::move(report);
  }
  if (!largest)
    return json::Object{};
  return json::Object{{"decodes", largest->getDecodes()},
                      {"islands", summarizeIslands(*largest)},
                      {"islands_graph", largest->function},
                      {"tokens", largest->tokens},
                      {"integer_accumulations", largest->accumulations},
                      {"real_operations", largest->getScalars()}};
}

} // namespace mlir::spikequant
