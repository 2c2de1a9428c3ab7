//===- ChannelLaw.cpp - how the values of one channel are spread ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Allocation/ChannelLaw.h"

#include "spikequant/Allocation/BitProblem.h"

#include <algorithm>
#include <cmath>

using namespace spikequant;
using namespace spikequant::magnitude;

//===----------------------------------------------------------------------===//
// The distribution
//===----------------------------------------------------------------------===//

static uint32_t countOf(const SiteStatistics &site, uint32_t channel, int bin) {
  unsigned size = unsigned(std::abs(bin));
  uint32_t negative = site.getNegativeCount(channel, size);
  if (bin < 0)
    return negative;
  uint32_t count = site.getCount(channel, size) - negative;
  return bin == 0 ? count + site.getCount(channel, nanBin) : count;
}

/// The values of a signed bin lie between these.
static std::pair<double, double> boundsOf(int bin) {
  unsigned size = unsigned(std::abs(bin));
  if (size == tinyBin)
    return {0.0, 0.0};
  double low = lowerEdge(size);
  double high = size == hugeBin ? low : double(upperEdge(size));
  return bin < 0 ? std::pair(-high, -low) : std::pair(low, high);
}

ChannelLaw::ChannelLaw(const SiteStatistics &site, uint32_t channel) {
  constexpr int huge = int(hugeBin);
  int last = -huge - 1;
  for (int bin = -huge; bin <= huge; ++bin)
    if (countOf(site, channel, bin) != 0) {
      first = last < -huge ? bin : first;
      last = bin;
    }
  double perRow = site.getRows() == 0 ? 0.0 : 1.0 / double(site.getRows());
  Below sum{site.getNegativeCount(channel, infinityBin) * perRow, 0.0, 0.0};
  sums.push_back(sum);
  if (last < -huge)
    return;
  for (int bin = first; bin <= last; ++bin) {
    auto [a, b] = boundsOf(bin);
    double share = countOf(site, channel, bin) * perRow;
    sum.share += share;
    sum.first += share * (a + b) / 2;
    sum.second += share * (a * a + a * b + b * b) / 3;
    low.push_back(a);
    high.push_back(b);
    sums.push_back(sum);
  }
}

ChannelLaw::Below ChannelLaw::below(double t) const {
  int bin = int(binOf(float(t)));
  if (bin > int(hugeBin))
    bin = int(hugeBin);
  int index = (t < 0 ? -bin : bin) - first;
  if (index < 0 || low.empty())
    return sums.front();
  if (index >= int(low.size()))
    return sums.back();
  double a = low[index], b = std::clamp(t, a, high[index]);
  if (b <= a)
    return t > a ? sums[index + 1] : sums[index];
  const Below &from = sums[index], &to = sums[index + 1];
  double share = (to.share - from.share) * (b - a) / (high[index] - a);
  return {from.share + share, from.first + share * (a + b) / 2,
          from.second + share * (a * a + a * b + b * b) / 3};
}

double ChannelLaw::getQuantile(double share) const {
  auto next = std::lower_bound(
      sums.begin(), sums.end(), share,
      [](const Below &sum, double value) { return sum.share < value; });
  if (low.empty() || next == sums.begin())
    return low.empty() ? 0.0 : low.front();
  size_t index = std::min<size_t>(next - sums.begin(), low.size()) - 1;
  double inside = sums[index + 1].share - sums[index].share;
  double part = inside > 0 ? (share - sums[index].share) / inside : 0.0;
  return low[index] + (high[index] - low[index]) * std::clamp(part, 0.0, 1.0);
}

bool ChannelLaw::isSkewed(const SiteStatistics &site, uint32_t channel) {
  if (!site.hasSigns() || site.getRows() == 0)
    return false;
  double rows = double(site.getRows()), negative = 0.0;
  double zeros = site.getCount(channel, tinyBin);
  if (zeros > 0.1 * rows)
    return false;
  for (unsigned bin = firstGridBin; bin <= infinityBin; ++bin)
    negative += site.getNegativeCount(channel, bin);
  double mean = site.getMean(channel);
  return std::abs(2 * negative / (rows - zeros) - 1) > 0.2 ||
         mean * mean > 0.01 * site.getMeanSquare(channel);
}

//===----------------------------------------------------------------------===//
// Counts
//===----------------------------------------------------------------------===//

/// What lies below the values of a count.
ChannelLaw::Below CentredModel::belowCount(int count) const {
  int index = count + nearCounts;
  if (index >= 0 && index < 2 * nearCounts + 2)
    return edges[index];
  return law.below(centre + (count - 0.5) * step);
}

CentredModel::Cell CentredModel::cellOf(int count,
                                        const ChannelLaw::Below &from,
                                        const ChannelLaw::Below &to) const {
  double share = to.share - from.share;
  double value = centre + count * step;
  return {share, (to.first - from.first) - value * share};
}

CentredModel::Cell CentredModel::getCell(int count) const {
  return cellOf(count, belowCount(count), belowCount(count + 1));
}

/// P(|n| <= count).
double CentredModel::shareWithin(int count) const {
  return belowCount(count + 1).share - belowCount(-count).share;
}

CentredModel::CentredModel(const ChannelLaw &law, double step, double centre)
    : law(law), step(step), centre(centre) {
  for (int i = 0; i < 2 * nearCounts + 2; ++i)
    edges[i] = law.below(centre + (i - nearCounts - 0.5) * step);
  for (int n = -nearCounts; n <= nearCounts; ++n) {
    const ChannelLaw::Below &from = edges[n + nearCounts];
    const ChannelLaw::Below &to = edges[n + nearCounts + 1];
    Cell cell = cellOf(n, from, to);
    double value = centre + n * step;
    error += cell.error;
    square += (to.second - from.second) - value * value * cell.share -
              2 * value * cell.error;
  }
  square = std::max(square, 0.0) +
           (1.0 - shareWithin(nearCounts)) * step * step / 12;
}

ChannelCost CentredModel::evaluate(int bits, int tolerance) const {
  int window = windowOf(bits);
  ChannelCost cost;
  double mean = error, second = square;
  for (int i = 1; i <= tolerance; ++i)
    for (int side : {-1, 1}) {
      Cell cell = getCell(side * (window + i));
      double more = side * i * step;
      cost.saturated += cell.share;
      second += 2 * more * cell.error + more * more * cell.share;
      mean += more * cell.share;
    }
  cost.salient = std::max(0.0, 1.0 - shareWithin(window + tolerance));
  cost.variance = std::clamp(second - mean * mean, 0.0, 1e37);
  cost.offset = centre + mean;
  return cost;
}
