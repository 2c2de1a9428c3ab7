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

#include "spikequant/Allocation/MagnitudeTails.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"

#include <cstdint>
#include <string>
#include <vector>

namespace spikequant {

/// Window of a channel with `bits` (0..8) bits.
constexpr int32_t windowOf(int bits) {
  return bits < 2 ? 0 : (1 << (bits - 1)) - 1;
}

/// How steps come about. Every rule leaves the bits to the firing rates.
enum class StepRule {
  /// Balanced scales times one global factor that meets the budget (default).
  Budget,
  /// The paper's: step = madFactor * median |x| / 7. Meets no budget.
  Mad,
  /// step = percentile of |x| / 7. Meets no budget.
  Percentile
};

/// "budget", "mad", "percentile".
llvm::StringRef getStepRuleName(StepRule rule);
llvm::Expected<StepRule> parseStepRule(llvm::StringRef name);

struct AllocationOptions {
  StepRule rule = StepRule::Budget;
  /// Budget: mean over all values of all sites of b + eventBits P(salient),
  /// predicted from the calibration text. In (0, maxBits].
  double meanBits = 4.25;
  /// How far below the budget the answer may stay (never above).
  double meanBitsTolerance = 0.01;
  /// Cost of one salient value (32: an event with its address), > 0.
  double eventBits = 32.0;
  /// Counts so far outside their window saturate: 0 or 1.
  int32_t tolerance = 1;
  /// Widest window, 2..8.
  int32_t maxBits = 8;
  double madFactor = 3.5;
  /// Fraction of |x| below the percentile, in (0, 1).
  double percentile = 0.95;
};

/// One encode site.
struct SiteProblem {
  std::string name;
  MagnitudeTails tails;
  /// Median of |x| over all values that are not 0, and root mean square of |x|
  /// over all channels; the percentile rule
  /// reads `percentileAbs`.
  double medianAbs = 0.0;
  double rootMeanSquare = 0.0;
  double percentileAbs = 0.0;
  /// Largest finite |x|: counts end at 32767, and a salient value must not
  /// clip.
  double maxAbs = 0.0;
  /// Mean square per channel.
  std::vector<double> meanSquares;
  /// Energy of the weights a channel drives, sum over consumers and outputs of
  /// w^2; empty: all channels count alike.
  std::vector<double> columnEnergies;
  /// Multiply-accumulates that one value drives: outputs of all consumers.
  double fanOut = 1.0;
  /// The a_j folded into encode, r_j = f32(a_j / s); empty: all 1. `tails` are
  /// those of a_j x.
  std::vector<float> encodeScales;

  uint32_t getChannels() const { return tails.getChannels(); }
};

struct BitProblem {
  AllocationOptions options;
  std::vector<SiteProblem> sites;

  /// Appends a site, without weight energies.
  SiteProblem &addSite(const SiteStatistics &statistics, double fanOut);

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
  /// Expected error energy of the site's output over the output's own energy
  /// (rounding s^2 / 12, saturation 13/12 s^2; channels taken as uncorrelated).
  double loss = 0.0;

  double getActivationBits(double eventBits) const {
    return windowBits + eventBits * salient;
  }
};

struct SiteSolution {
  std::string name;
  float step = 1.0f;
  /// Per channel, 0 or 2..8.
  std::vector<int8_t> bits;
  SiteCost cost;
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
  /// Mean over sites.
  double expectedLoss = 0.0;
  /// Factor common to all sites (1 for rules without a budget).
  double factor = 1.0;

  const SiteSolution *findSite(llvm::StringRef name) const;
};

/// Cost of given bits. `bits` has one entry per channel.
SiteCost computeCost(const SiteProblem &site, const AllocationOptions &options,
                     float step, llvm::ArrayRef<int8_t> bits);

/// Fills the means of `solution` from its sites' costs.
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
