//===- SharedFileTest.cpp - one reading, and JSON in pieces ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestSupport.h"

#include "spikequant/Support/Json.h"

using namespace llvm;
using namespace spikequant;
using namespace spikequant::test;

static CalibrationData sample(uint32_t seed) {
  CalibrationData data;
  cantFail(data.addSite(observe("s", 3, randomValues(40, 3, seed))));
  return data;
}

TEST(SharedCalibration, IsReadOnceWhileHeld) {
  TemporaryDirectory folder;
  std::string path = folder.path("model.calib");
  cantFail(saveCalibration(sample(1), path));
  auto first = cantFail(loadSharedCalibration(path));
  EXPECT_EQ(cantFail(loadSharedCalibration(path)).get(), first.get());
  EXPECT_EQ(print(*first), print(sample(1)));
}

TEST(SharedCalibration, AnotherFileOfThatNameIsRead) {
  TemporaryDirectory folder;
  std::string path = folder.path("model.calib");
  cantFail(saveCalibration(sample(1), path));
  auto first = cantFail(loadSharedCalibration(path));
  // Written beside the old one and renamed: another file for the system.
  cantFail(saveCalibration(sample(2), path));
  EXPECT_EQ(print(*cantFail(loadSharedCalibration(path))), print(sample(2)));
  EXPECT_EQ(print(*first), print(sample(1)));
}

TEST(SharedCalibration, ErrorsAreThoseOfTheFile) {
  TemporaryDirectory folder;
  std::string message =
      toString(loadSharedCalibration(folder.path("missing.calib")).takeError());
  EXPECT_NE(message.find("cannot read calibration file"), std::string::npos);
}

TEST(SplitJson, LeavesInnerObjectsAsText) {
  StringRef text = R"({"a}":[{"b":"\"}{\\"},{"c":{}} ,3],"d":[]})";
  SplitJson split = cantFail(splitJsonObject(text, /*depth=*/2, "text"));
  ASSERT_EQ(split.pieces.size(), 2u);
  EXPECT_EQ(split.pieces[0], R"({"b":"\"}{\\"})");
  EXPECT_EQ(split.pieces[1], R"({"c":{}})");
  json::Value expected = json::Object{{"a}", json::Array{nullptr, nullptr, 3}},
                                      {"d", json::Array{}}};
  EXPECT_EQ(json::Value(std::move(split.object)), expected);
}

TEST(SplitJson, MessagesCountPlacesOfTheWholeText) {
  std::string message = toString(
      splitJsonObject("{\"a\":[{\"b\":1}],\n x}", 2, "text").takeError());
  EXPECT_NE(message.find("text is not valid JSON: [2:2"), std::string::npos)
      << message;
  std::string deep(100, '[');
  message = toString(splitJsonObject("{\"a\":" + deep, 2, "text").takeError());
  EXPECT_NE(message.find("nests deeper than 64"), std::string::npos) << message;
}

/// One site whose channels are `channels`; each good one has two zeros.
static std::string problemOf(StringRef channels) {
  std::string text =
      ("{\"format\":\"spikequant-calibration\",\"version\":2,"
       "\"bins_per_octave\":8,\"min_exponent\":-24,\"max_exponent\":24,"
       "\"sum_fraction_bits\":20,\"sites\":[{\"name\":\"s\",\"rows\":2,"
       "\"channels\":[" +
       channels + "]}]}")
          .str();
  Expected<CalibrationData> data = parseCalibration(text, "file");
  return data ? "" : toString(data.takeError());
}

TEST(CalibrationPieces, EveryChannelIsItsOwnObject) {
  const char *good = R"({ "bins" : "0:2", "max":0,"sum":"0","squares":"0"})";
  std::string two = std::string(good) + "\n,\n" + good;
  EXPECT_EQ(problemOf(two), "");
  EXPECT_EQ(problemOf(std::string("null,") + good),
            "file: site 's': channel 1: no JSON object");
  EXPECT_EQ(problemOf(std::string(good) + R"(],"x":[{})"),
            "file: objects where none belong");
  std::string broken = problemOf(two + R"(,{"bins":})");
  EXPECT_NE(broken.find("file: site 's': channel 2: this is not valid JSON"),
            std::string::npos)
      << broken;
}
