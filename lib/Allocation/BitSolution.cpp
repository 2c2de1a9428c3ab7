//===- BitSolution.cpp - costs, checks and reports of an answer -----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/StepModel.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

#include <array>
#include <cmath>

using namespace llvm;
using namespace spikequant;

const SiteSolution *BitSolution::findSite(StringRef name) const {
  auto found = llvm::find_if(
      sites, [&](const SiteSolution &site) { return site.name == name; });
  return found == sites.end() ? nullptr : &*found;
}

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

SiteCost spikequant::computeCost(const SiteProblem &site,
                                 const AllocationOptions &options, float step,
                                 ArrayRef<int8_t> bits,
                                 ArrayRef<float> centres) {
  uint32_t channels = site.getChannels();
  StepModel model(site, options.tolerance, step);
  WindowModel window;
  SiteCost cost;
  for (int b = 0; b <= options.maxBits; ++b) {
    if (!llvm::is_contained(bits, b))
      continue;
    model.evaluate(b, window);
    for (uint32_t c = 0; c < channels; ++c) {
      if (bits[c] != b || site.getLaw(c))
        continue;
      cost.windowBits += b;
      cost.salient += window.salient[c];
      cost.saturated += window.saturated[c];
      cost.error += window.error[c];
    }
  }
  for (uint32_t c = 0; c < channels; ++c) {
    const ChannelLaw *law = site.getLaw(c);
    if (!law)
      continue;
    CentredModel centred(*law, step, centres[c]);
    ChannelCost channel = centred.evaluate(bits[c], options.tolerance);
    cost.windowBits += bits[c];
    cost.salient += channel.salient;
    cost.saturated += channel.saturated;
    cost.error += channel.variance;
  }
  cost.windowBits /= channels;
  cost.salient /= channels;
  cost.saturated /= channels;
  cost.error /= channels;
  return cost;
}

void spikequant::summarise(const BitProblem &problem, BitSolution &solution) {
  const AllocationOptions &options = problem.options;
  double values = 0.0, macs = 0.0, bits = 0.0, stored = 0.0, byMacs = 0.0;
  double salient = 0.0, loss = 0.0;
  std::vector<double> lossWeights = getLossWeights(problem);
  for (auto [site, answer, lossWeight] :
       llvm::zip_equal(problem.sites, solution.sites, lossWeights)) {
    double weight = site.getChannels();
    double siteBits = answer.cost.getActivationBits(options.eventBits);
    values += weight;
    macs += weight * site.fanOut;
    bits += weight * siteBits;
    byMacs += weight * site.fanOut * siteBits;
    stored += weight * answer.cost.getActivationBits(16.0);
    salient += weight * answer.cost.salient;
    answer.loss = lossWeight * weight * answer.cost.error;
    loss += answer.loss;
  }
  solution.activationBits = bits / values;
  solution.storedBits = stored / values;
  solution.activationBitsByMacs = byMacs / macs;
  solution.salient = salient / values;
  solution.expectedLoss = loss;
}

//===----------------------------------------------------------------------===//
// Verification
//===----------------------------------------------------------------------===//

static bool isClose(double a, double b) {
  return std::abs(a - b) <= 1e-9 * (1.0 + std::abs(a) + std::abs(b));
}

static Error verifyStep(const SiteProblem &site, const SiteSolution &answer) {
  const char *name = answer.name.c_str();
  if (!(answer.step > 0.0f) || !std::isnormal(answer.step))
    return createStringError("site '%s': the step %g is not a positive, finite "
                             "and normal number",
                             name, double(answer.step));
  if (site.maxAbs / answer.step > countLimit)
    return createStringError("site '%s': with step %g the largest value, %g, "
                             "would clip at %d counts",
                             name, double(answer.step), site.maxAbs,
                             countLimit);
  for (auto [channel, scale] : llvm::enumerate(site.encodeScales))
    if (!std::isnormal(scale / answer.step))
      return createStringError("site '%s', channel %zu: a / s = %g / %g is not "
                               "a normal number",
                               name, channel, double(scale),
                               double(answer.step));
  if (!std::isnormal(1.0f / answer.step))
    return createStringError("site '%s': 1 / s is not a normal number for the "
                             "step %g",
                             name, double(answer.step));
  return Error::success();
}

/// Centres and offsets are numbers, and no value clips.
static Error verifyCentres(const SiteProblem &site,
                           const SiteSolution &answer) {
  for (auto [channel, centre, offset] :
       llvm::enumerate(answer.centres, answer.offsets)) {
    if (!std::isfinite(centre) || !std::isfinite(offset))
      return createStringError("site '%s', channel %zu: centre %g and offset "
                               "%g must be finite",
                               answer.name.c_str(), channel, double(centre),
                               double(offset));
    if ((site.maxAbs + std::abs(centre)) / answer.step > countLimit)
      return createStringError(
          "site '%s', channel %zu: with step %g and centre "
          "%g the largest value, %g, would clip at %d "
          "counts",
          answer.name.c_str(), channel, double(answer.step), double(centre),
          site.maxAbs, countLimit);
  }
  return Error::success();
}

