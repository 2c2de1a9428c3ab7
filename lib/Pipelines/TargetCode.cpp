//===- TargetCode.cpp - LLVM IR to a shared library --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Pipelines/TargetCode.h"

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/MCSubtargetInfo.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/Transforms/Utils/Cloning.h"

using namespace llvm;

namespace mlir::spikequant {

static std::string getHostFeatures() {
  std::string features;
  for (const auto &feature : sys::getHostCPUFeatures())
    features += (features.empty() ? "" : ",") +
                std::string(feature.second ? "+" : "-") + feature.first().str();
  return features;
}

/// Turns off what a compiled library cannot find out about its processor: code
/// with such instructions would not be refused, but stopped by a signal.
static std::string withoutUnchecked(const Triple &triple,
                                    std::string features) {
  ArrayRef<const char *> unchecked;
  static const char *const x86[] = {
      "avxvnniint8", "avxvnniint16", "avxifma", "avxneconvert",
      "avx10.2",     "egpr",         "ndd",     "ppx",
      "push2pop2",   "cf",           "ccmp",    "nf",
      "zu",          "xop",          "fma4",    "tbm"};
  static const char *const arm[] = {"mops",     "cssc", "sve2p1", "sme",
                                    "faminmax", "lut",  "fp8"};
  if (triple.isX86())
    unchecked = x86;
  else if (triple.isAArch64())
    unchecked = arm;
  for (const char *feature : unchecked)
    features += (features.empty() ? "-" : ",-") + std::string(feature);
  return features;
}

Expected<std::unique_ptr<TargetMachine>>
createTargetMachine(StringRef cpu, StringRef tripleName) {
  InitializeAllTargetInfos();
  InitializeAllTargets();
  InitializeAllTargetMCs();
  InitializeAllAsmPrinters();
  Triple host(sys::getDefaultTargetTriple());
  Triple triple(tripleName.empty() ? host.str()
                                   : Triple::normalize(tripleName));
  std::string message;
  const Target *target = TargetRegistry::lookupTarget(triple, message);
  if (!target)
    return createStringError("no code generator for " + triple.str() + ": " +
                             message);
  if (cpu == "native" && triple.getArch() != host.getArch())
    return createStringError("no 'native' processor of " + triple.str() +
                             " here; name one with --mcpu");
  bool native = cpu == "native";
  std::string name = native ? sys::getHostCPUName().str() : cpu.str();
  std::unique_ptr<MCSubtargetInfo> info(
      target->createMCSubtargetInfo(triple, "", ""));
  if (!info->isCPUStringValid(name))
    return createStringError("unknown processor '" + name +
                             "'; llc-22 -mcpu=help lists the names");
  TargetOptions options;
  options.AllowFPOpFusion = FPOpFusion::Standard;
  return std::unique_ptr<TargetMachine>(target->createTargetMachine(
      triple, name, withoutUnchecked(triple, native ? getHostFeatures() : ""),
      options, Reloc::PIC_, std::nullopt, CodeGenOptLevel::Aggressive));
}

static bool hasFeature(const TargetMachine &machine, StringRef feature) {
  return machine.getMCSubtargetInfo()->checkFeatures(("+" + feature).str());
}

static bool isX86(const TargetMachine &machine) {
  return machine.getTargetTriple().isX86();
}

DotInstructions getDotInstructions(const TargetMachine &machine) {
  auto has = [&](const char *feature) { return hasFeature(machine, feature); };
  if (machine.getTargetTriple().isAArch64())
    return has("i8mm")      ? DotInstructions::NeonI8mm
           : has("dotprod") ? DotInstructions::NeonDot
                            : DotInstructions::Portable;
  if (!isX86(machine))
    return DotInstructions::Portable;
  bool wide = has("avx512bw");
  return wide && has("avx512vnni") ? DotInstructions::Avx512Vnni
         : has("avxvnni")          ? DotInstructions::AvxVnni
         : wide                    ? DotInstructions::Avx512Bw
         : has("avx2")             ? DotInstructions::Avx2
                                   : DotInstructions::Portable;
}

StringRef getName(DotInstructions instructions) {
  switch (instructions) {
  case DotInstructions::Portable:
    return "portable";
  case DotInstructions::Avx2:
    return "avx2";
  case DotInstructions::Avx512Bw:
    return "avx512bw";
  case DotInstructions::AvxVnni:
    return "avxvnni";
  case DotInstructions::Avx512Vnni:
    return "avx512vnni";
  case DotInstructions::NeonDot:
    return "dotprod";
  case DotInstructions::NeonI8mm:
    return "i8mm";
  }
  llvm_unreachable("every set has a name");
}

std::string getCheckedFeatures(const TargetMachine &machine) {
  std::string result;
  static const char *const x86[] = {
#define SQ_CPU_FEATURE(name) name,
#include "spikequant/Runtime/CpuFeatures.def"
#undef SQ_CPU_FEATURE
  };
  static const char *const arm[] = {
#define SQ_ARM_FEATURE(name, word, bit) name,
#include "spikequant/Runtime/CpuFeatures.def"
#undef SQ_ARM_FEATURE
  };
  ArrayRef<const char *> checked;
  if (isX86(machine))
    checked = x86;
  else if (machine.getTargetTriple().isAArch64())
    checked = arm;
  for (const char *feature : checked)
    if (hasFeature(machine, feature))
      result += (result.empty() ? "" : ",") + std::string(feature);
  return result;
}

void optimizeModule(Module &module, TargetMachine &machine) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager components;
  llvm::ModuleAnalysisManager modules;
  PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(components);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, components, modules);
  ModulePassManager passes;
  cantFail(builder.parsePassPipeline(
      passes, "always-inline,globaldce,"
              "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,"
              "simplifycfg,loop-mssa(licm),gvn,dse,adce,"
              "instcombine<no-verify-fixpoint>,simplifycfg),"
              // Kernels use two or three of the numbers that describe an array.
              "deadargelim,function(early-cse,adce)"));
  passes.run(module, modules);
}

