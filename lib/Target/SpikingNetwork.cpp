//===- SpikingNetwork.cpp - what the spike codes share --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/SpikingNetwork.h"

#include "llvm/ADT/Twine.h"

#include <algorithm>

using namespace llvm;
using namespace spikequant;

bool SpikingNetwork::spikes(const SpikeLine &line, ArrayRef<int16_t> counts,
                            int64_t step) const {
  bool isControl = line.channel == SpikeLine::control;
  if (isControl)
    return step == (code == SpikeCode::Ladder ? 0 : pulses[line.index]);
  int32_t onRail = std::max(line.sign * counts[line.channel], 0);
  if (code == SpikeCode::Ladder)
    return step == 0 && ((onRail >> line.index) & 1);
  // A burst after pulse 0; any order in the window would do.
  return step >= 1 && step <= onRail;
}

SpikingNetwork spikequant::buildSpiking(const Network &network,
                                        Problems &problems) {
  return network.code == SpikeCode::Gated ? buildGated(network, problems)
                                          : buildLadder(network);
}

void spikequant::checkMembranes(const SpikingNetwork &network, unsigned bits,
                                StringRef why, Problems &problems) {
  int64_t limit = int64_t(1) << bits;
  for (auto [index, layer] : llvm::enumerate(network.layers))
    if (layer.membraneBound >= limit)
      problems.push_back(
          {int(index),
           ("NEU-C7: membranes of '" + layer.name + "' can reach " +
            Twine(layer.membraneBound) + ", " + why + " is exact below 2^" +
            Twine(bits) + " = " + Twine(limit) +
            "; select fewer input channels or fewer bits")
               .str()});
}
