//===- Passes.td - reports on what a program costs --------------*- tablegen -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ENERGY_PASSES
#define SPIKEQUANT_ENERGY_PASSES

include "mlir/Pass/PassBase.td"

def ReportCounts : Pass<"spikequant-report-counts", "::mlir::ModuleOp"> {
  let summary = "operations and bytes moved, per layer and spike code";
  let description = [{
    Prints (to stderr) and writes (`json`) what every `integrate` of a graph does
    in each spike code: spikes, synaptic events, additions, multiplications,
    comparisons, bytes; and apart from them the operations on real numbers. The
    numbers are exact if `recorded` holds the counts of the layer's site, as
    `sq-run --record` writes them; otherwise they are estimated from the
    histograms in `calibration` and marked so. docs/OperationCounts.md defines
    every number. The program is not changed.

    ```
    sq-run OUT --function decode_256 --inputs in.npz --record taps.npz
    sq-opt OUT/quantized.mlir -o /dev/null --spikequant-report-counts="function=decode_256
        weights=OUT/weights.sqw recorded=taps.npz json=counts.json"
    ```
  }];
  let options = [
    Option<"function", "function", "std::string", "\"\"", "graph; default: the only one">,
    Option<"weights", "weights", "std::string", "\"\"",
           "packed weights (.sqw); not needed if all weights are literals">,
    Option<"recorded", "recorded", "std::string", "\"\"", "counts of the sites, .npz">,
    Option<"calibration", "calibration", "std::string", "\"\"",
           "statistics of the sites, for those that are not recorded">,
    Option<"json", "json", "std::string", "\"\"", "file to write; default: none">,
    Option<"assumedWindow", "assumed-window", "int32_t", "7",
           "a layer that decodes is counted as if it fired -w..w">
  ];
}

#endif // SPIKEQUANT_ENERGY_PASSES