/// Both modules refer to it by name.
static void share(GlobalValue &value) {
  if (!value.hasLocalLinkage())
    return;
  if (!value.hasName())
    value.setName("sq_shared");
  value.setLinkage(GlobalValue::ExternalLinkage);
  value.setVisibility(GlobalValue::HiddenVisibility);
}

std::unique_ptr<Module> splitGraphBodies(Module &module) {
  for (GlobalValue &value : module.global_values())
    share(value);
  ValueToValueMapTy mapping;
  std::unique_ptr<Module> bodies =
      CloneModule(module, mapping, [](const GlobalValue *value) {
        const auto *function = dyn_cast<Function>(value);
        return function && function->hasFnAttribute(kGraphBodyAttr);
      });
  for (Function &function : module)
    if (function.hasFnAttribute(kGraphBodyAttr)) {
      function.deleteBody();
      function.setVisibility(GlobalValue::HiddenVisibility);
    }
  return bodies;
}

Error emitObject(Module &module, TargetMachine &machine, StringRef path) {
  std::error_code code;
  raw_fd_ostream out(path, code);
  if (code)
    return createStringError(code, "cannot write '" + path + "'");
  legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, out, nullptr,
                                  CodeGenFileType::ObjectFile))
    return createStringError("the code generator cannot write object files");
  passes.run(module);
  out.flush();
  code = out.error();
  out.clear_error(); // Else the stream ends the process.
  if (code)
    return createStringError(code,
                             "cannot write '" + path + "': " + code.message());
  return Error::success();
}

Error linkLibrary(ArrayRef<std::string> objects, StringRef runtimeFolder,
                  StringRef path) {
  SmallString<256> entry(runtimeFolder);
  sys::path::append(entry, "libSpikeQuantModelEntry.a");
  if (!sys::fs::exists(entry))
    return createStringError("'" + entry +
                             "' is missing; build the target "
                             "SpikeQuantModelEntry");
  ErrorOr<std::string> compiler = sys::findProgramByName(SPIKEQUANT_LINKER);
  if (!compiler)
    return createStringError("cannot find '" SPIKEQUANT_LINKER
                             "' to link the library; install clang-22");
  SmallVector<StringRef> arguments = {*compiler, "-shared", "-fuse-ld=lld",
                                      "-o", path};
  arguments.append(objects.begin(), objects.end());
  arguments.append({entry, "-Wl,--no-undefined,--gc-sections,-Bsymbolic",
                    "-Wl,-u,sq_get_model,-u,sq_find_graph,-u,sq_check,"
                    "-u,sq_run,-u,sq_status_message,-u,sq_map_weights",
                    "-l:libomp.so.5", "-lm"});
  std::string message;
  int result = sys::ExecuteAndWait(*compiler, arguments, std::nullopt, {}, 0, 0,
                                   &message);
  if (result != 0)
    return createStringError("linking '" + path + "' failed " + message);
  return Error::success();
}

} // namespace mlir::spikequant
