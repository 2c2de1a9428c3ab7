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

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace mlir::spikequant {

/// The processor that code is generated for. `cpu` is a name that LLVM knows,
/// or "native". Errors: an unknown name.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(llvm::StringRef cpu);

/// Whether the processor has the byte dot product on 512-bit vectors.
bool hasVnni(const llvm::TargetMachine &machine);

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
