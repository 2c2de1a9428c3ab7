//===- TargetCode.h - LLVM IR to a shared library ------------- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_TARGETCODE_H
#define SPIKEQUANT_PIPELINES_TARGETCODE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>

#include "spikequant/Conversion/DotInstructions.h"

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace mlir::spikequant {

/// The processor that code is generated for. `cpu` is a name that LLVM knows,
/// or "native"; `triple` names a foreign system, empty: this one. Errors: an
/// unknown name, "native" on a foreign system.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(llvm::StringRef cpu, llvm::StringRef triple = "");

/// The fastest dot products that the processor has.
DotInstructions getDotInstructions(const llvm::TargetMachine &machine);

/// As `--convert-spikequant-dot4-to-llvm` names them.
llvm::StringRef getName(DotInstructions instructions);

/// The features that a processor must have to run the code, comma separated,
/// as far as they can be asked for at load time.
std::string getCheckedFeatures(const llvm::TargetMachine &machine);

/// A short list of passes. The default pipelines are quadratic in the length of
/// a whole model's body; loops are vectorised already.
void optimizeModule(llvm::Module &module, llvm::TargetMachine &machine);

llvm::Error emitObject(llvm::Module &module, llvm::TargetMachine &machine,
                       llvm::StringRef path);

/// Marks functions that only call kernels, once each per layer.
inline constexpr llvm::StringLiteral kGraphBodyAttr = "spikequant-graph-body";

/// Takes the bodies of graphs out of `module`, into a module of the same
/// context; what both use becomes visible to the linker (and hidden from
/// others). Code of bodies is worth no optimisation: register allocation of
/// thousands of calls in a row takes longer than all kernels.
std::unique_ptr<llvm::Module> splitGraphBodies(llvm::Module &module);

/// Links objects with the entry functions (libSpikeQuantModelEntry.a in
/// `runtimeFolder`) and the OpenMP run-time library.
llvm::Error linkLibrary(llvm::ArrayRef<std::string> objects,
                        llvm::StringRef runtimeFolder, llvm::StringRef path);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_TARGETCODE_H
