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
///   decodes        decode operations of the graph that has most
///   encode_sites   per encoded value: `site`, `channels`, `fan_out` (products
///                  that one count drives), `mean_bits` (of its channels)
///   weight_bits    mean over the codes of all sites, with multipliers, offsets
///                  and scales; `layer_weight_bits`: without the tables that
///                  rows are also looked up from
///   islands        where real numbers remain: `name`, `count` in the same
///   graph
///                  and `share` of its operations
llvm::json::Object describeProgram(ModuleOp module, llvm::StringRef method);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_REPORT_H
