//===- TargetCode.h - LLVM IR to a shared library ------------- *- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_PIPELINES_TARGETCODE_H
#define SPIKEQUANT_PIPELINES_TARGETCODE_H

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

/// Links `objectPath` with the entry functions (libSpikeQuantModelEntry.a in
/// `runtimeFolder`) and the OpenMP run-time library.
llvm::Error linkLibrary(llvm::StringRef objectPath,
                        llvm::StringRef runtimeFolder, llvm::StringRef path);

} // namespace mlir::spikequant

#endif // SPIKEQUANT_PIPELINES_TARGETCODE_H
