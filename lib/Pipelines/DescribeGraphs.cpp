//===- DescribeGraphs.cpp - graphs as the host sees them ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/GraphContext.h"
#include "spikequant/Pipelines/LoadGraphs.h"
#include "spikequant/Pipelines/ModelTables.h"
#include "spikequant/Runtime/ElementType.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <functional>
#include <numeric>

namespace mlir::spikequant {

int64_t ArraySpec::getBytes() const {
  return std::accumulate(shape.begin(), shape.end(), elementBytes,
                         std::multiplies<>());
}

static FailureOr<ArraySpec> describeArray(func::FuncOp graph, unsigned number) {
  auto type = dyn_cast<MemRefType>(graph.getArgument(number).getType());
  std::optional<int32_t> element =
      type ? getElementCode(type.getElementType()) : std::nullopt;
  if (!element || !type.hasStaticShape() || !type.getLayout().isIdentity())
    return graph.emitError("argument ")
           << number << " has type " << graph.getArgument(number).getType()
           << ", which cannot cross the C interface";
  ArraySpec spec;
  spec.elementType =
      isUnsignedArray(graph, number) ? getUnsignedCode(*element) : *element;
  spec.elementBytes = llvm::divideCeil(type.getElementTypeBitWidth(), 8);
  spec.shape.assign(type.getShape().begin(), type.getShape().end());
  if (auto name = graph.getArgAttrOfType<StringAttr>(number, kNameAttr))
    spec.name = name.str();
  return spec;
}

/// Places `value` at `index`, growing the list.
template <typename T>
static void place(std::vector<T> &list, int64_t index, T value, T filler) {
  if (index >= static_cast<int64_t>(list.size()))
    list.resize(index + 1, filler);
  list[index] = std::move(value);
}

static std::string getResultName(func::FuncOp graph, int64_t number) {
  if (auto names = graph->getAttrOfType<ArrayAttr>(kResultNamesAttr))
    return cast<StringAttr>(names[number]).str();
  return "out" + std::to_string(number);
}

static FailureOr<GraphSpec> describeGraph(func::FuncOp graph) {
  GraphSpec spec;
  spec.name = graph.getName().str();
  for (unsigned number = 0; number < graph.getNumArguments(); ++number) {
    if (graph.getArgAttr(number, kWeightsFileAttr))
      break;
    FailureOr<ArraySpec> array = describeArray(graph, number);
    if (failed(array))
      return failure();
    if (auto result =
            graph.getArgAttrOfType<IntegerAttr>(number, "spikequant.result")) {
      array->name = getResultName(graph, result.getInt());
      place(spec.results, result.getInt(), *array, ArraySpec());
      place<int64_t>(spec.resultStates, result.getInt(), -1, -1);
      continue;
    }
    if (auto state =
            graph.getArgAttrOfType<IntegerAttr>(number, "spikequant.state")) {
      place(spec.results, state.getInt(), *array, ArraySpec());
      place<int64_t>(spec.resultStates, state.getInt(), spec.arguments.size(),
                     -1);
      array->stateResult = state.getInt();
    }
    spec.arguments.push_back(*array);
  }
  if (auto bytes = graph->getAttrOfType<IntegerAttr>("spikequant.arena_bytes"))
    spec.arenaBytes = bytes.getInt();
  for (Attribute site : graph->getAttrOfType<ArrayAttr>(kSitesAttr))
    spec.sites.push_back(cast<StringAttr>(site).str());
  return spec;
}

FailureOr<std::vector<GraphSpec>> describeGraphs(ModuleOp module) {
  std::vector<GraphSpec> graphs;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!getContextArgument(function, kArenaAttr))
      continue;
    FailureOr<GraphSpec> graph = describeGraph(function);
    if (failed(graph))
      return failure();
    graphs.push_back(std::move(*graph));
  }
  return graphs;
}

} // namespace mlir::spikequant
