//===- sq-run.cpp - the reference: runs tensor-level programs -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Reference/Runner.h"
#include "spikequant/Tool/ToolMain.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"

using namespace llvm;
using namespace mlir::spikequant;
using spikequant::NpzArrays;
using spikequant::readNpz;
using spikequant::writeNpz;

namespace {
cl::OptionCategory category("sq-run options");
cl::opt<std::string> program(cl::Positional, cl::Required,
                             cl::desc("PROGRAM.mlir or a compiled folder"),
                             cl::cat(category));
cl::opt<std::string> function("function", cl::value_desc("name"),
                              cl::desc("Graph to run (default: the only one)"),
                              cl::cat(category));
cl::opt<std::string> weights("weights", cl::value_desc("file"),
                             cl::desc("Packed weights (.sqw) or safetensors"),
                             cl::cat(category));
cl::opt<std::string> inputs("inputs", cl::value_desc("in.npz"),
                            cl::desc("Arguments: arg0, arg1, .. or by "
                                     "name; state may be left out"),
                            cl::cat(category));
cl::opt<std::string> outputs("outputs", cl::value_desc("out.npz"),
                             cl::desc("Results: out0, out1, .."),
                             cl::cat(category));
cl::opt<bool> print("print", cl::desc("Print the results"), cl::cat(category));
cl::opt<std::string>
    record("record", cl::value_desc("taps.npz"),
           cl::desc("Write counts and membranes of every site, and what each "
                    "encode reads"),
           cl::cat(category));
cl::list<std::string>
    sites("site", cl::value_desc("SITE"), cl::cat(category),
          cl::desc("Record only the real values that this layer or encode site "
                   "reads, and run only what it needs; may be repeated"));
cl::opt<bool> batch("batch", cl::cat(category),
                    cl::desc("The inputs have a leading batch axis: run once "
                             "per item, for --site"));
cl::opt<int64_t> rows("rows", cl::init(0), cl::value_desc("n"),
                      cl::desc("Record the first n rows of each array only"),
                      cl::cat(category));
cl::opt<std::string>
    replay("replay", cl::value_desc("taps.npz"),
           cl::desc("Do not run: recompute the integers of every site from "
                    "recorded inputs and compare"),
           cl::cat(category));
enum class Integration { Multiply, Planes };
cl::opt<Integration>
    integration("integrate", cl::cat(category), cl::init(Integration::Multiply),
                cl::desc("How membranes come about; the integers are the same"),
                cl::values(clEnumValN(Integration::Multiply, "multiply",
                                      "counts times weights"),
                           clEnumValN(Integration::Planes, "planes",
                                      "additions over binary spike planes")));

Error run(ReferenceProgram &loaded) {
  NpzArrays arguments;
  if (!inputs.empty()) {
    Expected<NpzArrays> read = readNpz(inputs);
    if (!read)
      return read.takeError();
    arguments = std::move(*read);
  }
  RunOptions options;
  options.record = !record.empty();
  options.rowLimit = rows;
  options.onlySites = sites;
  options.batch = batch;
  options.spikePlanes = integration == Integration::Planes;
  Expected<RunResult> result = runProgram(loaded, arguments, options);
  if (!result)
    return result.takeError();
  for (const auto &[name, array] : result->outputs)
    if (print) {
      outs() << name << " ";
      printArray(array, outs());
    }
  if (!record.empty())
    if (Error failure = writeNpz(record, result->taps))
      return failure;
  return outputs.empty() ? Error::success()
                         : writeNpz(outputs, result->outputs);
}

Error compareWithTaps(ReferenceProgram &loaded) {
  Expected<NpzArrays> taps = readNpz(replay);
  if (!taps)
    return taps.takeError();
  Expected<int64_t> differences =
      replayTaps(loaded, *taps, outs(), integration == Integration::Planes);
  if (!differences)
    return differences.takeError();
  if (*differences > 0)
    return createStringError("'" + replay + "' differs from the reference in " +
                             Twine(*differences) + " arrays");
  return Error::success();
}

Error runTool(mlir::MLIRContext &context) {
  if (!sites.empty() && (record.empty() || print || !outputs.empty()))
    return createStringError("--site is for --record alone: the results are "
                             "not computed");
  if (batch && sites.empty())
    return createStringError("--batch is for --site");
  Expected<ReferenceProgram> loaded =
      loadProgram(program, function, weights, &context);
  if (!loaded)
    return loaded.takeError();
  return replay.empty() ? run(*loaded) : compareWithTaps(*loaded);
}
} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(
      argc, argv, "Runs a quantised program by its definitions, slowly\n");
  return runToolMain("sq-run", runTool);
}
