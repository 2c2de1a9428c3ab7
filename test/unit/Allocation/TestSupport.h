//===- TestSupport.h - shared by the allocation tests ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_ALLOCATION_TESTSUPPORT_H
#define SPIKEQUANT_TEST_UNIT_ALLOCATION_TESTSUPPORT_H

#include "spikequant/Allocation/Solvers.h"

#include "gtest/gtest.h"

#include <cmath>
#include <random>

namespace spikequant::test {

/// Row-major values with a few loud channels and rare outliers.
inline std::vector<float> randomValues(size_t rows, size_t channels,
                                       float scale, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * channels);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] =
        normal(engine) * scale * std::ldexp(1.0f, int(i % channels % 7) - 3);
  for (size_t i = 0; i < values.size(); i += 89)
    values[i] *= 40.0f;
  return values;
}

inline SiteStatistics observe(llvm::StringRef name, uint32_t channels,
                              llvm::ArrayRef<float> values) {
  SiteStatistics site(name.str(), channels);
  llvm::cantFail(site.accumulate(values.data(), values.size() / channels));
  return site;
}

/// Three sites of different scale, width and fan-out.
inline BitProblem sampleProblem() {
  BitProblem problem;
  problem.addSite(observe("a", 24, randomValues(400, 24, 0.1f, 1)), 24);
  problem.addSite(observe("b", 24, randomValues(400, 24, 2.0f, 2)), 128);
  problem.addSite(observe("c", 64, randomValues(400, 64, 0.01f, 3)), 24);
  return problem;
}

} // namespace spikequant::test

#endif // SPIKEQUANT_TEST_UNIT_ALLOCATION_TESTSUPPORT_H
