//===- WriteCounts.cpp - operation counts as JSON and as a table ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Energy/OperationCounts.h"

#include "llvm/Support/FormatVariadic.h"

using namespace llvm;
using namespace spikequant;

static void writeCode(const OperationCounts &counts, json::OStream &json) {
  json.attribute("spikes", counts.spikes);
  json.attribute("synaptic_events", counts.synapticEvents);
  json.attribute("additions", counts.additions);
  json.attribute("multiplications", counts.multiplications);
  json.attribute("comparisons", counts.comparisons);
  json.attributeObject("bytes", [&] {
    json.attribute("weights", counts.weightBytes);
    json.attribute("counts", counts.countBytes);
    json.attribute("events", counts.eventBytes);
    json.attribute("membranes", counts.membraneBytes);
  });
}

static void writeLayer(const LayerActivity &layer, json::OStream &json) {
  json.attribute("name", layer.name);
  json.attribute("input", layer.input);
  json.attribute("source", layer.estimated ? "estimated" : "recorded");
  json.attribute("inputs", layer.inputs);
  json.attribute("outputs", layer.outputs);
  json.attribute("rows", layer.rows);
  json.attribute("runs", layer.runs);
  json.attributeObject("fire", [&] {
    json.attribute("lo", layer.lo);
    json.attribute("hi", layer.hi);
    json.attribute("assumed", layer.assumedFire);
  });
  json.attribute("weight_bits", layer.weightBits);
  json.attribute("membrane_bits", layer.membraneBits);
  json.attribute("salient_events", countSalient(layer));
  json.attribute("dram_bytes", layer.packedBytes * layer.runs);
  json.attributeObject("codes", [&] {
    for (CountedCode code : allCountedCodes)
      json.attributeObject(
          nameOf(code), [&] { writeCode(countOperations(layer, code), json); });
  });
}

static void writeOther(const RealOperations &other, json::OStream &json) {
  json.attribute("operations", other.operations);
  json.attribute("additions", other.additions);
  json.attribute("multiplications", other.multiplications);
  json.attribute("divisions", other.divisions);
  json.attribute("comparisons", other.comparisons);
  json.attribute("functions", other.functions);
  json.attribute("conversions", other.conversions);
  json.attribute("bytes", other.bytes);
}

static OperationCounts sumOf(const CountsReport &report, CountedCode code) {
  OperationCounts sum;
  for (const LayerActivity &layer : report.layers)
    sum += countOperations(layer, code);
  return sum;
}

void spikequant::writeCounts(const CountsReport &report, json::OStream &json) {
  json.object([&] {
    json.attribute("format", "spikequant-counts");
    json.attribute("version", 1);
    json.attribute("name", report.name);
    json.attributeArray("layers", [&] {
      for (const LayerActivity &layer : report.layers)
        json.object([&] { writeLayer(layer, json); });
    });
    json.attributeObject("totals", [&] {
      for (CountedCode code : allCountedCodes)
        json.attributeObject(nameOf(code),
                             [&] { writeCode(sumOf(report, code), json); });
    });
    json.attributeObject("other", [&] {
      for (const auto &entry : report.others)
        json.attributeObject(entry.first,
                             [&] { writeOther(entry.second, json); });
    });
    json.attribute("loops_of_unknown_length", report.unknownLoops);
  });
}

//===----------------------------------------------------------------------===//
// Table
//===----------------------------------------------------------------------===//

/// 1234567 as 1.235e6: columns stay narrow.
static std::string shortly(int64_t value) {
  if (value < 1000000)
    return std::to_string(value);
  return formatv("{0:E3}", static_cast<double>(value)).str();
}

static void printLayers(const CountsReport &report, raw_ostream &os) {
  os << formatv("{0,-28} {1,6} {2,12} {3,9} {4,10} {5,10} {6,10} {7,10}\n",
                "layer", "rows", "K x N", "salient", "rate", "planes", "digits",
                "one spike");
  for (const LayerActivity &layer : report.layers) {
    auto events = [&](CountedCode code) {
      return shortly(countOperations(layer, code).synapticEvents);
    };
    os << formatv(
        "{0,-28} {1,6} {2,12} {3,9} {4,10} {5,10} {6,10} {7,10}{8}\n",
        layer.name, layer.rows,
        formatv("{0} x {1}", layer.inputs, layer.outputs).str(),
        countSalient(layer), events(CountedCode::Rate),
        events(CountedCode::BinaryPlanes), events(CountedCode::SignedDigits),
        events(CountedCode::OneSpike), layer.estimated ? "  estimated" : "");
  }
}

static void printTotals(const CountsReport &report, raw_ostream &os) {
  os << formatv("\n{0,-14} {1,10} {2,10} {3,10} {4,10} {5,12} {6,14}\n",
                "all layers", "spikes", "additions", "products", "compares",
                "event bytes", "on-chip bytes");
  for (CountedCode code : allCountedCodes) {
    OperationCounts sum = sumOf(report, code);
    os << formatv("{0,-14} {1,10} {2,10} {3,10} {4,10} {5,12} {6,14}\n",
                  nameOf(code), shortly(sum.spikes), shortly(sum.additions),
                  shortly(sum.multiplications), shortly(sum.comparisons),
                  shortly(sum.eventBytes),
                  shortly(sum.weightBytes + sum.countBytes + sum.eventBytes +
                          sum.membraneBytes));
  }
  int64_t dram = 0;
  for (const LayerActivity &layer : report.layers)
    dram += layer.packedBytes * layer.runs;
  os << "weights from DRAM, once per run: " << dram << " bytes\n";
}

static void printOthers(const CountsReport &report, raw_ostream &os) {
  if (report.others.empty())
    return;
  os << formatv("\n{0,-14} {1,6} {2,10} {3,10} {4,10} {5,10} {6,10} {7,12}\n",
                "real numbers", "ops", "additions", "products", "divisions",
                "compares", "functions", "bytes");
  for (const auto &[kind, other] : report.others)
    os << formatv("{0,-14} {1,6} {2,10} {3,10} {4,10} {5,10} {6,10} {7,12}\n",
                  kind, other.operations, shortly(other.additions),
                  shortly(other.multiplications), shortly(other.divisions),
                  shortly(other.comparisons), shortly(other.functions),
                  shortly(other.bytes));
  if (report.unknownLoops)
    os << report.unknownLoops
       << " loops of unknown length are counted as if they ran once\n";
}

void spikequant::printCounts(const CountsReport &report, raw_ostream &os) {
  os << "operations of '" << report.name << "', synaptic events by code:\n";
  printLayers(report, os);
  printTotals(report, os);
  printOthers(report, os);
}
