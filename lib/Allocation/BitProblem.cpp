//===- BitProblem.cpp - the bit problem and its checks --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/BitProblem.h"

#include "Centres.h"

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

static constexpr std::pair<BudgetBy, StringLiteral> budgetNames[] = {
    {BudgetBy::Values, "values"}, {BudgetBy::Macs, "macs"}};

StringRef spikequant::getBudgetByName(BudgetBy by) {
  for (auto [value, name] : budgetNames)
    if (value == by)
      return name;
  return "unknown";
}

Expected<BudgetBy> spikequant::parseBudgetBy(StringRef name) {
  for (auto [value, known] : budgetNames)
    if (known == name)
      return value;
  return createStringError("unknown kind of budget '" + name +
                           "'; choose values or macs");
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

/// Channels that a centre may help.
static void addLaws(SiteProblem &site, const SiteStatistics &statistics) {
  site.lawOf.assign(statistics.getChannels(), -1);
  for (uint32_t c = 0; c < statistics.getChannels(); ++c)
    if (ChannelLaw::isSkewed(statistics, c)) {
      site.lawOf[c] = int32_t(site.laws.size());
      site.laws.emplace_back(statistics, c);
    }
  if (site.laws.empty())
    site.lawOf.clear();
}

SiteProblem &BitProblem::addSite(const SiteStatistics &statistics,
                                 double fanOut, bool centred) {
  SiteProblem &site = sites.emplace_back();
  site.name = statistics.getName();
  site.tails = MagnitudeTails(statistics);
  site.medianAbs = statistics.getMedianAbs();
  site.medianNonzeroAbs = getMedianOfNonzero(statistics);
  site.percentileAbs = statistics.getPercentile(options.percentile);
  site.fanOut = fanOut;
  site.sensitivity = statistics.getSensitivity();
  double total = 0.0;
  for (uint32_t c = 0; c < statistics.getChannels(); ++c) {
    total += statistics.getMeanSquare(c);
    site.maxAbs = std::max(site.maxAbs, double(statistics.getMaxAbs(c)));
  }
  site.rootMeanSquare = std::sqrt(total / statistics.getChannels());
  if (centred && options.rule == StepRule::Budget) {
    addLaws(site, statistics);
    dropUselessLaws(site, options);
  }
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
  if (!(options.errorBits >= 0.0) || !std::isfinite(options.errorBits))
    return createStringError("the bits of an error must not be negative, as %g "
                             "is",
                             options.errorBits);
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

static Error checkEncodeScales(const SiteProblem &site) {
  const std::vector<float> &scales = site.encodeScales;
  if (!scales.empty() && scales.size() != site.getChannels())
    return createStringError("site '%s': %zu encode scales for %u channels",
                             site.name.c_str(), scales.size(),
                             site.getChannels());
  if (!llvm::all_of(scales, [](float scale) { return isUsable(scale); }))
    return createStringError("site '%s': encode scales must be finite and not "
                             "negative",
                             site.name.c_str());
  return Error::success();
}

static Error checkSite(const SiteProblem &site) {
  if (site.name.empty() || site.getChannels() == 0)
    return createStringError("site '%s' has no name or no channels",
                             site.name.c_str());
  if (!isUsable(site.medianAbs) || !isUsable(site.medianNonzeroAbs) ||
      !isUsable(site.rootMeanSquare) || !isUsable(site.percentileAbs) ||
      !isUsable(site.maxAbs))
    return createStringError("site '%s': the scales must be finite and not "
                             "negative",
                             site.name.c_str());
  if (!(site.fanOut > 0.0) || !std::isfinite(site.fanOut))
    return createStringError("site '%s': the fan-out must be positive, not %g",
                             site.name.c_str(), site.fanOut);
  if (!isUsable(site.sensitivity.value_or(0.0)))
    return createStringError(
        "site '%s': the sensitivity must be finite and not "
        "negative, not %g",
        site.name.c_str(), *site.sensitivity);
  return checkEncodeScales(site);
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

//===----------------------------------------------------------------------===//
// Weights of sites
//===----------------------------------------------------------------------===//

bool spikequant::hasSensitivities(const BitProblem &problem) {
  return llvm::all_of(problem.sites,
                      [](const SiteProblem &site) {
                        return site.sensitivity.has_value();
                      }) &&
         llvm::any_of(problem.sites, [](const SiteProblem &site) {
           return *site.sensitivity > 0.0;
         });
}

double SiteProblem::getTypicalAbs() const {
  if (medianNonzeroAbs > 0.0)
    return medianNonzeroAbs;
  return rootMeanSquare > 0.0 ? rootMeanSquare : 1.0;
}

double spikequant::assumedSensitivity(const SiteProblem &site,
                                      size_t siteCount) {
  double typical = site.getTypicalAbs(), channels = site.getChannels();
  double fanOut = std::min(site.fanOut, 8 * channels);
  if (fanOut < channels / 4)
    fanOut = channels * std::max(1.0, std::sqrt(double(siteCount)) / 2);
  return fanOut / (channels * typical * typical);
}

std::vector<double> spikequant::getLossWeights(const BitProblem &problem) {
  bool measured = hasSensitivities(problem);
  std::vector<double> weights, energies;
  double total = 0.0;
  for (const SiteProblem &site : problem.sites) {
    double typical = site.getTypicalAbs();
    weights.push_back(measured
                          ? *site.sensitivity
                          : assumedSensitivity(site, problem.sites.size()));
    energies.push_back(site.getChannels() * typical * typical);
    total += weights.back() * energies.back();
  }
  double least = 1e-4 * total / double(problem.sites.size());
  for (auto [weight, energy] : llvm::zip_equal(weights, energies))
    weight = std::max(weight, least / energy);
  return weights;
}
