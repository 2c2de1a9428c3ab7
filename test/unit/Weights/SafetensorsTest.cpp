//===- SafetensorsTest.cpp - reading good and bad safetensors files ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/Safetensors.h"

#include "TestFiles.h"

#include "gtest/gtest.h"

#include <cmath>
#include <cstring>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::test;

namespace {

std::string bytesOf(std::initializer_list<float> values) {
  std::string bytes(values.size() * 4, '\0');
  std::memcpy(bytes.data(), values.begin(), bytes.size());
  return bytes;
}

std::string bytesOf16(std::initializer_list<uint16_t> values) {
  std::string bytes(values.size() * 2, '\0');
  std::memcpy(bytes.data(), values.begin(), bytes.size());
  return bytes;
}

/// Padded with spaces to a multiple of 8, as writers do.
std::string padded(std::string header) {
  header.resize(alignTo(header.size(), 8), ' ');
  return header;
}

std::string sample() {
  std::string header =
      padded(R"({"__metadata__":{"format":"pt"},)"
             R"("a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
             R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},)"
             R"("c":{"dtype":"F16","shape":[],"data_offsets":[22,24]},)"
             R"("d":{"dtype":"I64","shape":[0,7],"data_offsets":[24,24]}})");
  return safetensors(header, bytesOf({1.5f, -2.0f, 0.0f, 3e38f}) +
                                 bytesOf16({0x3f80, 0xc000, 0x7f80}) +
                                 bytesOf16({0x3c01}));
}

std::string problemOf(StringRef bytes) {
  Expected<SafetensorsFile> file = SafetensorsFile::fromBuffer(inMemory(bytes));
  return file ? "" : toString(file.takeError());
}

std::string problemOfHeader(StringRef header, StringRef data) {
  return problemOf(safetensors(header, data));
}

#define EXPECT_CONTAINS(text, part)                                            \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

TEST(Safetensors, ReadsTensors) {
  SafetensorsFile file =
      cantFail(SafetensorsFile::fromBuffer(inMemory(sample())));
  EXPECT_EQ(file.names(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(file.find("a")->shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(file.find("d")->elements(), 0);
  EXPECT_EQ(file.find("__metadata__"), nullptr);
  F32Tensor a = cantFail(file.tensorF32("a"));
  EXPECT_TRUE(a.isView());
  EXPECT_EQ(a.values(), ArrayRef<float>({1.5f, -2.0f, 0.0f, 3e38f}));
  F32Tensor b = cantFail(file.tensorF32("b"));
  EXPECT_EQ(b.values(), ArrayRef<float>({1.0f, -2.0f, INFINITY}));
  F32Tensor c = cantFail(file.tensorF32("c"));
  EXPECT_EQ(c.values(), ArrayRef<float>({1.0f + 0x1p-10f}));
}

TEST(Safetensors, ReadsMisalignedF32) {
  std::string header =
      R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}} )";
  ASSERT_NE((8 + header.size()) % 4, 0u);
  SafetensorsFile file = cantFail(SafetensorsFile::fromBuffer(
      inMemory(safetensors(header, bytesOf({2.5f})))));
  F32Tensor x = cantFail(file.tensorF32("x"));
  EXPECT_FALSE(x.isView());
  EXPECT_EQ(x.values(), ArrayRef<float>({2.5f}));
}

/// Every half against the definition (-1)^s (1 + f/1024) 2^(e-15).
TEST(Safetensors, ConvertsEveryHalf) {
  std::string data;
  for (int half = 0; half < 65536; ++half)
    data += {static_cast<char>(half & 255), static_cast<char>(half >> 8)};
  std::string header = padded(
      R"({"x":{"dtype":"F16","shape":[65536],"data_offsets":[0,131072]}})");
  SafetensorsFile file = cantFail(
      SafetensorsFile::fromBuffer(inMemory(safetensors(header, data))));
  F32Tensor x = cantFail(file.tensorF32("x"));
  for (int half = 0; half < 65536; ++half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double expected = exponent == 0
                          ? std::ldexp(fraction, -24)
                          : std::ldexp(1024 + fraction, exponent - 25);
    if (exponent == 31)
      expected = fraction ? NAN : INFINITY;
    expected = half >> 15 ? -expected : expected;
    float value = x.values()[half];
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << half;
      continue;
    }
    ASSERT_EQ(value, expected) << half;
    ASSERT_EQ(std::signbit(value), std::signbit(expected)) << half;
  }
}

TEST(Safetensors, NamesMissingAndUnsuitableTensors) {
  SafetensorsFile file =
      cantFail(SafetensorsFile::fromBuffer(inMemory(sample())));
  EXPECT_CONTAINS(toString(file.tensorF32("nope").takeError()), "'nope'");
  EXPECT_CONTAINS(toString(file.tensorF32("d").takeError()), "I64");
}

