//===- HeldOut.cpp - is there enough calibration text --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/HeldOut.h"

#include "spikequant/Allocation/Solvers.h"

using namespace llvm;
using namespace spikequant;

static BitProblem makeProblem(const CalibrationData &data,
                              const AllocationOptions &options) {
  BitProblem problem;
  problem.options = options;
  for (const SiteStatistics &site : data.getSites())
    problem.addSite(site, /*fanOut=*/1.0);
  return problem;
}

/// Both have the same sites, in the same order: they are sorted by name.
static Error checkAlike(const CalibrationData &fit,
                        const CalibrationData &held) {
  if (fit.getSites().size() != held.getSites().size())
    return createStringError("%zu sites were held out of %zu",
                             held.getSites().size(), fit.getSites().size());
  for (const auto &[one, other] : zip_equal(fit.getSites(), held.getSites()))
    if (one.getName() != other.getName() ||
        one.getChannels() != other.getChannels())
      return createStringError("site '%s' is not the site '%s' held out",
                               one.getName().c_str(), other.getName().c_str());
  return Error::success();
}

Expected<HeldOutBits>
spikequant::compareHeldOut(const CalibrationData &fit,
                           const CalibrationData &held,
                           const AllocationOptions &options) {
  if (Error error = checkAlike(fit, held))
    return std::move(error);
  Expected<BitSolution> solution = solve(makeProblem(fit, options));
  if (!solution)
    return solution.takeError();
  HeldOutBits result;
  result.inSample = solution->activationBits;
  BitProblem others = makeProblem(held, options);
  for (auto [problem, site] : zip_equal(others.sites, solution->sites))
    site.cost = computeCost(problem, options, site.step, site.bits);
  summarise(others, *solution);
  result.heldOut = solution->activationBits;
  return result;
}
