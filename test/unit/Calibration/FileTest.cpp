//===- FileTest.cpp - the calibration file --------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include "llvm/Support/MemoryBuffer.h"

#include <limits>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::test;

static CalibrationData sample() {
  float inf = std::numeric_limits<float>::infinity();
  float nan = std::numeric_limits<float>::quiet_NaN();
  CalibrationData data;
  cantFail(data.addSite(observe("b \"quoted\"", 3, randomValues(40, 3, 1))));
  cantFail(data.addSite(observe("a", 2, {0.0f, inf, nan, -1e30f})));
  cantFail(data.addSite(SiteStatistics("unseen", 1)));
  return data;
}

TEST(CalibrationFile, RoundTripIsByteEqual) {
  std::string text = print(sample());
  Expected<CalibrationData> read = parseCalibration(text, "memory");
  ASSERT_TRUE(bool(read)) << toString(read.takeError());
  EXPECT_EQ(print(*read), text);
  EXPECT_TRUE(read->getSites() == sample().getSites());
}

TEST(CalibrationFile, OneLinePerChannel) {
  CalibrationData data;
  cantFail(data.addSite(observe("s", 1, {1.0f, 0.0f, -1.25f, 1.5f})));
  std::string text = print(data);
  // 2^0 is 24 octaves above the first bin; fixed sums are multiples of 2^20.
  EXPECT_NE(text.find("{\"bins\":\"0:1 193:1 195:1 197:1\",\"max\":1.5,"
                      "\"negative\":\"195:1\","
                      "\"squares\":\"5291399708672\",\"sum\":\"1310720\"}\n"),
            std::string::npos)
      << text;
}

TEST(CalibrationFile, SignsAreCounted) {
  float inf = std::numeric_limits<float>::infinity();
  float nan = std::numeric_limits<float>::quiet_NaN();
  SiteStatistics site =
      observe("s", 1, {-1.0f, -1.0f, 1.0f, -0.0f, -1e-9f, -inf, -nan, 300.0f});
  EXPECT_TRUE(site.hasSigns());
  EXPECT_EQ(site.getCount(0, 193), 3u);
  EXPECT_EQ(site.getNegativeCount(0, 193), 2u);
  EXPECT_EQ(site.getCount(0, magnitude::tinyBin), 2u);
  EXPECT_EQ(site.getNegativeCount(0, magnitude::tinyBin), 0u);
  EXPECT_EQ(site.getNegativeCount(0, magnitude::infinityBin), 1u);
  EXPECT_EQ(site.getNegativeCount(0, magnitude::nanBin), 0u);
}

TEST(CalibrationFile, SaveAndLoad) {
  TemporaryDirectory folder;
  std::string path = folder.path("model.calib");
  cantFail(saveCalibration(sample(), path));
  EXPECT_EQ(print(cantFail(loadCalibration(path))), print(sample()));
}

TEST(CalibrationFile, PathsThatCannotBeUsed) {
  TemporaryDirectory folder;
  std::string path = folder.path("missing/model.calib");
  EXPECT_NE(toString(loadCalibration(path).takeError())
                .find("cannot read calibration file"),
            std::string::npos);
  EXPECT_NE(toString(saveCalibration(sample(), path))
                .find("cannot write '" + path + "': No such file"),
            std::string::npos);
}

/// A file with one site of two rows and one channel; `channel` is its line.
static std::string
fileWith(StringRef channel, StringRef rows = "2",
         StringRef header = "\"version\":1,\"bins_per_octave\":8") {
  return ("{\"format\":\"spikequant-calibration\"," + header +
          ",\"min_exponent\":-24,\"max_exponent\":24,"
          "\"sum_fraction_bits\":20,\"sites\":[{\"name\":\"s\",\"rows\":" +
          rows + ",\"channels\":[" + channel + "]}]}")
      .str();
}

static std::string errorOf(StringRef text) {
  Expected<CalibrationData> read = parseCalibration(text, "file");
  return read ? "no error" : toString(read.takeError());
}

