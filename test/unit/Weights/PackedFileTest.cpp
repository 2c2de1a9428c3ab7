//===- PackedFileTest.cpp - writing and reading packed weights ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/PackedFile.h"

#include "spikequant/Kernel/Reference.h"
#include "spikequant/Weights/PackedFileWriter.h"
#include "spikequant/Weights/Packing.h"

#include "TestFiles.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/xxhash.h"

#include "gtest/gtest.h"

#include <cstring>
#include <random>

using namespace llvm;
using namespace spikequant;
using namespace spikequant::test;

namespace {

/// Random integers in the rounded form; scales are distinct.
RoundedMatrix randomMatrix(int64_t n, int64_t k, int64_t group, int bits,
                           uint32_t seed, bool zeroPoints = false) {
  std::mt19937 random(seed);
  RoundedMatrix matrix;
  matrix.n = n;
  matrix.k = k;
  matrix.group = std::min(group, k);
  matrix.bits = bits;
  int64_t groups = (k + matrix.group - 1) / matrix.group;
  for (int64_t i = 0; i < n * k; ++i)
    matrix.codes.push_back(random() % (1 << bits));
  for (int64_t i = 0; i < n * groups; ++i) {
    matrix.multipliers.push_back(1 + random() % 255);
    matrix.offsets.push_back(static_cast<int16_t>(random()));
    if (!zeroPoints)
      continue;
    matrix.zeroPoints.push_back(random() % 256);
    // Half a unit up, then down; a unit is 2^(bits - 8) of a code's step.
    double exact = matrix.multipliers[i] * matrix.zeroPoints[i] *
                   std::ldexp(1.0, bits - 8);
    matrix.offsets[i] = -std::floor(exact + (bits < 8 ? 0.5 : 0.0));
  }
  for (int64_t o = 0; o < n; ++o)
    matrix.scales.push_back(0.001f * static_cast<float>(o + 1));
  return matrix;
}

const RoundedMatrix matrices[] = {randomMatrix(1, 1, 32, 4, 1),
                                  randomMatrix(17, 9, 8, 4, 2),
                                  randomMatrix(65, 100, 24, 2, 3),
                                  randomMatrix(112, 31, 64, 8, 4),
                                  randomMatrix(16, 40, 1000, 5, 5),
                                  randomMatrix(65, 100, 24, 4, 6, true),
                                  randomMatrix(33, 20, 8, 7, 7, true),
                                  randomMatrix(20, 16, 1000, 2, 8, true)};

/// Eight matrices and three arrays, as file bytes.
std::string sampleFile(const TemporaryDirectory &directory) {
  std::string path = directory.path("weights.sqw");
  PackedFileWriter writer = cantFail(PackedFileWriter::create(path));
  for (size_t i = 0; i < std::size(matrices); ++i)
    cantFail(writer.addCodes("m" + std::to_string(i), matrices[i]));
  cantFail(writer.addF32("norm", {3}, {1.0f, 2.0f, 3.0f}));
  cantFail(writer.addRaw("bits", "i8", {2, 1}, {4, 8}));
  cantFail(writer.addRaw("nothing", "i64", {0, 5}, {}));
  cantFail(writer.finish());
  return path;
}

std::string problemOf(Error error) {
  return error ? toString(std::move(error)) : "";
}

std::string openProblem(StringRef bytes, bool verifyChecksum) {
  Expected<PackedFile> file =
      PackedFile::fromBuffer(inMemory(bytes), verifyChecksum);
  return file ? "" : toString(file.takeError());
}

#define EXPECT_CONTAINS(text, part)                                            \
  EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

//===----------------------------------------------------------------------===//
// Packing
//===----------------------------------------------------------------------===//

TEST(Packing, RoundTripAndBounds) {
  for (const RoundedMatrix &matrix : matrices) {
    PackedMatrix packed = packMatrix(matrix);
    int64_t groups = matrix.layout().groups(), worstRow = 0;
    std::vector<int32_t> columnMax(matrix.k, 0);
    for (int64_t o = 0; o < matrix.n; ++o) {
      int64_t rowSum = 0;
      for (int64_t j = 0; j < matrix.k; ++j) {
        int64_t g = o * groups + j / matrix.group;
        int32_t weight =
            matrix.multipliers[g] * matrix.codes[o * matrix.k + j] +
            matrix.offsets[g];
        ASSERT_EQ(packed.view().weightAt(o, j), weight) << o << ", " << j;
        rowSum += std::abs(weight);
        columnMax[j] = std::max(columnMax[j], std::abs(weight));
      }
      worstRow = std::max(worstRow, rowSum);
    }
    EXPECT_EQ(packed.maxRowSum, worstRow);
    EXPECT_EQ(packed.columnMax, columnMax);
  }
}

TEST(Packing, PaddingIsNeutral) {
  RoundedMatrix matrix = randomMatrix(17, 9, 8, 4, 2);
  PackedMatrix packed = packMatrix(matrix);
  // Every padded channel and column, read as if the matrix had them.
  PackedCodes padded = packed.view();
  padded.layout.n = 32;
  padded.layout.k = 16;
  for (int64_t o = 0; o < 32; ++o)
    for (int64_t j = o < 17 ? 9 : 0; j < 16; ++j)
      EXPECT_EQ(padded.codeAt(o, j), 0);
  for (int64_t o = 17; o < 32; ++o) {
    EXPECT_EQ(packed.scales[o], 1.0f);
    for (int64_t g = 0; g < 2; ++g) {
      EXPECT_EQ(packed.view().multiplierAt(o, g), 1);
      EXPECT_EQ(packed.view().offsetAt(o, g), 0);
    }
  }
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

TEST(PackedFile, RoundTrip) {
  TemporaryDirectory directory;
  PackedFile file = cantFail(PackedFile::open(sampleFile(directory), true));
  EXPECT_EQ(file.keys(),
            (std::vector<std::string>{"bits", "m0", "m1", "m2", "m3", "m4",
                                      "m5", "m6", "m7", "norm", "nothing"}));
  for (size_t i = 0; i < std::size(matrices); ++i) {
    const RoundedMatrix &matrix = matrices[i];
    const PackedEntry *entry = file.find("m" + std::to_string(i));
    ASSERT_NE(entry, nullptr);
    PackedMatrix packed = packMatrix(matrix);
    EXPECT_EQ(entry->bits, matrix.bits);
    EXPECT_EQ(entry->maxRowSum, packed.maxRowSum);
    EXPECT_EQ(file.columnMax(*entry), ArrayRef(packed.columnMax));
    EXPECT_EQ(file.scales(*entry), ArrayRef(packed.scales));
    for (int64_t o = 0; o < matrix.n; ++o)
      for (int64_t j = 0; j < matrix.k; ++j)
        ASSERT_EQ(file.codes(*entry).weightAt(o, j), matrix.weightAt(o, j));
  }
  const PackedEntry *bits = file.find("bits");
  EXPECT_EQ(bits->kind, PackedEntry::Kind::Raw);
  EXPECT_EQ(bits->type, "i8");
  EXPECT_EQ(bits->shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(file.bytes(bits->raw), ArrayRef<uint8_t>({4, 8}));
  EXPECT_EQ(file.find("norm")->raw.bytes, 12u);
  EXPECT_EQ(file.find("absent"), nullptr);
}

/// The fixed part of the format, read byte by byte.
TEST(PackedFile, HeaderAndAlignment) {
  TemporaryDirectory directory;
  std::string bytes = readBytes(sampleFile(directory));
  auto word = [&](size_t at) { return support::endian::read64le(&bytes[at]); };
  EXPECT_EQ(bytes.substr(0, 8), "SQWEIGHT");
  EXPECT_EQ(word(8), 2u); // version, reserved
  EXPECT_EQ(word(24) % 64, 0u);
  EXPECT_LE(64 + word(16), word(24));
  EXPECT_EQ(word(32), bytes.size());
  EXPECT_EQ(word(40), xxh3_64bits(StringRef(bytes).drop_front(64)));
  EXPECT_EQ(bytes.substr(48, 16), std::string(16, '\0'));
  json::Value index =
      cantFail(json::parse(StringRef(bytes).substr(64, word(16))));
  json::Object *norm =
      index.getAsObject()->getObject("entries")->getObject("norm");
  ASSERT_NE(norm, nullptr);
  int64_t offset = *norm->getInteger("offset");
  EXPECT_EQ(offset % 64, 0);
  float values[3];
  std::memcpy(values, &bytes[offset], sizeof values);
  EXPECT_EQ(values[2], 3.0f);
}

TEST(PackedFile, IntegratesThroughFileOffsets) {
  TemporaryDirectory directory;
  PackedFile file = cantFail(PackedFile::open(sampleFile(directory), false));
  const PackedEntry &entry = *file.find("m3");
  const RoundedMatrix &matrix = matrices[3];
  std::vector<int16_t> counts(matrix.k, -2);
  std::vector<int64_t> acc(matrix.n);
  sq_ref_integrate(counts.data(), 1, matrix.k, file.base(), entry.codes.offset,
                   entry.layout.container, entry.layout.offsetBits,
                   entry.layout.group, matrix.n, acc.data());
  for (int64_t o = 0; o < matrix.n; ++o) {
    int64_t expected = 0;
    for (int64_t j = 0; j < matrix.k; ++j)
      expected -= 2 * matrix.weightAt(o, j);
    EXPECT_EQ(acc[o], expected);
  }
}

TEST(PackedFile, EmptyFile) {
  TemporaryDirectory directory;
  std::string path = directory.path("empty.sqw");
  PackedFileWriter writer = cantFail(PackedFileWriter::create(path));
  cantFail(writer.finish());
  EXPECT_TRUE(cantFail(PackedFile::open(path, true)).keys().empty());
}

/// The index's length depends on offsets that depend on its length.
TEST(PackedFile, ManyEntries) {
  TemporaryDirectory directory;
  std::string path = directory.path("many.sqw");
  PackedFileWriter writer = cantFail(PackedFileWriter::create(path));
  for (uint8_t i = 0; i < 250; ++i)
    cantFail(writer.addRaw("array." + std::to_string(i), "u8", {1}, {i}));
  cantFail(writer.finish());
  PackedFile file = cantFail(PackedFile::open(path, true));
  for (uint8_t i = 0; i < 250; ++i) {
    const PackedEntry *entry = file.find("array." + std::to_string(i));
    ASSERT_NE(entry, nullptr);
    EXPECT_EQ(file.bytes(entry->raw), ArrayRef<uint8_t>({i}));
  }
}

TEST(PackedFileWriter, NothingIsLeftWithoutFinish) {
  TemporaryDirectory directory;
  {
    PackedFileWriter writer =
        cantFail(PackedFileWriter::create(directory.path("weights.sqw")));
    cantFail(writer.addF32("x", {1}, {1.0f}));
    EXPECT_FALSE(sys::fs::exists(directory.path("weights.sqw")));
  }
  EXPECT_EQ(directory.files(), 0);
}

TEST(PackedFileWriter, OnlyTheFileIsLeftAfterFinish) {
  TemporaryDirectory directory;
  sampleFile(directory);
  sampleFile(directory); // replaces the first
  EXPECT_EQ(directory.files(), 1);
}

TEST(PackedFileWriter, Errors) {
  TemporaryDirectory directory;
  Expected<PackedFileWriter> nowhere =
      PackedFileWriter::create(directory.path("absent/weights.sqw"));
  EXPECT_CONTAINS(toString(nowhere.takeError()), "weights.sqw");
  PackedFileWriter writer =
      cantFail(PackedFileWriter::create(directory.path("weights.sqw")));
  cantFail(writer.addF32("x", {1}, {1.0f}));
  EXPECT_CONTAINS(problemOf(writer.addF32("x", {1}, {1.0f})), "'x' is packed");
  EXPECT_CONTAINS(problemOf(writer.addCodes("x", matrices[0])),
                  "'x' is packed");
  EXPECT_CONTAINS(problemOf(writer.addF32("y", {2}, {1.0f})),
                  "match its bytes");
  EXPECT_CONTAINS(problemOf(writer.addRaw("z", "f8", {1}, {1})), "'f8'");
}

//===----------------------------------------------------------------------===//
// Bad files
//===----------------------------------------------------------------------===//

TEST(PackedFile, NamesWhatIsWrong) {
  TemporaryDirectory directory;
  const std::string good = readBytes(sampleFile(directory));
  EXPECT_CONTAINS(
      toString(PackedFile::open(directory.path("no.sqw"), false).takeError()),
      "no.sqw");
  EXPECT_CONTAINS(openProblem("SQWEIGHT", false), "not a packed weights file");
  std::string bad = good;
  bad[0] = 'X';
  EXPECT_CONTAINS(openProblem(bad, false), "not a packed weights file");
  bad = good;
  bad[8] = 1;
  EXPECT_CONTAINS(openProblem(bad, false),
                  "version 1; this program reads "
                  "version 2, compile the model again");
  bad = good;
  bad.back() ^= 1;
  EXPECT_CONTAINS(openProblem(bad, true), "checksum");
  EXPECT_CONTAINS(openProblem(good + "x", false), "truncated");
}

/// The file with the offset `from` in its index replaced by `to`.
std::string moveBlob(std::string bytes, uint64_t from, uint64_t to) {
  std::string old = "\"offset\":" + std::to_string(from);
  std::string replacement = "\"offset\":" + std::to_string(to);
  EXPECT_EQ(old.size(), replacement.size());
  return bytes.replace(bytes.find(old), old.size(), replacement);
}

TEST(PackedFile, BlobsInTheWrongPlace) {
  TemporaryDirectory directory;
  const std::string good = readBytes(sampleFile(directory));
  PackedFile file = cantFail(PackedFile::fromBuffer(inMemory(good), true));
  uint64_t bits = file.find("bits")->raw.offset;
  uint64_t norm = file.find("norm")->raw.offset;
  EXPECT_CONTAINS(openProblem(moveBlob(good, bits, norm), false), "overlap");
  EXPECT_CONTAINS(openProblem(moveBlob(good, bits, good.size()), false),
                  "'bits' has a blob of the wrong size or place");
  EXPECT_CONTAINS(openProblem(moveBlob(good, bits, bits + 4), false),
                  "wrong size or place");
}

/// Reads everything that a file offers.
void readAll(const PackedFile &file) {
  int64_t sum = 0;
  for (const std::string &key : file.keys()) {
    const PackedEntry &entry = *file.find(key);
    for (auto [blob, size] : entry.blobsAndSizes())
      for (uint8_t byte : file.bytes(blob))
        sum += byte;
    if (entry.kind == PackedEntry::Kind::Raw)
      continue;
    std::vector<int32_t> row(entry.layout.k);
    for (int64_t o = 0; o < entry.layout.n; ++o)
      file.codes(entry).unpackRow(o, row.data());
    sum += row[0] + file.columnMax(entry).back() + file.scales(entry).size();
  }
  EXPECT_NE(sum, INT64_MIN);
}

/// Whatever a byte becomes, the file is refused or can be read completely; with
/// the checksum it is refused.
TEST(PackedFile, SurvivesMutation) {
  TemporaryDirectory directory;
  std::string path = directory.path("weights.sqw");
  PackedFileWriter writer = cantFail(PackedFileWriter::create(path));
  cantFail(writer.addCodes("m", matrices[1]));
  cantFail(writer.addF32("norm", {3}, {1.0f, 2.0f, 3.0f}));
  cantFail(writer.finish());
  const std::string good = readBytes(path);
  for (size_t position = 0; position < good.size(); ++position)
    for (int value : {0, 1, 34, 44, 48, 57, 91, 93, 123, 125, 128, 255}) {
      std::string bad = good;
      bad[position] = static_cast<char>(value);
      Expected<PackedFile> file = PackedFile::fromBuffer(inMemory(bad), false);
      if (file)
        readAll(*file);
      else
        consumeError(file.takeError());
      if (bad != good && position >= 64) {
        ASSERT_NE(openProblem(bad, true), "") << position;
      }
    }
  for (size_t length = 0; length < good.size(); ++length)
    ASSERT_NE(openProblem(StringRef(good).take_front(length), false), "");
}

/// Changes inside the index that keep it valid JSON: random numbers and types.
TEST(PackedFile, SurvivesRandomIndexNumbers) {
  TemporaryDirectory directory;
  const std::string good = readBytes(sampleFile(directory));
  std::mt19937 random(11);
  uint64_t indexBytes = support::endian::read64le(&good[16]);
  for (int i = 0; i < 3000; ++i) {
    std::string bad = good;
    for (int change = 0; change < 1 + i % 3; ++change) {
      size_t position = 64 + random() % indexBytes;
      if (isDigit(bad[position]))
        bad[position] = static_cast<char>('0' + random() % 10);
    }
    Expected<PackedFile> file = PackedFile::fromBuffer(inMemory(bad), false);
    if (file)
      readAll(*file);
    else
      consumeError(file.takeError());
  }
}

} // namespace

/// Matrices of one shape; number i is that of seed i.
static std::string stackFile(const TemporaryDirectory &directory) {
  std::string path = directory.path("stack.sqw");
  PackedFileWriter writer = cantFail(PackedFileWriter::create(path));
  cantFail(writer.addStack("w", 3, [](int64_t i) -> Expected<RoundedMatrix> {
    return randomMatrix(17, 40, 16, 4, static_cast<uint32_t>(i));
  }));
  cantFail(writer.finish());
  return path;
}

/// A stack has one form: offsets if one of its matrices needs them.
TEST(PackedFile, StackOfBothForms) {
  TemporaryDirectory directory;
  std::string path = directory.path("stack.sqw");
  PackedFileWriter writer = cantFail(PackedFileWriter::create(path));
  auto matrix = [](int64_t i) {
    return randomMatrix(20, 40, 16, 4, static_cast<uint32_t>(i), i != 1);
  };
  for (auto [key, count] : {std::pair{"one", 1}, std::pair{"three", 3}})
    cantFail(
        writer.addStack(key, count, [&](int64_t i) -> Expected<RoundedMatrix> {
          return matrix(i);
        }));
  cantFail(writer.finish());
  PackedFile file = cantFail(PackedFile::open(path, /*verifyChecksum=*/true));
  EXPECT_EQ(file.find("one")->layout.offsetBits, 8);
  const PackedEntry *entry = file.find("three");
  EXPECT_EQ(entry->layout.offsetBits, 16);
  for (int64_t i = 0; i < 3; ++i)
    for (int64_t o = 0; o < 20; ++o)
      for (int64_t j = 0; j < 40; ++j)
        ASSERT_EQ(file.codes(*entry, i).weightAt(o, j),
                  matrix(i).weightAt(o, j));
}

TEST(PackedFile, StackHoldsItsMatricesOneAfterTheOther) {
  TemporaryDirectory directory;
  PackedFile file =
      cantFail(PackedFile::open(stackFile(directory), /*verifyChecksum=*/true));
  const PackedEntry *entry = file.find("w");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->stack, 3);
  int64_t largestSum = 0;
  for (uint32_t i = 0; i < 3; ++i) {
    RoundedMatrix matrix = randomMatrix(17, 40, 16, 4, i);
    PackedCodes codes = file.codes(*entry, i);
    for (int64_t o = 0; o < 17; ++o) {
      int64_t sum = 0;
      for (int64_t j = 0; j < 40; ++j) {
        ASSERT_EQ(codes.weightAt(o, j), matrix.weightAt(o, j));
        sum += std::abs(int64_t{matrix.weightAt(o, j)});
        EXPECT_GE(file.columnMax(*entry)[j], std::abs(matrix.weightAt(o, j)));
      }
      largestSum = std::max(largestSum, sum);
      EXPECT_EQ(file.scales(*entry)[i * 32 + o], matrix.scales[o]);
    }
  }
  EXPECT_EQ(entry->maxRowSum, largestSum);
}

TEST(PackedFile, StackOfAnErrorIsAnError) {
  TemporaryDirectory directory;
  PackedFileWriter writer =
      cantFail(PackedFileWriter::create(directory.path("stack.sqw")));
  Error error =
      writer.addStack("w", 2, [](int64_t i) -> Expected<RoundedMatrix> {
        if (i == 1)
          return createStringError("matrix 1 is bad");
        return randomMatrix(3, 8, 8, 4, 1);
      });
  EXPECT_EQ(problemOf(std::move(error)), "matrix 1 is bad");
}

TEST(PackedFile, StackOfNoneIsRefused) {
  TemporaryDirectory directory;
  std::string bytes = readBytes(stackFile(directory));
  size_t place = bytes.find("\"stack\":3");
  ASSERT_NE(place, std::string::npos);
  bytes.replace(place, 9, "\"stack\":0");
  EXPECT_CONTAINS(openProblem(bytes, /*verifyChecksum=*/false),
                  "invalid stack");
}
