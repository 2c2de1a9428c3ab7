//===- Report.h - what a compiled model is made of ------------ *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_REPORT_H
#define SPIKEQUANT_PIPELINES_REPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/JSON.h"

namespace mlir::spikequant {

/// Fields of compile.json that describe the integer program; call it on
/// tensors, after quantisation:
///   sites          integrate sites, by weight
///   encode_sites   per encoded value: `site`, `channels`, `fan_out` (products
///                  that one count drives), `mean_bits` (of its channels)
///   weight_bits    mean over the codes of all sites, with multipliers, offsets
///                  and scales; `layer_weight_bits`: without the tables that
///                  rows are also looked up from
llvm::json::Object describeProgram(ModuleOp module, llvm::StringRef method);

/// Fields of compile.json about real numbers, for the graph with most integer
/// accumulations per token; call it on tensors before `spikequant-expand-math`:
///   decodes        decode operations outside named islands
///   islands        see `summarizeIslands`
///   islands_graph  the graph's name, its `tokens` per call, and per call its
///                  `integer_accumulations` and `real_operations`
FailureOr<llvm::json::Object> describeRealNumbers(ModuleOp module);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_REPORT_H