TEST(CalibrationFile, MinimalFileIsAccepted) {
  EXPECT_EQ(
      errorOf(fileWith(R"({"bins":"0:2","max":0,"sum":"0","squares":"0"})")),
      "no error");
}

TEST(CalibrationFile, FilesWithoutSignsAreReadAndKeptApart) {
  std::string old =
      fileWith(R"({"bins":"193:2","max":1,"sum":"0","squares":"0"})");
  CalibrationData data = cantFail(parseCalibration(old, "old"));
  EXPECT_FALSE(data.getSites()[0].hasSigns());
  EXPECT_EQ(data.getSites()[0].getCount(0, 193), 2u);
  std::string text = print(data);
  EXPECT_EQ(print(cantFail(parseCalibration(text, "again"))), text);
  CalibrationData fresh;
  cantFail(fresh.addSite(observe("s", 1, {1.0f, -1.0f})));
  EXPECT_NE(toString(fresh.merge(data)).find("has no signs"),
            std::string::npos);
}

struct Malformed {
  std::string text;
  const char *expected;
};

TEST(CalibrationFile, MalformedFilesAreNamed) {
  const std::string good = R"({"bins":"0:2","max":0,"sum":"0","squares":"0"})";
  auto channel = [](StringRef bins, StringRef rest) {
    return fileWith(("{\"bins\":\"" + bins + "\"," + rest + "}").str());
  };
  const char *zeros = R"("max":0,"sum":"0","squares":"0")";
  const Malformed cases[] = {
      {"{", "file is not valid JSON"},
      {"[]", "file is not a JSON object"},
      {"{}", "\"format\" is not"},
      {fileWith(good, "2", "\"version\":4"), "files of version 1 to 3"},
      {fileWith(good, "2", "\"version\":0"), "files of version 1 to 3"},
      {fileWith(good, "2", "\"version\":1,\"bins_per_octave\":4"),
       "\"bins_per_octave\" must be 8"},
      {fileWith(good, "-1"), "site 's': \"rows\""},
      {fileWith(good, "4294967296"), "site 's': \"rows\""},
      {fileWith(good, "3"), "bins hold 2 values, but the site has 3 rows"},
      {fileWith(""), "\"channels\" is missing or empty"},
      {fileWith(good + ",4"), "site 's': channel 1: no JSON object"},
      {channel("", zeros), "bins hold 0 values"},
      {channel("0:-2", zeros), "'-2' is no count"},
      {channel("0:2,0", zeros), "'0' is no count"},
      {channel("0", zeros), "does not start with a bin"},
      {channel("0:", zeros), "does not start with a bin"},
      {channel("0:2,", zeros), "'' is no count"},
      {channel("x:2", zeros), "does not start with a bin"},
      {channel("5:1 3:1", zeros), "does not start with a bin"},
      {channel("387:1,1", zeros), "only 388 bins"},
      {channel("388:2", zeros), "only 388 bins"},
      {channel("0:2", R"("max":-1,"sum":"0","squares":"0")"), "\"max\""},
      {channel("0:2", R"("max":1e300,"sum":"0","squares":"0")"), "\"max\""},
      {channel("0:2", R"("max":1,"sum":"0","squares":"0")"), "highest bin"},
      {channel("193:2", zeros), "highest bin"},
      {channel("0:2", R"("max":0,"sum":0,"squares":"0")"), "\"sum\""},
      {channel("0:2", R"("max":0,"sum":"1x","squares":"0")"), "\"sum\""},
      {channel("0:2", R"("max":0,"sum":"35184372088833","squares":"0")"),
       "\"sum\" is larger"},
      {channel("0:2", R"("max":0,"sum":"0","squares":"-1")"), "\"squares\""},
      {channel("0:2", R"("negative":"0:1","max":0,"sum":"0","squares":"0")"),
       "\"negative\": bin 0 has more values"},
      {channel("193:2",
               R"("negative":"193:3","max":1,"sum":"0","squares":"0")"),
       "\"negative\": bin 193 has more values"},
      {channel("193:2", R"("negative":"193","max":1,"sum":"0","squares":"0")"),
       "\"negative\": '193' does not start"},
      {channel("193:2", R"("negative":1,"max":1,"sum":"0","squares":"0")"),
       "\"negative\" must be a string"},
      {fileWith(good + R"(,{"bins":"0:2","negative":"","max":0,"sum":"0",)" +
                R"("squares":"0"})"),
       "channel 1: \"negative\" must be a string in all channels"},
      {channel("0:2", R"("max":0,"sum":"0"})").substr(0, 300),
       "not valid JSON"},
  };
  for (const Malformed &bad : cases)
    EXPECT_NE(errorOf(bad.text).find(bad.expected), std::string::npos)
        << bad.text << "\ngives " << errorOf(bad.text);
}