static Error verifyBits(const SiteProblem &site, const SiteSolution &answer,
                        int32_t maxBits) {
  const char *name = answer.name.c_str();
  if (answer.bits.size() != site.getChannels())
    return createStringError("site '%s': %zu windows for %u channels", name,
                             answer.bits.size(), site.getChannels());
  if (answer.centres.size() != (site.laws.empty() ? 0 : answer.bits.size()) ||
      answer.offsets.size() != answer.centres.size())
    return createStringError("site '%s': %zu centres and %zu offsets for %u "
                             "channels",
                             name, answer.centres.size(), answer.offsets.size(),
                             site.getChannels());
  for (auto [channel, bits] : llvm::enumerate(answer.bits))
    if (bits < 0 || bits > maxBits)
      return createStringError("site '%s', channel %zu: %d bits, allowed are 0 "
                               "to %d",
                               name, channel, int(bits), maxBits);
  return Error::success();
}

static Error verifyCost(const SiteProblem &site, const SiteSolution &answer,
                        const AllocationOptions &options) {
  SiteCost cost =
      computeCost(site, options, answer.step, answer.bits, answer.centres);
  if (isClose(cost.windowBits, answer.cost.windowBits) &&
      isClose(cost.salient, answer.cost.salient) &&
      isClose(cost.saturated, answer.cost.saturated) &&
      isClose(cost.error, answer.cost.error))
    return Error::success();
  return createStringError("site '%s': the recorded cost is not that of the "
                           "step and bits",
                           answer.name.c_str());
}

static Error verifySite(const SiteProblem &site, const SiteSolution &answer,
                        const AllocationOptions &options) {
  if (answer.name != site.name)
    return createStringError("site '%s' is answered as '%s'", site.name.c_str(),
                             answer.name.c_str());
  if (Error error = verifyStep(site, answer))
    return error;
  if (Error error = verifyBits(site, answer, options.maxBits))
    return error;
  if (Error error = verifyCentres(site, answer))
    return error;
  return verifyCost(site, answer, options);
}

static Error verifyMeans(const BitProblem &problem,
                         const BitSolution &solution) {
  BitSolution again = solution;
  summarise(problem, again);
  for (auto [site, answer] : llvm::zip_equal(again.sites, solution.sites))
    if (!isClose(site.loss, answer.loss))
      return createStringError(
          "site '%s': the recorded loss is not that of its "
          "error",
          site.name.c_str());
  if (isClose(again.activationBits, solution.activationBits) &&
      isClose(again.storedBits, solution.storedBits) &&
      isClose(again.activationBitsByMacs, solution.activationBitsByMacs) &&
      isClose(again.salient, solution.salient) &&
      isClose(again.expectedLoss, solution.expectedLoss))
    return Error::success();
  return createStringError("the recorded means are not those of the sites");
}

Error spikequant::verify(const BitProblem &problem,
                         const BitSolution &solution) {
  if (problem.sites.size() != solution.sites.size())
    return createStringError("%zu sites are answered of %zu",
                             solution.sites.size(), problem.sites.size());
  for (auto [site, answer] : llvm::zip_equal(problem.sites, solution.sites))
    if (Error error = verifySite(site, answer, problem.options))
      return error;
  if (Error error = verifyMeans(problem, solution))
    return error;
  double bits = solution.getBudgetedBits(problem.options.budgetBy);
  if (problem.options.rule == StepRule::Budget &&
      bits > problem.options.meanBits + 1e-9)
    return createStringError("%.4f bits per value exceed the budget of %.4f",
                             bits, problem.options.meanBits);
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Reports
//===----------------------------------------------------------------------===//

/// Number of channels per b.
static std::array<unsigned, 9> countBits(ArrayRef<int8_t> bits) {
  std::array<unsigned, 9> counts = {};
  for (int8_t b : bits)
    ++counts[size_t(b)];
  return counts;
}

std::string spikequant::describe(const BitProblem &problem,
                                 const SiteSolution &site) {
  std::string histogram;
  for (auto [bits, channels] : llvm::enumerate(countBits(site.bits)))
    if (channels != 0)
      histogram +=
          formatv("{0}{1}:{2}", histogram.empty() ? "" : " ", bits, channels);
  double total = site.cost.getActivationBits(problem.options.eventBits);
  return formatv("step {0}; channels per bits {1}; {2:f2} bits per value "
                 "({3:f2} window + {4:f2} events); {5:f2} % salient, {6:f2} % "
                 "saturated; {7}",
                 format("%.6g", double(site.step)), histogram, total,
                 site.cost.windowBits, total - site.cost.windowBits,
                 100 * site.cost.salient, 100 * site.cost.saturated,
                 site.reason);
}

static json::Value siteToJSON(const SiteSolution &site) {
  json::Array bits;
  for (int8_t b : site.bits)
    bits.push_back(int64_t(b));
  return json::Object{{"name", site.name},
                      {"step", double(site.step)},
                      {"bits", std::move(bits)},
                      {"window_bits", site.cost.windowBits},
                      {"salient", site.cost.salient},
                      {"saturated", site.cost.saturated},
                      {"expected_loss", site.loss},
                      {"reason", site.reason}};
}

json::Value spikequant::toJSON(const BitSolution &solution) {
  json::Array sites;
  for (const SiteSolution &site : solution.sites)
    sites.push_back(siteToJSON(site));
  return json::Object{
      {"activation_bits", solution.activationBits},
      {"stored_bits", solution.storedBits},
      {"activation_bits_by_macs", solution.activationBitsByMacs},
      {"salient", solution.salient},
      {"expected_loss", solution.expectedLoss},
      {"factor", solution.factor},
      {"sites", std::move(sites)}};
}
