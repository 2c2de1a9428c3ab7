//===- TestSupport.h - shared by the allocation tests ---------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_ALLOCATION_TESTSUPPORT_H
#define SPIKEQUANT_TEST_UNIT_ALLOCATION_TESTSUPPORT_H

#include "RandomStatistics.h"

#include "spikequant/Allocation/Solvers.h"

#include "gtest/gtest.h"

namespace spikequant::test {

/// A few loud channels and rare outliers.
inline std::vector<float> randomValues(size_t rows, size_t channels,
                                       float scale, unsigned seed) {
  return randomValues(rows, channels, Spread{scale, 7, -3, 89, 40.0f}, seed);
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
