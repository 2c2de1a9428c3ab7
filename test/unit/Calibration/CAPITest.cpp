//===- CAPITest.cpp - the collector's C interface -------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include "spikequant/Calibration/CAPI.h"
#include "spikequant/Runtime/spikequant.h"

#include <memory>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::test;

namespace {
class CollectorTest : public ::testing::Test {
protected:
  using Collector =
      std::unique_ptr<sq_calibration, decltype(&sq_calibration_destroy)>;

  static Collector create() {
    const char *names[] = {"second", "first"};
    const int64_t channels[] = {2, 3};
    return Collector(sq_calibration_create(2, names, channels),
                     sq_calibration_destroy);
  }
  static void observeRows(const Collector &collector, int32_t site,
                          ArrayRef<float> values, int64_t channels) {
    int64_t shape[] = {int64_t(values.size()) / channels, channels};
    sq_calibration_observe(collector.get(), site, values.data(), SQ_F32, 2,
                           shape);
  }
  TemporaryDirectory folder;
};
} // namespace

// The collector's observer must fit the slot of a compiled program.
static sq_observe_fn observer = sq_calibration_observe;

TEST_F(CollectorTest, CollectsAndSaves) {
  Collector collector = create();
  auto values = randomValues(12, 3, 5);
  int64_t shape[] = {2, 6, 3};
  observer(collector.get(), 1, values.data(), SQ_F32, 3, shape);
  int64_t row[] = {2};
  observer(collector.get(), 0, values.data(), SQ_F32, 1, row);
  EXPECT_EQ(sq_calibration_rows(collector.get(), 1), 12);
  EXPECT_EQ(sq_calibration_rows(collector.get(), 2), -1);
  std::string path = folder.path("c");
  ASSERT_EQ(sq_calibration_save(collector.get(), path.c_str()), 0);
  CalibrationData data = cantFail(loadCalibration(path));
  EXPECT_TRUE(*data.findSite("first") == observe("first", 3, values));
  EXPECT_EQ(data.findSite("second")->getRows(), 1u);
}

TEST_F(CollectorTest, OnlyRealTokensCount) {
  Collector collector = create();
  auto values = randomValues(8, 3, 6);
  sq_calibration_set_rows(collector.get(), 5);
  observeRows(collector, 1, values, 3);
  EXPECT_EQ(sq_calibration_rows(collector.get(), 1), 5);
  sq_calibration_set_rows(collector.get(), 0);
  observeRows(collector, 1, values, 3);
  EXPECT_EQ(sq_calibration_rows(collector.get(), 1), 5);
  sq_calibration_set_rows(collector.get(), -1);
  observeRows(collector, 1, values, 3);
  EXPECT_EQ(sq_calibration_rows(collector.get(), 1), 13);
}

TEST_F(CollectorTest, ObservationErrorsAreKeptAndStopSave) {
  Collector collector = create();
  observeRows(collector, 1, std::vector<float>(8), 4);
  observeRows(collector, 7, std::vector<float>(8), 4);
  std::string error = sq_calibration_error(collector.get());
  EXPECT_NE(error.find("site 'first': observed a value of rank 2 with 4 "
                       "channels, not 3"),
            std::string::npos);
  std::string path = folder.path("c");
  EXPECT_NE(sq_calibration_save(collector.get(), path.c_str()), 0);
  EXPECT_FALSE(sys::fs::exists(path));
  Collector other = create();
  int64_t shape[] = {1, 3};
  int16_t counts[] = {1, 2, 3};
  observer(other.get(), 1, counts, SQ_I16, 2, shape);
  EXPECT_NE(StringRef(sq_calibration_error(other.get())).find("takes f32"),
            StringRef::npos);
}

TEST_F(CollectorTest, BadSitesAreRejected) {
  const char *names[] = {"a", "a"};
  const int64_t channels[] = {1, 1}, none[] = {0};
  EXPECT_EQ(sq_calibration_create(2, names, channels), nullptr);
  EXPECT_NE(StringRef(sq_calibration_error(nullptr)).find("occurs twice"),
            StringRef::npos);
  EXPECT_EQ(sq_calibration_create(1, names, none), nullptr);
  EXPECT_EQ(sq_calibration_create(0, names, channels), nullptr);
}

