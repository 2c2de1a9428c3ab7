//===- Centres.cpp - a centre for each channel's window -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Centres.h"

#include "spikequant/Allocation/Solvers.h"

#include "llvm/ADT/SmallVector.h"

#include <cmath>

using namespace llvm;
using namespace spikequant;

/// Values that end a window: this share lies outside. Those that are less than
/// a count outside saturate, the others are few.
static constexpr double outside = 0.005;

/// Where a step is coarse, the place of its counts among the values matters.
/// Centres move by these parts of it while that makes them better.
static constexpr double moves[] = {1.0, 0.5, 0.25, 0.125};

/// The best window around one centre.
static CentredChoice chooseAround(const CentredModel &model, float centre,
                                  const AllocationOptions &options,
                                  double errorBits) {
  CentredChoice best;
  best.centre = centre;
  for (int b = 0; b <= options.maxBits; ++b) {
    if (b == 1)
      continue;
    ChannelCost cost = model.evaluate(b, options.tolerance);
    double total =
        b + options.eventBits * cost.salient + errorBits * cost.variance;
    if (b == 0 || total < best.total) {
      best.bits = int8_t(b);
      best.cost = cost;
      best.total = total;
    }
    // Nothing that a wider window saves pays for its next bit.
    if (options.eventBits * cost.salient + 10 * cost.saturated < 0.5)
      break;
  }
  return best;
}

CentredChoice spikequant::chooseCentre(const ChannelLaw &law,
                                       const AllocationOptions &options,
                                       double step, double maxAbs) {
  double errorBits = options.getErrorBits() / (step * step);
  double lowest = law.getQuantile(outside);
  double highest = law.getQuantile(1 - outside);
  SmallVector<double, 8> centres = {law.all().first};
  for (int bits : {2, 3, 4}) {
    double reach = windowOf(bits) * step;
    if (highest - lowest > 1.5 * reach) {
      centres.push_back(lowest + reach);
      centres.push_back(highest - reach);
    }
  }
  CentredChoice best =
      chooseAround(CentredModel(law, step, 0.0), 0.0f, options, errorBits);
  auto improve = [&](double centre, double least) {
    auto rounded = float(centre);
    // Counts end at 32767.
    if (!(maxAbs + std::abs(centre) < 30000 * step))
      return false;
    CentredChoice choice = chooseAround(CentredModel(law, step, rounded),
                                        rounded, options, errorBits);
    bool better = choice.total < best.total - least;
    best = better ? choice : best;
    return better;
  };
  for (double centre : centres)
    improve(centre, 1e-3);
  if (!options.fineCentres)
    return best;
  for (double move : moves)
    if (double from = best.centre; !improve(from - move * step, 1e-3))
      improve(from + move * step, 1e-3);
  return best;
}

void spikequant::dropUselessLaws(SiteProblem &site,
                                 const AllocationOptions &options) {
  if (site.laws.empty())
    return;
  auto step = float(site.getTypicalAbs() / 2);
  double errorBits = options.getErrorBits() / (double(step) * step);
  auto costOf = [&](const SiteProblem &problem) {
    WindowChoice choice = chooseWindows(problem, options, step);
    return choice.activationBits + errorBits * choice.error;
  };
  SiteProblem plain = site;
  plain.laws.clear();
  plain.lawOf.clear();
  double saved = costOf(plain) - costOf(site);
  if (saved < 0.02 * site.getChannels())
    site = std::move(plain);
}
