//===- Target.h - the interface of an exporter ------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A target is one folder of lib/Target that defines
/// `void spikequant::add<Folder>Targets(TargetList &)`; the build finds it
/// (docs/AddingATarget.md).
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TARGET_TARGET_H
#define SPIKEQUANT_TARGET_TARGET_H

#include "spikequant/Target/TargetModel.h"

#include "llvm/Support/raw_ostream.h"

#include <memory>

namespace spikequant {

/// What an exporter is asked to write.
struct ExportJob {
  const Network &network;
  const SpikingNetwork *spiking = nullptr; ///< Null for the code `count`.
  const Stimulus *stimulus = nullptr;      ///< Null if none was given.
};

class NeuromorphicTarget {
public:
  virtual ~NeuromorphicTarget() = default;
  /// Of the option `--spikequant-to-<name>`.
  virtual llvm::StringRef name() const = 0;
  /// One line for the tool's help.
  virtual llvm::StringRef summary() const = 0;
  /// The codes that it can carry; the first is used if the program names none.
  virtual llvm::ArrayRef<SpikeCode> codes() const = 0;
  /// Adds what the target cannot express or compute exactly.
  virtual void check(const ExportJob &job, Problems &problems) const {}
  /// Writes the file. Called only if there is no problem.
  virtual llvm::Error write(const ExportJob &job,
                            llvm::raw_ostream &os) const = 0;
};

using TargetList = std::vector<std::unique_ptr<NeuromorphicTarget>>;

/// Every target, in the order of the folders.
const TargetList &allTargets();

/// How a network is exported.
struct ExportOptions {
  std::optional<SpikeCode> code;      ///< The target's first if absent.
  const TargetModel *model = nullptr; ///< Checks the fit if given.
  const Stimulus *stimulus = nullptr;
  /// Gets the realisation that was written, if the code has one.
  SpikingNetwork *realised = nullptr;
};

/// Checks the network, realises it in the code and writes it. Nothing is
/// written if a problem is returned.
Problems exportNetwork(const NeuromorphicTarget &target, Network network,
                       const ExportOptions &options, llvm::raw_ostream &os);

} // namespace spikequant

#endif // SPIKEQUANT_TARGET_TARGET_H
