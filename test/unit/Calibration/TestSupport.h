//===- TestSupport.h - shared by the calibration tests --------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_TEST_UNIT_CALIBRATION_TESTSUPPORT_H
#define SPIKEQUANT_TEST_UNIT_CALIBRATION_TESTSUPPORT_H

#include "spikequant/Calibration/Statistics.h"

#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"
#include "gtest/gtest.h"

#include <cmath>
#include <random>

namespace spikequant::test {

/// `rows` x `channels` values over many octaves, a few of them massive.
inline std::vector<float> randomValues(size_t rows, size_t channels,
                                       unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(rows * channels);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = normal(engine) * std::ldexp(1.0f, int(i % channels % 9) - 6);
  for (size_t i = 0; i < values.size(); i += 97)
    values[i] *= 5000.0f;
  return values;
}

inline SiteStatistics observe(llvm::StringRef name, uint32_t channels,
                              llvm::ArrayRef<float> values) {
  SiteStatistics site(name.str(), channels);
  llvm::cantFail(site.accumulate(values.data(), values.size() / channels));
  return site;
}

inline std::string print(const CalibrationData &data) {
  std::string text;
  llvm::raw_string_ostream os(text);
  printCalibration(data, os);
  return text;
}

/// A path in a new folder, removed at the end of the test.
class TemporaryFolder {
public:
  TemporaryFolder() {
    EXPECT_FALSE(llvm::sys::fs::createUniqueDirectory("spikequant", path));
  }
  ~TemporaryFolder() { llvm::sys::fs::remove_directories(path); }
  std::string file(llvm::StringRef name) const {
    return (path + "/" + name).str();
  }

private:
  llvm::SmallString<128> path;
};

} // namespace spikequant::test

#endif // SPIKEQUANT_TEST_UNIT_CALIBRATION_TESTSUPPORT_H