static std::string withSensitivity(StringRef fields) {
  return fileWith(R"({"bins":"0:2","max":0,"sum":"0","squares":"0"})",
                  ("2,\"sensitivity\":" + fields).str());
}

TEST(CalibrationFile, SensitivityIsASumOverRows) {
  // 3 rows of 2^-60 * 2^61 = 2, and one of 6: (3 * 2 + 6) / 4 = 3.
  std::string text =
      withSensitivity(R"({"rows":4,"sum":"13835058055282163712"})");
  CalibrationData data = cantFail(parseCalibration(text, "file"));
  EXPECT_EQ(data.getSites()[0].getSensitivity(), 3.0);
  CalibrationData again = cantFail(parseCalibration(print(data), "file"));
  EXPECT_TRUE(again.getSites() == data.getSites());
  EXPECT_EQ(sample().getSites()[0].getSensitivity(), std::nullopt);
}

TEST(CalibrationFile, MalformedSensitivitiesAreNamed) {
  const std::pair<const char *, const char *> cases[] = {
      {"3", "\"sensitivity\" needs \"rows\""},
      {R"({"rows":0,"sum":"1"})", "\"sensitivity\" needs \"rows\""},
      {R"({"rows":4294967296,"sum":"1"})", "\"sensitivity\" needs \"rows\""},
      {R"({"rows":1})", "\"sum\" must be a decimal integer"},
      {R"({"rows":1,"sum":"-1"})", "between 0 and 2^30"},
      // 2^90 + 1.
      {R"({"rows":1,"sum":"1237940039285380274899124225"})",
       "between 0 and 2^30"}};
  for (auto [fields, expected] : cases)
    EXPECT_NE(errorOf(withSensitivity(fields)).find(expected),
              std::string::npos)
        << fields << " gives " << errorOf(withSensitivity(fields));
  EXPECT_EQ(errorOf(withSensitivity(
                R"({"rows":1,"sum":"1237940039285380274899124224"})")),
            "no error");
}

TEST(CalibrationFile, DuplicateSiteIsRejected) {
  std::string text =
      fileWith(R"({"bins":"0:2","max":0,"sum":"0","squares":"0"})");
  size_t begin = text.find("{\"name\"");
  std::string site = text.substr(begin, text.size() - 2 - begin);
  text.insert(begin, site + ",");
  EXPECT_EQ(errorOf(text), "file: site 's' occurs twice");
}

// Every prefix of a file is an error, never a crash and never accepted.
TEST(CalibrationFile, TruncatedFilesAreRejected) {
  std::string text = print(sample());
  while (text.back() == '\n')
    text.pop_back();
  for (size_t length = 0; length < text.size(); length += 7)
    EXPECT_NE(errorOf(StringRef(text).take_front(length)), "no error");
}

TEST(CalibrationFile, RowCounterDoesNotWrap) {
  CalibrationData data = cantFail(parseCalibration(
      fileWith(R"({"bins":"0:4294967295","max":0,"sum":"0","squares":"0"})",
               "4294967295"),
      "file"));
  SiteStatistics site = data.getSites()[0];
  float value = 1.0f;
  EXPECT_NE(toString(site.accumulate(&value, 1)).find("more than 2^32 - 1"),
            std::string::npos);
  EXPECT_TRUE(errorToBool(site.merge(observe("s", 1, {1.0f}))));
  EXPECT_TRUE(site == data.getSites()[0]);
}
