//===- TargetModel.h - what a chip can hold ---------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TARGET_TARGETMODEL_H
#define SPIKEQUANT_TARGET_TARGETMODEL_H

#include "spikequant/Target/SpikingNetwork.h"

#include "llvm/Support/Error.h"

namespace spikequant {

/// Limits of a chip. What a model does not state is not limited.
struct TargetModel {
  std::string name;
  std::optional<int64_t> cores;
  std::optional<int64_t> neuronsPerCore;
  std::optional<int64_t> inputsPerCore; ///< Input lines that a core can feed.
  std::optional<int64_t> fanIn;         ///< Synapses of one neuron.
  std::optional<int64_t> weightBits;    ///< With sign.
  std::optional<int64_t> membraneBits;  ///< With sign.
};

/// Parses a model, a JSON object as docs/Neuromorphic.md describes it; `what`
/// names it in errors. Unknown keys are errors: a limit must not be missed for
/// a typing mistake.
llvm::Expected<TargetModel> parseTargetModel(llvm::StringRef text,
                                             llvm::StringRef what);

/// Adds what does not fit (FIT-C1 to FIT-C4), with numbers. Populations do not
/// share cores.
void checkFit(const SpikingNetwork &network, const TargetModel &model,
              Problems &problems);

} // namespace spikequant

#endif // SPIKEQUANT_TARGET_TARGETMODEL_H
