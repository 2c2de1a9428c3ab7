//===- RandomStatistics.h - statistics of random activations ----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_RANDOMSTATISTICS_H
#define SPIKEQUANT_TEST_UNIT_RANDOMSTATISTICS_H

#include "spikequant/Calibration/Statistics.h"

#include <cmath>
#include <random>

namespace spikequant::test {

/// How random activations spread: over octaves by channel, and rare large ones.
struct Spread {
  float scale;
  int octaves;        ///< Channel c is scaled by 2^(c mod octaves + lowest).
  int lowest;         ///< May be negative.
  size_t period;      ///< One value in so many is large.
  float largerByThat; ///< Factor of a large one.
};

/// Row-major, normally distributed apart from that.
inline std::vector<float> randomValues(size_t rows, size_t channels,
                                       const Spread &spread, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * channels);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] =
        normal(engine) * spread.scale *
        std::ldexp(1.0f, int(i % channels % spread.octaves) + spread.lowest);
  for (size_t i = 0; i < values.size(); i += spread.period)
    values[i] *= spread.largerByThat;
  return values;
}

inline SiteStatistics observe(llvm::StringRef name, uint32_t channels,
                              llvm::ArrayRef<float> values) {
  SiteStatistics site(name.str(), channels);
  llvm::cantFail(site.accumulate(values.data(), values.size() / channels));
  return site;
}

} // namespace spikequant::test

#endif // SPIKEQUANT_TEST_UNIT_RANDOMSTATISTICS_H
