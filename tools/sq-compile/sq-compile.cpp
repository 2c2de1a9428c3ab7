//===- sq-compile.cpp - graphs and weights to a compiled folder --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/Compile.h"
#include "spikequant/Tool/ToolMain.h"

#include "mlir/IR/Remarks.h"
#include "mlir/Remark/RemarkStreamer.h"
#include "mlir/Support/Timing.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/Path.h"

using namespace llvm;
using namespace mlir::spikequant;

namespace {
cl::OptionCategory category("sq-compile options");
cl::list<std::string> graphs(cl::Positional, cl::OneOrMore,
                             cl::desc("GRAPH.mlir .."), cl::cat(category));
cl::opt<std::string> output("o", cl::init("out"), cl::value_desc("folder"),
                            cl::desc("Compiled model"), cl::cat(category));
cl::opt<std::string> weights("weights", cl::value_desc("file"),
                             cl::desc("Weights, safetensors"),
                             cl::cat(category));
cl::opt<std::string> calibration("calibration", cl::value_desc("file"),
                                 cl::desc("Calibration of the bundle"),
                                 cl::cat(category));
cl::opt<bool> floatOnly("float", cl::desc("Do not quantise: the baseline"),
                        cl::cat(category));
cl::opt<bool> observe("observe",
                      cl::desc("Do not quantise; show every encode site to the "
                               "host, for calibration"),
                      cl::cat(category));
cl::opt<bool> probe("probe",
                    cl::desc("As --observe, with an argument of steps that the "
                             "inputs of sites are rounded to"),
                    cl::cat(category));
cl::opt<double> bits("bits", cl::init(4.25),
                     cl::desc("Mean bits per activation, events included"),
                     cl::cat(category));
cl::opt<std::string>
    allocation("allocation", cl::init("budget"),
               cl::desc("Where steps come from: budget (least predicted loss "
                        "for these bits), mad or percentile"),
               cl::cat(category));
cl::opt<std::string>
    budgetBy("budget-by", cl::init("values"),
             cl::desc("What the bits are a mean over: values, or macs"),
             cl::cat(category));
cl::opt<double> madFactor("mad-factor", cl::init(3.5),
                          cl::desc("mad: the step is so many medians of |x| "
                                   "over 7"),
                          cl::cat(category));
cl::opt<double> percentile("percentile", cl::init(0.95),
                           cl::desc("percentile: the step is this percentile "
                                    "of |x| over 7"),
                           cl::cat(category));
cl::opt<unsigned>
    tolerance("tolerance", cl::init(1),
              cl::desc("Counts so far outside their window saturate, 0 or 1"),
              cl::cat(category));
cl::opt<unsigned> weightBits("weight-bits", cl::init(4),
                             cl::desc("Bits of a weight code, 2 to 8"),
                             cl::cat(category));
cl::opt<double> weightBudget(
    "weight-budget", cl::init(0), cl::cat(category),
    cl::desc("Mean stored bits per weight of the layers, multipliers, offsets "
             "and scales included: each gets the bits and groups that serve it "
             "best. Instead of --weight-bits and --group"));
cl::opt<unsigned> group("group", cl::init(32),
                        cl::desc("Input channels per multiplier and offset; "
                                 "0: the whole row"),
                        cl::cat(category));
cl::opt<unsigned> headBits("head-bits", cl::init(8),
                           cl::desc("Bits of a code in the weights of the "
                                    "result and in embeddings"),
                           cl::cat(category));
cl::opt<unsigned> attentionBits(
    "attention-bits", cl::init(8), cl::cat(category),
    cl::desc("Bits of counts in products of activations, 2 to 8; 0: real"));
cl::opt<unsigned> cacheBits(
    "cache-bits", cl::init(0), cl::cat(category),
    cl::desc("Bits of counts in states; 0: as attention-bits; up to 4 "
             "share bytes"));
cl::opt<WeightRounding> rounding(
    "rounding", cl::init(WeightRounding::Automatic), cl::cat(category),
    cl::desc("How weights become codes"),
    cl::values(clEnumValN(WeightRounding::Automatic, "auto",
                          "second-order if the calibration has Gram matrices, "
                          "else nearest with errors weighted by the inputs"),
               clEnumValN(WeightRounding::Nearest, "nearest",
                          "least error of the weights"),
               clEnumValN(WeightRounding::SecondOrder, "second-order",
                          "least error of the outputs")));
cl::opt<std::string> method("method", cl::init("spike"),
                            cl::desc("spike or rtn (round to nearest)"),
                            cl::cat(category));
cl::opt<bool> realActivations("real-activations",
                              cl::desc("Leave functions between matrices as "
                                       "real numbers"),
                              cl::cat(category));
cl::opt<bool> noCentres("no-centres",
                        cl::desc("Put the windows of all channels around 0"),
                        cl::cat(category));
cl::opt<bool> fineCentres("fine-centres",
                          cl::desc("Search each channel's centre in eighths of "
                                   "a step"),
                          cl::cat(category));
cl::opt<bool> realResidual("real-residual",
                           cl::desc("Keep the residual stream and norms real"),
                           cl::cat(category));
cl::opt<bool> realSoftmax("real-softmax",
                          cl::desc("Leave masks and exponents of attention as "
                                   "real numbers"),
                          cl::cat(category));
cl::opt<bool> realRotations("real-rotations",
                            cl::desc("Leave rotary embeddings and divided rows "
                                     "before a threshold as real numbers"),
                            cl::cat(category));
cl::opt<bool> noFold("no-fold",
                     cl::desc("Leave scales where the graph has them"),
                     cl::cat(category));
enum class Rotation { None, Values };
cl::opt<Rotation>
    rotate("rotate", cl::init(Rotation::None), cl::cat(category),
           cl::desc("Hadamard rotations that weights absorb"),
           cl::values(clEnumValN(Rotation::None, "none", "no rotations"),
                      clEnumValN(Rotation::Values, "values",
                                 "of the values of attentions")));
cl::opt<bool> taps("taps", cl::desc("Show the counts of every site"),
                   cl::cat(category));
cl::opt<bool> profile("profile",
                      cl::desc("Measure the time of each kernel, for bench"),
                      cl::cat(category));
cl::opt<std::string> cpu("mcpu", cl::init("native"),
                         cl::desc("Processor to generate code for"),
                         cl::cat(category));
cl::opt<std::string> triple("mtriple",
                            cl::desc("Foreign system to generate code for, "
                                     "with --emit=obj or llvm"),
                            cl::cat(category));
cl::opt<InstructionSet> instructions(
    "isa", cl::init(InstructionSet::Automatic), cl::cat(category),
    cl::desc("Instructions of the dot product"),
    cl::values(clEnumValN(InstructionSet::Automatic, "auto",
                          "the fastest that is there"),
               clEnumValN(InstructionSet::Vnni, "vnni", "AVX-512 VNNI"),
               clEnumValN(InstructionSet::Portable, "portable",
                          "any vectors")));
cl::opt<CompileStage> stage(
    "emit", cl::init(CompileStage::Library), cl::cat(category),
    cl::desc("Stop early and print the program"),
    cl::values(
        clEnumValN(CompileStage::QuantizedMlir, "mlir-quantized", "tensors"),
        clEnumValN(CompileStage::Program, "program",
                   "a folder for sq-run and sq-translate, without code"),
        clEnumValN(CompileStage::Buffers, "mlir-buffers", "bufferised"),
        clEnumValN(CompileStage::Kernels, "mlir-kernels", "outlined kernels"),
        clEnumValN(CompileStage::Llvm, "llvm", "LLVM IR"),
        clEnumValN(CompileStage::Object, "obj", "keep the object files"),
        clEnumValN(CompileStage::Library, "library", "everything")));
cl::opt<std::string> json("json", cl::value_desc("file"),
                          cl::desc("Also write the report here"),
                          cl::cat(category));
cl::opt<std::string>
    remarks("remarks", cl::value_desc("regex"), cl::cat(category),
            cl::desc("Print the decisions of these categories, e.g. .*"));
cl::opt<std::string> remarksFile("remarks-output", cl::value_desc("file"),
                                 cl::desc("Write them to a YAML file instead"),
                                 cl::cat(category));

/// Decisions (sites, steps, kernels) are remarks.
bool enableRemarks(mlir::MLIRContext &context) {
  if (remarks.empty() && remarksFile.empty())
    return true;
  mlir::remark::RemarkCategories categories;
  categories.passed = categories.missed = categories.analysis =
      categories.failed =
          remarks.empty() ? std::string(".*") : remarks.getValue();
  auto policy = std::make_unique<mlir::remark::RemarkEmittingPolicyAll>();
  if (remarksFile.empty())
    return succeeded(mlir::remark::enableOptimizationRemarks(
        context, nullptr, std::move(policy), categories, true));
  return succeeded(mlir::remark::enableOptimizationRemarksWithLLVMStreamer(
      context, remarksFile, llvm::remarks::Format::YAML, std::move(policy),
      categories));
}

/// The libraries are beside the folder of this program.
std::string getRuntimeFolder(const char *program) {
  SmallString<256> path(sys::fs::getMainExecutable(
      program, reinterpret_cast<void *>(getRuntimeFolder)));
  sys::path::remove_filename(path);
  sys::path::append(path, "..", "lib");
  return path.str().str();
}

CompileOptions getOptions(const char *program) {
  CompileOptions options;
  options.graphs.assign(graphs.begin(), graphs.end());
  options.weights = weights;
  options.output = output;
  options.mode = probe       ? CompileMode::Probe
                 : observe   ? CompileMode::Observe
                 : floatOnly ? CompileMode::Float
                             : CompileMode::Quantized;
  options.stage = stage;
  options.calibration = calibration;
  options.bits = bits;
  options.allocation = allocation;
  options.budgetBy = budgetBy;
  options.madFactor = madFactor;
  options.percentile = percentile;
  options.tolerance = tolerance;
  options.weightBits = weightBits;
  options.weightBudget = weightBudget;
  options.group = group;
  options.headBits = headBits;
  options.attentionBits = attentionBits;
  options.cacheBits = cacheBits;
  options.rounding = rounding;
  options.method = method;
  options.rotateValues = rotate == Rotation::Values;
  options.fold = !noFold;
  options.foldActivations = !realActivations;
  options.centres = !noCentres;
  options.fineCentres = fineCentres;
  options.foldResidual = !realResidual;
  options.foldSoftmax = !realSoftmax;
  options.foldPositions = !realRotations;
  options.taps = taps;
  options.profile = profile;
  options.cpu = cpu;
  options.triple = triple;
  options.instructions = instructions;
  options.runtimeFolder = getRuntimeFolder(program);
  options.jsonReport = json;
  return options;
}
} // namespace

int main(int argc, char **argv) {
  InitLLVM init(argc, argv);
  cl::HideUnrelatedOptions(category);
  mlir::registerDefaultTimingManagerCLOptions();
  cl::ParseCommandLineOptions(argc, argv,
                              "Compiles linalg graphs and their weights\n");
  return runToolMain("sq-compile", [&](mlir::MLIRContext &context) -> Error {
    if (!enableRemarks(context))
      return createStringError("remarks cannot be written");
    return compileModel(getOptions(argv[0]), &context);
  });
}
