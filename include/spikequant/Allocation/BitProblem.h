//===- BitProblem.h - steps and bits under a budget -----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The decision that calibration serves: one step per encode site and a window
// per channel. A problem, its answer and the checks of both are plain data,
// free of IR; solvers are free functions (Solvers.h).
//
// A channel with b bits has the window L = 2^(b-1) - 1 (0 for b < 2). With step
// s and tolerance t, |n| > L + t is salient and happens when |x| reaches
// (L + t + 1/2) s. A value then costs  b + 32 P(salient)  bits.
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_ALLOCATION_BITPROBLEM_H
#define SPIKEQUANT_ALLOCATION_BITPROBLEM_H

#include "spikequant/Allocation/ChannelLaw.h"
#include "spikequant/Allocation/MagnitudeTails.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spikequant {

/// Window of a channel with `bits` (0..8) bits.
constexpr int32_t windowOf(int bits) {
  return bits < 2 ? 0 : (1 << (bits - 1)) - 1;
}

/// How steps come about. Every rule leaves the bits to the firing rates.
enum class StepRule {
  /// Least predicted loss under one budget for all sites (default).
  Budget,
  /// The paper's: step = madFactor * median |x| / 7. Meets no budget.
  Mad,
  /// step = percentile of |x| / 7. Meets no budget.
  Percentile
};

/// What the budget is a mean over.
enum class BudgetBy {
  /// Encoded values, all alike.
  Values,
  /// Multiply-accumulates: a value counts once per output that it drives.
  Macs
};

/// "budget", "mad", "percentile".
llvm::StringRef getStepRuleName(StepRule rule);
llvm::Expected<StepRule> parseStepRule(llvm::StringRef name);
/// "values", "macs".
llvm::StringRef getBudgetByName(BudgetBy by);
llvm::Expected<BudgetBy> parseBudgetBy(llvm::StringRef name);

struct AllocationOptions {
  StepRule rule = StepRule::Budget;
  BudgetBy budgetBy = BudgetBy::Values;
  /// Budget: mean over all sites of b + eventBits P(salient), predicted from
  /// the calibration text. In (0, maxBits].
  double meanBits = 4.25;
  /// How far below the budget the answer may stay (never above).
  double meanBitsTolerance = 0.01;
  /// Cost of one salient value (32: an event with its address), > 0.
  double eventBits = 32.0;
  /// Rule `Budget` pays so many bits for s^2 less of squared error when it
  /// chooses a window, >= 0. The default is their worth at the best steps:
  /// halving s costs one bit and takes s^2 / 12 to a quarter, so a bit buys
  /// 2 ln 2 s^2 / 12.
  double errorBits = 8.66;
  /// Counts so far outside their window saturate: 0 or 1.
  int32_t tolerance = 1;
  /// Widest window, 2..8.
  int32_t maxBits = 8;
  /// Centres are searched in eighths of a step.
  bool fineCentres = false;
  double madFactor = 3.5;
  /// Fraction of |x| below the percentile, in (0, 1).
  double percentile = 0.95;

  /// `errorBits` for rule `Budget`, 0 for the others.
  double getErrorBits() const;
};

/// One encode site.
struct SiteProblem {
  std::string name;
  MagnitudeTails tails;
  /// Median and root mean square of |x| over all channels; the percentile rule
  /// reads `percentileAbs`, the budget rule the median of what is not 0.
  double medianAbs = 0.0;
  double medianNonzeroAbs = 0.0;
  double rootMeanSquare = 0.0;
  double percentileAbs = 0.0;
  /// Largest finite |x|: counts end at 32767, and a salient value must not
  /// clip.
  double maxAbs = 0.0;
  /// What one unit of squared error per vector costs: nats per token if it was
  /// measured; otherwise empty, and `assumedSensitivity` stands in. >= 0.
  std::optional<double> sensitivity;
  /// Multiply-accumulates that one value drives: outputs of all consumers.
  double fanOut = 1.0;
  /// The a_j folded into encode, r_j = f32(a_j / s); empty: all 1. `tails` are
  /// those of a_j x.
  std::vector<float> encodeScales;
  /// Channels whose windows have a centre of their own and whose mean error a
  /// bias takes away, as far as that pays; others: -1. Both empty if none has.
  std::vector<ChannelLaw> laws;
  std::vector<int32_t> lawOf;

  /// Null for a channel whose window lies around 0.
  const ChannelLaw *getLaw(uint32_t channel) const {
    return lawOf.empty() || lawOf[channel] < 0 ? nullptr
                                               : &laws[lawOf[channel]];
  }
  uint32_t getChannels() const { return tails.getChannels(); }
  /// The median of what is not 0; else the root mean square; 1 for a site of
  /// zeros.
  double getTypicalAbs() const;
};

