//===- IslandReport.cpp - islands as text and JSON ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Analysis/Islands.h"

#include "mlir/IR/Operation.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace mlir::spikequant {
namespace {

struct KindText {
  IslandKind kind;
  StringRef name, reason;
  bool named;
};

/// One row per kind.
constexpr bool kNamed = true;
const KindText kKinds[] = {
    {IslandKind::NormRow, "norm row",
     "a norm needs one reciprocal square root per row", kNamed},
    {IslandKind::SoftmaxRow, "softmax row",
     "a softmax needs one maximum and one reciprocal per row", kNamed},
    {IslandKind::Exponent, "exponent", "the exponent is not a table yet",
     kNamed},
    {IslandKind::FinalLogits, "final logits", "the host wants real results",
     kNamed},
    {IslandKind::Embedding, "embedding",
     "rows of the table enter the program as real numbers", kNamed},
    {IslandKind::EncodeRow, "row scale", "rows are scaled by their own maximum",
     kNamed},
    {IslandKind::Row, "row statistics", "a reduction of real values", false},
    {IslandKind::Normalised, "normalised values",
     "more than a scale per row and channel is between them and the next "
     "threshold",
     false},
    {IslandKind::Probabilities, "probabilities",
     "the next product does not count them", false},
    {IslandKind::Product, "product of activations",
     "its operands are not counts", false},
    {IslandKind::RealWeights, "real weights", "its weights were not quantised",
     false},
    {IslandKind::Activation, "activation function",
     "no threshold list or table stands for it", false},
    {IslandKind::Gating, "gating", "its factors are not counts", false},
    {IslandKind::Residual, "residual",
     "the stream is not on a fixed-point grid", false},
    {IslandKind::Rotary, "rotary embedding", "its operands are not counts",
     false},
    {IslandKind::Positions, "added positions",
     "the stream is not on a fixed-point grid", false},
    {IslandKind::Tables, "position tables",
     "depend on positions and constants only", false},
    {IslandKind::Bias, "bias", "not followed by a threshold", false},
    {IslandKind::Scaling, "scaling", "not followed by a threshold", false},
    {IslandKind::Mask, "mask", "selects between real values", false},
    {IslandKind::Decode, "decode", "not followed by a threshold alone", false},
    {IslandKind::Encode, "encode", "its input is real", false},
    {IslandKind::Movement, "movement", "moves real values", false},
    {IslandKind::Other, "other", "not recognised", false},
};

const KindText &getText(IslandKind kind) {
  for (const KindText &text : kKinds)
    if (text.kind == kind)
      return text;
  llvm_unreachable("every kind has a row");
}

double divide(double a, double b) { return b > 0 ? a / b : 0; }

std::string getPlace(Operation *op) {
  std::string text;
  raw_string_ostream(text) << op->getLoc();
  return text;
}

json::Object describe(const Island &island, const IslandReport &report) {
  double all = double(report.getScalars()) + double(report.accumulations);
  json::Object object{{"name", getIslandName(island.kind)},
                      {"count", island.count},
                      {"operations", int64_t(island.operations.size())},
                      {"decodes", island.decodes},
                      {"elements", island.elements},
                      {"real_operations", island.scalars},
                      {"share", divide(island.scalars, all)},
                      {"bytes", island.bytes},
                      {"share_of_bytes", divide(island.bytes, report.bytes)},
                      {"named", isNamedIsland(island.kind)},
                      {"reason", getIslandReason(island.kind)}};
  // There is nothing to relate to in a float program.
  if (report.accumulations)
    object["per_accumulation"] = divide(island.scalars, report.accumulations);
  return object;
}
} // namespace

StringRef getIslandName(IslandKind kind) { return getText(kind).name; }
StringRef getIslandReason(IslandKind kind) { return getText(kind).reason; }
bool isIslandName(StringRef name) {
  return llvm::any_of(kKinds,
                      [&](const KindText &text) { return text.name == name; });
}
bool isNamedIsland(IslandKind kind) { return getText(kind).named; }

json::Array summarizeIslands(const IslandReport &report) {
  json::Array list;
  for (const Island &island : report.getSummary())
    list.push_back(describe(island, report));
  return list;
}

json::Object describeIslands(const IslandReport &report) {
  json::Array list;
  for (const Island &island : report.getSummary()) {
    json::Object entry = describe(island, report);
    json::Array places;
    for (const Island &part : report.islands)
      if (part.kind == island.kind) {
        Operation *first = part.operations.front();
        places.push_back(
            json::Object{{"operation", first->getName().getStringRef()},
                         {"location", getPlace(first)},
                         {"operations", int64_t(part.operations.size())},
                         {"real_operations", part.scalars}});
      }
    entry["places"] = std::move(places);
    list.push_back(std::move(entry));
  }
  return json::Object{{"name", report.function},
                      {"tokens", report.tokens},
                      {"integer_accumulations", report.accumulations},
                      {"real_operations", report.getScalars()},
                      {"decodes", report.getDecodes()},
                      {"bytes", report.bytes},
                      {"islands", std::move(list)}};
}

void printIslands(const IslandReport &report, raw_ostream &out) {
  out << formatv("@{0}: per token {1} integer accumulations, {2} real "
                 "operations; {3} decodes outside named islands\n",
                 report.function, report.accumulations / report.tokens,
                 report.getScalars() / report.tokens, report.getDecodes());
  out << formatv("  {0,-24}{1,8}{2,8}{3,9}{4,14}{5,11}{6,9}  {7}\n", "island",
                 "count", "ops", "decodes", "real/token", "real/acc", "bytes",
                 "why");
  for (const Island &island : report.getSummary())
    out << formatv(
        "{0} {1,-24}{2,8}{3,8}{4,9}{5,14:F1}{6,10:F3}%{7,8:F2}%  {8}\n",
        isNamedIsland(island.kind) ? ' ' : '*', getIslandName(island.kind),
        island.count, island.operations.size(), island.decodes,
        divide(island.scalars, report.tokens),
        100 * divide(island.scalars, report.accumulations),
        100 * divide(island.bytes, report.bytes),
        getIslandReason(island.kind).str() + ", first at " +
            getPlace(island.operations.front()));
  out << "  * outside named islands\n";
}

} // namespace mlir::spikequant
