//===- Statistics.cpp - mergeable activation statistics -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Calibration/Statistics.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::magnitude;

SiteStatistics::SiteStatistics(std::string name, uint32_t channels)
    : name(std::move(name)), channels(channels), maxAbs(channels),
      sums(channels), squares(channels),
      histogram(size_t(alignTo(channels, laneCount)) * slotCount) {}

static constexpr uint64_t largestRows = std::numeric_limits<uint32_t>::max();

/// The bins are u32, so the row counter must stay below 2^32.
static Error checkRows(const SiteStatistics &site, uint64_t more) {
  if (more <= largestRows - site.getRows())
    return Error::success();
  return createStringError("site '%s': more than 2^32 - 1 rows; calibrate on "
                           "less text",
                           site.getName().c_str());
}

static Error checkSensitivityRows(const SiteStatistics &a,
                                  const SiteStatistics &b) {
  if (a.getSensitivityRows() + b.getSensitivityRows() <= largestRows)
    return Error::success();
  return createStringError("site '%s': more than 2^32 - 1 rows with a "
                           "sensitivity; measure it on less text",
                           a.getName().c_str());
}

static Error checkMergeable(const SiteStatistics &a, const SiteStatistics &b) {
  if (a.getName() != b.getName())
    return createStringError("cannot merge site '%s' with site '%s'",
                             a.getName().c_str(), b.getName().c_str());
  if (a.getChannels() != b.getChannels())
    return createStringError(
        "cannot merge site '%s': %u channels against %u; were both files made "
        "from the same model?",
        a.getName().c_str(), a.getChannels(), b.getChannels());
  if (a.hasSigns() != b.hasSigns())
    return createStringError("cannot merge site '%s': one file is of version 2 "
                             "or older and has no signs; run 'spikequant "
                             "calibrate' again",
                             a.getName().c_str());
  if (Error error = checkRows(a, b.getRows()))
    return error;
  return checkSensitivityRows(a, b);
}

Error SiteStatistics::merge(const SiteStatistics &other) {
  if (Error error = checkMergeable(*this, other))
    return error;
  rows += other.rows;
  sensitivitySum += other.sensitivitySum;
  sensitivityRows += other.sensitivityRows;
  for (size_t i = 0; i < histogram.size(); ++i)
    histogram[i] += other.histogram[i];
  for (uint32_t c = 0; c < channels; ++c) {
    maxAbs[c] = std::max(maxAbs[c], other.maxAbs[c]);
    sums[c] += other.sums[c];
    squares[c] += other.squares[c];
  }
  return Error::success();
}

bool SiteStatistics::operator==(const SiteStatistics &other) const {
  return name == other.name && channels == other.channels &&
         rows == other.rows && signs == other.signs &&
         sensitivitySum == other.sensitivitySum &&
         sensitivityRows == other.sensitivityRows && maxAbs == other.maxAbs &&
         sums == other.sums && squares == other.squares &&
         histogram == other.histogram;
}

Error SiteStatistics::setSensitivity(double value, uint64_t measuredRows) {
  if (!(value >= 0.0 && value <= largestSensitivity))
    return createStringError("site '%s': a sensitivity must lie between 0 and "
                             "2^30, not %g",
                             name.c_str(), value);
  if (measuredRows < 1 || measuredRows > largestRows)
    return createStringError("site '%s': a sensitivity must come from 1 to "
                             "2^32 - 1 rows, not %llu",
                             name.c_str(), (unsigned long long)measuredRows);
  // Exact but for the rounding: the value has 53 bits and lies below 2^90.
  Int128 fixed =
      Int128(std::nearbyint(std::ldexp(value, sensitivityFractionBits)));
  sensitivitySum = fixed * Int128(measuredRows);
  sensitivityRows = measuredRows;
  return Error::success();
}

std::optional<double> SiteStatistics::getSensitivity() const {
  if (sensitivityRows == 0)
    return std::nullopt;
  return std::ldexp(double(sensitivitySum) / double(sensitivityRows),
                    -sensitivityFractionBits);
}

uint64_t SiteStatistics::getFiniteCount(uint32_t channel) const {
  return rows - getCount(channel, infinityBin) - getCount(channel, nanBin);
}

double SiteStatistics::getMean(uint32_t channel) const {
  uint64_t count = getFiniteCount(channel);
  return count == 0 ? 0.0
                    : std::ldexp(double(sums[channel]) / double(count),
                                 -sumFractionBits);
}

double SiteStatistics::getMeanSquare(uint32_t channel) const {
  uint64_t count = getFiniteCount(channel);
  return count == 0 ? 0.0
                    : std::ldexp(double(squares[channel]) / double(count),
                                 -2 * sumFractionBits);
}

double SiteStatistics::getPercentile(double fraction) const {
  std::vector<uint64_t> totals(infinityBin);
  float largest = 0.0f;
  forEachCount({0, infinityBin}, [&](uint32_t, unsigned bin, uint32_t count) {
    totals[bin] += count;
  });
  for (uint32_t c = 0; c < channels; ++c)
    largest = std::max(largest, maxAbs[c]);
  uint64_t count = sum_of(totals, uint64_t(0));
  double target = std::clamp(fraction, 0.0, 1.0) * double(count);
  double below = 0.0;
  for (unsigned bin = 0; bin < infinityBin; ++bin) {
    double inside = double(totals[bin]);
    if (inside > 0.0 && below + inside >= target) {
      if (bin == tinyBin)
        return 0.0;
      double low = lowerEdge(bin);
      double high = std::min<double>(upperEdge(bin), largest);
      return low + (high - low) * std::max(0.0, target - below) / inside;
    }
    below += inside;
  }
  return 0.0;
}

static bool isBefore(const SiteStatistics &site, StringRef name) {
  return StringRef(site.getName()) < name;
}

Error CalibrationData::addSite(SiteStatistics site) {
  auto position = llvm::lower_bound(sites, StringRef(site.getName()), isBefore);
  if (position != sites.end() && position->getName() == site.getName())
    return createStringError("site '%s' occurs twice", site.getName().c_str());
  sites.insert(position, std::move(site));
  return Error::success();
}

const SiteStatistics *CalibrationData::findSite(StringRef name) const {
  auto position = llvm::lower_bound(sites, name, isBefore);
  if (position == sites.end() || position->getName() != name)
    return nullptr;
  return &*position;
}

Error CalibrationData::merge(const CalibrationData &other) {
  for (const SiteStatistics &site : other.sites)
    if (const SiteStatistics *mine = findSite(site.getName()))
      if (Error error = checkMergeable(*mine, site))
        return error;
  for (const SiteStatistics &site : other.sites) {
    auto *mine = const_cast<SiteStatistics *>(findSite(site.getName()));
    Error error = mine ? mine->merge(site) : addSite(site);
    if (error)
      return error;
  }
  return Error::success();
}
