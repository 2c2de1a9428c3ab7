//===- Target.cpp - the registry and the way through an export ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/Target.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace spikequant {

// Targets.def is written by CMake: one line per folder.
#define SPIKEQUANT_TARGET(Name) void add##Name##Targets(TargetList &targets);
#include "spikequant/Target/Targets.def"
#undef SPIKEQUANT_TARGET

const TargetList &allTargets() {
  static const TargetList targets = [] {
    TargetList list;
#define SPIKEQUANT_TARGET(Name) add##Name##Targets(list);
#include "spikequant/Target/Targets.def"
#undef SPIKEQUANT_TARGET
    return list;
  }();
  return targets;
}

static void checkCode(const NeuromorphicTarget &target, SpikeCode code,
                      Problems &problems) {
  if (llvm::is_contained(target.codes(), code))
    return;
  SmallVector<std::string> names;
  for (SpikeCode possible : target.codes())
    names.push_back("'" + nameOf(possible).str() + "'");
  problems.push_back(
      {Problem::onInput,
       ("NEU-C8: the target '" + target.name() + "' carries the code " +
        llvm::join(names, " or ") + ", not '" + nameOf(code) + "'")
           .str()});
}

Problems exportNetwork(const NeuromorphicTarget &target, Network network,
                       const ExportOptions &options, raw_ostream &os) {
  network.code = options.code.value_or(target.codes().front());
  Problems problems = checkNetwork(network);
  checkCode(target, network.code, problems);
  if (!problems.empty())
    return problems;
  ExportJob job{network, nullptr, options.stimulus};
  SpikingNetwork spiking;
  if (network.code != SpikeCode::Count) {
    spiking = buildSpiking(network, problems);
    job.spiking = &spiking;
    if (!problems.empty())
      return problems;
    if (options.model)
      checkFit(spiking, *options.model, problems);
  }
  target.check(job, problems);
  if (!problems.empty())
    return problems;
  if (Error failure = target.write(job, os))
    problems.push_back({Problem::onInput, toString(std::move(failure))});
  if (options.realised)
    *options.realised = std::move(spiking);
  return problems;
}

} // namespace spikequant