TEST_F(CollectorTest, FilesMergeInAnyOrderToTheSameBytes) {
  auto values = randomValues(9, 3, 8);
  std::string paths[] = {folder.path("a"), folder.path("b"), folder.path("c")};
  for (int part = 0; part < 3; ++part) {
    Collector collector = create();
    observeRows(collector, 1, ArrayRef(values).slice(size_t(part) * 9, 9), 3);
    ASSERT_EQ(sq_calibration_save(collector.get(), paths[part].c_str()), 0);
  }
  const char *forward[] = {paths[0].c_str(), paths[1].c_str(),
                           paths[2].c_str()};
  const char *backward[] = {paths[2].c_str(), paths[0].c_str(),
                            paths[1].c_str()};
  std::string one = folder.path("one"), two = folder.path("two");
  ASSERT_EQ(sq_calibration_merge_files(3, forward, one.c_str()), 0);
  ASSERT_EQ(sq_calibration_merge_files(3, backward, two.c_str()), 0);
  Collector whole = create();
  observeRows(whole, 1, values, 3);
  std::string three = folder.path("three");
  ASSERT_EQ(sq_calibration_save(whole.get(), three.c_str()), 0);
  EXPECT_EQ(print(cantFail(loadCalibration(one))),
            print(cantFail(loadCalibration(two))));
  EXPECT_EQ(print(cantFail(loadCalibration(one))),
            print(cantFail(loadCalibration(three))));
}

TEST_F(CollectorTest, SensitivitiesAverageByRows) {
  // 0.1 is not on the grid of 2^-60; 1/3 of a row more or less must not show.
  const double values[] = {0.1, 7.0, 1e-9};
  const int64_t rows[] = {3, 1000, 77};
  std::string paths[] = {folder.path("a"), folder.path("b"), folder.path("c")};
  for (int part = 0; part < 3; ++part) {
    Collector collector = create();
    ASSERT_EQ(sq_calibration_set_sensitivity(collector.get(), 1, values[part],
                                             rows[part]),
              0);
    ASSERT_EQ(sq_calibration_save(collector.get(), paths[part].c_str()), 0);
  }
  std::string pair = folder.path("pair"), left = folder.path("left"),
              right = folder.path("right");
  const char *first[] = {paths[0].c_str(), paths[1].c_str()};
  const char *second[] = {pair.c_str(), paths[2].c_str()};
  const char *all[] = {paths[2].c_str(), paths[0].c_str(), paths[1].c_str()};
  ASSERT_EQ(sq_calibration_merge_files(2, first, pair.c_str()), 0);
  ASSERT_EQ(sq_calibration_merge_files(2, second, left.c_str()), 0);
  ASSERT_EQ(sq_calibration_merge_files(3, all, right.c_str()), 0);
  CalibrationData merged = cantFail(loadCalibration(left));
  EXPECT_EQ(print(merged), print(cantFail(loadCalibration(right))));
  double expected = (0.1 * 3 + 7.0 * 1000 + 1e-9 * 77) / 1080;
  EXPECT_NEAR(*merged.findSite("first")->getSensitivity(), expected, 1e-14);
  EXPECT_EQ(merged.findSite("second")->getSensitivity(), std::nullopt);
}

TEST_F(CollectorTest, BadSensitivitiesAreRejected) {
  Collector collector = create();
  EXPECT_NE(sq_calibration_set_sensitivity(collector.get(), 2, 1.0, 1), 0);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (double value : {-1.0, 2e9, nan}) {
    Collector other = create();
    EXPECT_NE(sq_calibration_set_sensitivity(other.get(), 0, value, 1), 0);
    EXPECT_NE(StringRef(sq_calibration_error(other.get()))
                  .find("site 'second': a sensitivity must lie between"),
              StringRef::npos);
  }
  Collector other = create();
  EXPECT_NE(sq_calibration_set_sensitivity(other.get(), 0, 1.0, 0), 0);
}

TEST_F(CollectorTest, LoadAddsAFile) {
  Collector collector = create();
  observeRows(collector, 1, std::vector<float>(6, 2.0f), 3);
  std::string path = folder.path("c");
  ASSERT_EQ(sq_calibration_save(collector.get(), path.c_str()), 0);
  ASSERT_EQ(sq_calibration_load(collector.get(), path.c_str()), 0);
  EXPECT_EQ(sq_calibration_rows(collector.get(), 1), 4);
  const char *names[] = {"elsewhere"};
  const int64_t channels[] = {2};
  Collector other(sq_calibration_create(1, names, channels),
                  sq_calibration_destroy);
  EXPECT_NE(sq_calibration_load(other.get(), path.c_str()), 0);
  EXPECT_NE(StringRef(sq_calibration_error(other.get()))
                .find("site 'elsewhere' is missing"),
            StringRef::npos);
}