struct BitProblem {
  AllocationOptions options;
  std::vector<SiteProblem> sites;

  /// Appends a site. With `centred`, a bias behind its matrices is possible:
  /// skewed channels get centres where that pays (rule `Budget` only).
  SiteProblem &addSite(const SiteStatistics &statistics, double fanOut,
                       bool centred = false);

  /// Whether the question makes sense: options in range, distinct sites with
  /// channels, vectors of the right length, finite and not negative.
  llvm::Error check() const;
};

/// Counts are clamped to +-32767. Steps keep the largest value of the
/// calibration text at 24576 or less: evaluated text may hold larger ones.
constexpr int32_t countLimit = 32767;
constexpr int32_t plannedCountLimit = 24576;

/// What one step and one set of windows cost at a site, per value.
struct SiteCost {
  /// Mean of b.
  double windowBits = 0.0;
  /// P(salient) and P(saturated by tolerance).
  double salient = 0.0;
  double saturated = 0.0;
  /// E[(x - value of its count)^2]; without its mean where there is a law.
  double error = 0.0;

  double getActivationBits(double eventBits) const {
    return windowBits + eventBits * salient;
  }
};

struct SiteSolution {
  std::string name;
  float step = 1.0f;
  /// Per channel, 0 or 2..8.
  std::vector<int8_t> bits;
  /// Per channel: the centre z of the window, and E[x - s n], which the
  /// matrices behind see as a constant. Both empty if no channel has a law; 0
  /// for those that have none.
  std::vector<float> centres, offsets;
  SiteCost cost;
  /// Predicted loss: weight of the site times squared error of a vector.
  double loss = 0.0;
  /// Step before the global factor, and where it came from, for remarks.
  double scale = 1.0;
  std::string reason;
};

struct BitSolution {
  std::vector<SiteSolution> sites;
  /// Means over all values of all sites; b + 32 P, b + 16 P, and weighted by
  /// the multiply-accumulates that a value drives.
  double activationBits = 0.0;
  double storedBits = 0.0;
  double activationBitsByMacs = 0.0;
  double salient = 0.0;
  /// Sum over sites: nats per token if all sensitivities were measured.
  double expectedLoss = 0.0;
  /// Factor common to all sites (1 for rules without a budget).
  double factor = 1.0;

  const SiteSolution *findSite(llvm::StringRef name) const;
  /// What a budget of that kind limits.
  double getBudgetedBits(BudgetBy by) const {
    return by == BudgetBy::Macs ? activationBitsByMacs : activationBits;
  }
};

/// Whether every site of the problem has a measured sensitivity, some of them
/// above 0. Only then are they used.
bool hasSensitivities(const BitProblem &problem);

/// Weight of a site's squared error if nobody measured it, in relative units:
/// fan-out / (channels typical^2). Each output of the site's consumers inherits
/// the relative error of its inputs, so the error counts once per output, up to
/// 8 outputs per channel. A narrow result (less than a quarter of the channels:
/// a classifier, a bottleneck) is all that the rest sees: it counts like as
/// many outputs as channels, and sqrt(siteCount) / 2 as many if that is more,
/// since the sites before it share what they do with others.
double assumedSensitivity(const SiteProblem &site, size_t siteCount);

/// The weights that the solver minimises with, one per site: the measured
/// sensitivities, or the assumed ones. Above 0: a site that seems not to matter
/// at all (measurements are noisy) counts a ten thousandth of an average one.
std::vector<double> getLossWeights(const BitProblem &problem);

/// Cost of given bits. `bits` has one entry per channel, and so have `centres`
/// where the site has laws.
SiteCost computeCost(const SiteProblem &site, const AllocationOptions &options,
                     float step, llvm::ArrayRef<int8_t> bits,
                     llvm::ArrayRef<float> centres = {});

/// Fills the losses and means of `solution` from its sites' costs.
void summarise(const BitProblem &problem, BitSolution &solution);

/// Whether `solution` answers `problem`: same sites and lengths, bits
/// 0..maxBits, steps and r_j finite and normal, no clipped maximum, costs and
/// means rederived, budget kept.
llvm::Error verify(const BitProblem &problem, const BitSolution &solution);

/// One line: step, bits as a histogram, rates, why.
std::string describe(const BitProblem &problem, const SiteSolution &site);

/// For reports: means, and per site step, bits, rates, reason.
llvm::json::Value toJSON(const BitSolution &solution);

} // namespace spikequant

#endif // SPIKEQUANT_ALLOCATION_BITPROBLEM_H