TEST(Safetensors, OpensFromDisk) {
  TemporaryDirectory directory;
  std::string path = directory.path("w.safetensors");
  EXPECT_CONTAINS(toString(SafetensorsFile::open(path).takeError()),
                  "w.safetensors");
  writeBytes(path, sample());
  SafetensorsFile file = cantFail(SafetensorsFile::open(path));
  EXPECT_EQ(cantFail(file.tensorF32("a")).values()[0], 1.5f);
  writeBytes(path, "");
  EXPECT_CONTAINS(toString(SafetensorsFile::open(path).takeError()),
                  "too short");
}

TEST(Safetensors, EmptyFileOfNoTensors) {
  EXPECT_EQ(problemOfHeader("{}", ""), "");
}

TEST(Safetensors, NamesWhatIsWrong) {
  auto entry = [](const std::string &body) { return "{\"x\":{" + body + "}}"; };
  EXPECT_CONTAINS(problemOf("1234"), "too short");
  EXPECT_CONTAINS(problemOf(std::string(16, '\xff')), "header length");
  EXPECT_CONTAINS(problemOfHeader("{", ""), "not valid JSON");
  EXPECT_CONTAINS(problemOfHeader("[]", ""), "not a JSON object");
  EXPECT_CONTAINS(problemOfHeader(std::string(200000, '['), ""), "nests");
  EXPECT_CONTAINS(problemOfHeader("{\"x\":1}", ""), "'x' is not an object");
  EXPECT_CONTAINS(
      problemOfHeader(entry(R"("dtype":"Q4","shape":[1],"data_offsets":[0,4])"),
                      "abcd"),
      "unknown dtype 'Q4'");
  EXPECT_CONTAINS(
      problemOfHeader(
          entry(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), "abcd"),
      "no valid shape");
  EXPECT_CONTAINS(
      problemOfHeader(entry(R"("dtype":"F32","shape":[1],"data_offsets":[0])"),
                      "abcd"),
      "no valid data_offsets");
  EXPECT_CONTAINS(
      problemOfHeader(
          entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), "abc"),
      "outside the file");
  EXPECT_CONTAINS(
      problemOfHeader(
          entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "abcd"),
      "do not match");
  EXPECT_CONTAINS(
      problemOfHeader(
          entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), "abcde"),
      "follow the last tensor");
}

TEST(Safetensors, ShapeWhoseSizeOverflows) {
  // 2^62 * 2^2 * 4 is 0 modulo 2^64.
  EXPECT_CONTAINS(
      problemOfHeader(R"({"x":{"dtype":"F32","shape":[4611686018427387904,4],)"
                      R"("data_offsets":[0,0]}})",
                      ""),
      "do not match");
}

TEST(Safetensors, OverlapsAndHoles) {
  auto two = [](const char *first, const char *second) {
    return std::string(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)") +
           first + R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" +
           second + "}}";
  };
  EXPECT_EQ(problemOfHeader(two("[0,2]", "[2,4]"), "abcd"), "");
  EXPECT_EQ(problemOfHeader(two("[2,4]", "[0,2]"), "abcd"), "");
  EXPECT_CONTAINS(problemOfHeader(two("[0,2]", "[1,3]"), "abc"), "overlap");
  EXPECT_CONTAINS(problemOfHeader(two("[0,2]", "[3,5]"), "abcde"), "unused");
}

/// Whatever a byte becomes, the file is refused or can be read completely.
TEST(Safetensors, SurvivesMutation) {
  const std::string good = sample();
  auto read = [](StringRef bytes) {
    Expected<SafetensorsFile> file =
        SafetensorsFile::fromBuffer(inMemory(bytes));
    if (!file)
      return consumeError(file.takeError());
    for (const std::string &name : file->names()) {
      Expected<F32Tensor> tensor = file->tensorF32(name);
      if (!tensor) {
        consumeError(tensor.takeError());
        continue;
      }
      size_t readable = 0;
      for (float value : tensor->values())
        readable += value == value;
      EXPECT_LE(readable, tensor->values().size());
    }
  };
  for (size_t length = 0; length < good.size(); ++length) {
    read(StringRef(good).take_front(length));
    EXPECT_NE(problemOf(StringRef(good).take_front(length)), "") << length;
  }
  for (size_t position = 0; position < good.size(); ++position)
    for (int value : {0, 1, 34, 44, 48, 57, 91, 93, 123, 125, 128, 255}) {
      std::string bad = good;
      bad[position] = static_cast<char>(value);
      read(bad);
    }
}

} // namespace
