//===- BitProblem.cpp - the bit problem and its checks --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/BitProblem.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

#include <cmath>

using namespace llvm;
using namespace spikequant;

static constexpr std::pair<StepRule, StringLiteral> ruleNames[] = {
    {StepRule::Budget, "budget"},
    {StepRule::Mad, "mad"},
    {StepRule::Percentile, "percentile"}};

StringRef spikequant::getStepRuleName(StepRule rule) {
  for (auto [value, name] : ruleNames)
    if (value == rule)
      return name;
  return "unknown";
}

Expected<StepRule> spikequant::parseStepRule(StringRef name) {
  for (auto [value, known] : ruleNames)
    if (known == name)
      return value;
  return createStringError("unknown step rule '" + name +
                           "'; choose budget, mad or percentile");
}

/// Exact zeros (behind a ReLU, half of all values) are rounded without error
/// and say nothing about the size of the others.
static double getMedianOfNonzero(const SiteStatistics &statistics) {
  double zeros = 0.0, finite = 0.0;
  for (uint32_t c = 0; c < statistics.getChannels(); ++c) {
    zeros += statistics.getCount(c, magnitude::tinyBin);
    finite += double(statistics.getFiniteCount(c));
  }
  double zeroShare = finite > 0.0 ? zeros / finite : 0.0;
  return statistics.getPercentile(0.5 + 0.5 * zeroShare);
}

SiteProblem &BitProblem::addSite(const SiteStatistics &statistics,
                                 double fanOut) {
  SiteProblem &site = sites.emplace_back();
  site.name = statistics.getName();
  site.tails = MagnitudeTails(statistics);
  site.medianAbs = getMedianOfNonzero(statistics);
  site.percentileAbs = statistics.getPercentile(options.percentile);
  site.fanOut = fanOut;
  double total = 0.0;
  for (uint32_t c = 0; c < statistics.getChannels(); ++c) {
    site.meanSquares.push_back(statistics.getMeanSquare(c));
    total += site.meanSquares.back();
    site.maxAbs = std::max(site.maxAbs, double(statistics.getMaxAbs(c)));
  }
  site.rootMeanSquare = std::sqrt(total / statistics.getChannels());
  return site;
}

static Error checkOptions(const AllocationOptions &options) {
  if (options.maxBits < 2 || options.maxBits > 8)
    return createStringError("the widest window must have 2 to 8 bits, not %d",
                             options.maxBits);
  if (!(options.meanBits > 0.0) || options.meanBits > options.maxBits)
    return createStringError("the mean bits must be above 0 and at most %d, "
                             "not %g",
                             options.maxBits, options.meanBits);
  if (!(options.meanBitsTolerance > 0.0) || options.meanBitsTolerance > 1.0)
    return createStringError("the tolerance of the mean bits must be above 0 "
                             "and at most 1, not %g",
                             options.meanBitsTolerance);
  if (!(options.eventBits > 0.0) || !std::isfinite(options.eventBits))
    return createStringError("the bits of an event must be positive, not %g",
                             options.eventBits);
  if (options.tolerance < 0 || options.tolerance > 1)
    return createStringError("the tolerance must be 0 or 1, not %d",
                             options.tolerance);
  if (!(options.madFactor > 0.0) || !std::isfinite(options.madFactor))
    return createStringError("the MAD factor must be positive, not %g",
                             options.madFactor);
  if (!(options.percentile > 0.0) || !(options.percentile < 1.0))
    return createStringError("the percentile must lie between 0 and 1, not %g",
                             options.percentile);
  return Error::success();
}

static bool isUsable(double value) {
  return std::isfinite(value) && value >= 0;
}

template <typename T>
static Error checkVector(const SiteProblem &site, const std::vector<T> &values,
                         const char *what, bool optional) {
  if (values.size() != site.getChannels() && !(optional && values.empty()))
    return createStringError("site '%s': %zu %s for %u channels",
                             site.name.c_str(), values.size(), what,
                             site.getChannels());
  if (!llvm::all_of(values, [](T value) { return isUsable(value); }))
    return createStringError("site '%s': %s must be finite and not negative",
                             site.name.c_str(), what);
  return Error::success();
}

static Error checkSite(const SiteProblem &site) {
  if (site.name.empty() || site.getChannels() == 0)
    return createStringError("site '%s' has no name or no channels",
                             site.name.c_str());
  if (!isUsable(site.medianAbs) || !isUsable(site.rootMeanSquare) ||
      !isUsable(site.percentileAbs) || !isUsable(site.maxAbs))
    return createStringError("site '%s': the scales must be finite and not "
                             "negative",
                             site.name.c_str());
  if (!(site.fanOut > 0.0) || !std::isfinite(site.fanOut))
    return createStringError("site '%s': the fan-out must be positive, not %g",
                             site.name.c_str(), site.fanOut);
  if (Error error = checkVector(site, site.meanSquares, "mean squares", false))
    return error;
  if (Error error =
          checkVector(site, site.columnEnergies, "column energies", true))
    return error;
  return checkVector(site, site.encodeScales, "encode scales", true);
}

Error BitProblem::check() const {
  if (Error error = checkOptions(options))
    return error;
  if (sites.empty())
    return createStringError("no site to quantise");
  StringSet<> names;
  for (const SiteProblem &site : sites) {
    if (Error error = checkSite(site))
      return error;
    if (!names.insert(site.name).second)
      return createStringError("site '%s' occurs twice", site.name.c_str());
  }
  return Error::success();
}
