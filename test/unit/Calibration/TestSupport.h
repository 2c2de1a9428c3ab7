//===- TestSupport.h - shared by the calibration tests --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_CALIBRATION_TESTSUPPORT_H
#define SPIKEQUANT_TEST_UNIT_CALIBRATION_TESTSUPPORT_H

#include "RandomStatistics.h"
#include "TemporaryDirectory.h"

#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

namespace spikequant::test {

/// Values over many octaves, a few of them massive.
inline std::vector<float> randomValues(size_t rows, size_t channels,
                                       unsigned seed) {
  return randomValues(rows, channels, Spread{1.0f, 9, -6, 97, 5000.0f}, seed);
}

inline std::string print(const CalibrationData &data) {
  std::string text;
  llvm::raw_string_ostream os(text);
  printCalibration(data, os);
  return text;
}

} // namespace spikequant::test

#endif // SPIKEQUANT_TEST_UNIT_CALIBRATION_TESTSUPPORT_H
