//===- QuantisedKernelsTest.cpp - VNNI, portable and scalar, bit by bit ---===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelHarness.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"
#include "gtest/gtest.h"

#include <cstring>

using namespace spikequant::test;

namespace {

struct Case {
  const char *reason; ///< Why this shape is here; the test's name.
  Problem problem;
};

void PrintTo(const Case &test, std::ostream *os) { *os << test.reason; }

class QuantisedKernels : public testing::TestWithParam<Case> {};

bool hasFeature(const char *name) {
  return llvm::sys::getHostCPUFeatures().lookup(name);
}

/// Position and bits of the first difference.
template <typename T>
testing::AssertionResult sameBits(const std::vector<T> &actual,
                                  const std::vector<T> &expected) {
  if (actual.size() != expected.size())
    return testing::AssertionFailure() << "sizes differ";
  for (size_t i = 0; i < actual.size(); ++i)
    if (std::memcmp(&actual[i], &expected[i], sizeof(T)) != 0)
      return testing::AssertionFailure()
             << "element " << i << " of " << actual.size() << " is "
             << +actual[i] << ", not " << +expected[i];
  return testing::AssertionSuccess();
}

void compare(const Problem &problem, const Outputs &actual,
             const Outputs &expected) {
  EXPECT_TRUE(actual.guardsIntact) << "a kernel wrote behind an array";
  EXPECT_TRUE(sameBits(actual.dense, expected.dense)) << "dense";
  EXPECT_TRUE(sameBits(actual.sums, expected.sums)) << "sums";
  EXPECT_TRUE(sameBits(actual.overflow, expected.overflow)) << "overflow";
  EXPECT_TRUE(sameBits(actual.salient, expected.salient)) << "salient";
  EXPECT_TRUE(sameBits(actual.y, expected.y)) << "y";
  EXPECT_TRUE(sameBits(actual.rows, expected.rows)) << "lookup";
  if (!problem.taps)
    return;
  EXPECT_TRUE(sameBits(actual.counts, expected.counts)) << "counts";
  EXPECT_TRUE(sameBits(actual.membrane, expected.membrane)) << "membrane";
}

void check(const Problem &problem, DotInstructions instructions) {
  Layer layer = makeLayer(problem);
  auto compiled = CompiledLayer::compile(layer, instructions);
  ASSERT_TRUE(compiled) << moduleText(layer);
  compare(problem, compiled->run(layer), runReference(layer));
}

} // namespace

TEST_P(QuantisedKernels, VnniEqualsScalarDefinition) {
  if (!hasFeature("avx512vnni"))
    GTEST_SKIP() << "this processor has no AVX-512 VNNI";
  check(GetParam().problem, DotInstructions::Avx512Vnni);
}

TEST_P(QuantisedKernels, PortableEqualsScalarDefinition) {
  check(GetParam().problem, DotInstructions::Portable);
}

TEST_P(QuantisedKernels, Avx2EqualsScalarDefinition) {
  if (!hasFeature("avx2"))
    GTEST_SKIP() << "this processor has no AVX2";
  check(GetParam().problem, DotInstructions::Avx2);
}

static Problem sized(int64_t rows, int64_t n, int64_t k, int64_t bits = 4,
                     int64_t group = 32) {
  Problem problem;
  problem.rows = rows;
  problem.n = n;
  problem.k = k;
  problem.bits = bits;
  problem.group = group;
  problem.seed = rows + 131 * n + 17 * k + bits;
  return problem;
}

template <typename Change> static Problem with(Problem problem, Change change) {
  change(problem);
  return problem;
}

static Problem plain(Problem problem) {
  problem.window = problem.taps = false;
  problem.tolerance = 0;
  return problem;
}

static Problem everyOption(Problem problem) {
  problem.rowScale = problem.gains = problem.centres = true;
  return problem;
}

/// Fixed-point activations and looked-up rows.
static Problem fixed(Problem problem) {
  problem.grid = true;
  return problem;
}

/// Few enough outliers that most rows have no overflow.
static Problem calm(Problem problem) {
  problem.outlierEvery = 5003;
  return problem;
}

static Problem overflowing(Problem problem, float typicalCount) {
  problem.typicalCount = typicalCount;
  return problem;
}

/// Nearly every count saturates at 32767, with one sign.
static Problem saturating(Problem problem) {
  problem.typicalCount = 1e6f;
  problem.positive = true;
  return problem;
}

static Problem zeros(Problem problem) {
  problem.offsetBits = 8;
  return problem;
}

static const Case cases[] = {
    // Rows: none, the two-mask form (1), row tiles of 4, 2 and 1 and their
    // tails, more rows than one work item.
    {"NoRows", sized(0, 32, 32)},
    {"OneRow", sized(1, 64, 64)},
    {"TwoRows", sized(2, 64, 64)},
    {"TilesOfFourAndOne", calm(sized(5, 64, 64))},
    {"TilesOfFourTwoAndOne", sized(7, 80, 64)},
    {"SeveralWorkItems", sized(69, 64, 32)},
    // Output channels: one, one over a tile, one panel and a tile, a panel of
    // two and three tiles, several panels.
    {"OneOutputChannel", sized(3, 1, 40)},
    {"OneOverATile", sized(4, 17, 32)},
    {"PanelsOfFourAndTwo", sized(4, 96, 32)},
    {"PanelsOfFourAndThreeCut", sized(4, 107, 32)},
    {"OneRowManyPanels", sized(1, 331, 64)},
    // Input channels: one, the padding of a line, one under and over a group.
    {"OneInputChannel", sized(3, 16, 1)},
    {"OneLine", sized(3, 16, 8)},
    {"OneUnderAGroup", sized(5, 33, 31)},
    {"OneOverAGroup", sized(5, 33, 33)},
    {"LastGroupShort", sized(4, 16, 88)},
    {"WholeRowWithPadding", sized(5, 48, 45, 4, 0)},
    {"LongRowUnrolledByFour", sized(2, 64, 576, 4, 0)},
    // Groups: the shortest, half vectors in encode, longer than the row.
    {"GroupsOfEight", sized(5, 40, 40, 4, 8)},
    {"GroupsOfTwentyFour", sized(5, 16, 77, 4, 24)},
    {"GroupLongerThanTheRow", sized(4, 16, 24, 4, 64)},
    // Code widths: planes of 4, 2 and 1 bits, or whole bytes.
    {"TwoBits", sized(5, 64, 64, 2)},
    {"ThreeBits", sized(1, 64, 64, 3)},
    {"FiveBits", sized(5, 33, 36, 5)},
    {"SixBits", sized(7, 107, 72, 6)},
    {"SixBitsOneRow", sized(1, 64, 64, 6)},
    {"SixBitsGroupsOfEight", sized(2, 40, 40, 6, 8)},
    {"SixBitsWholeRow", sized(6, 80, 100, 6, 0)},
    {"SevenBits", sized(5, 33, 36, 7)},
    {"SevenBitsOneRow", sized(1, 107, 45, 7, 0)},
    {"EightBits", sized(7, 80, 72, 8)},
    {"EightBitsWholeRow", sized(6, 80, 100, 8, 0)},
    {"EightBitsOneChannel", sized(2, 1, 1, 8)},
    // Offsets as zero points: one row and several, pairs of groups and one
    // left over, panels of one to four tiles, all kinds of overflow.
    {"ZerosOneRow", zeros(sized(1, 107, 88))},
    {"ZerosTwoBits", zeros(sized(5, 80, 96, 2))},
    {"ZerosThreeBits", zeros(sized(6, 33, 77, 3, 24))},
    {"ZerosFourBits", zeros(sized(7, 107, 72, 4, 8))},
    {"ZerosFiveBitsOneRow", zeros(sized(1, 40, 45, 5, 16))},
    {"ZerosSixBits", zeros(overflowing(sized(5, 64, 100, 6), 300))},
    {"ZerosSevenBitsWholeRow", zeros(sized(4, 17, 36, 7, 0))},
    {"ZerosEightBits", zeros(sized(6, 96, 68, 8))},
    {"ZerosEightBitsOneRow", zeros(sized(1, 331, 64, 8))},
    {"ZerosOverflow", zeros(overflowing(sized(5, 80, 64), 60))},
    {"ZerosOverflowLeavesI32", zeros(saturating(sized(3, 107, 96)))},
    {"ZerosWide", zeros(with(overflowing(sized(2, 18, 9000, 8, 0), 80),
                             [](Problem &p) { p.positive = true; }))},
    // Options.
    {"NothingOptional", plain(calm(sized(5, 48, 64)))},
    {"EveryOption", everyOption(sized(5, 33, 77))},
    {"EveryOptionOneRow", everyOption(sized(1, 16, 24, 4, 8))},
    {"GainsWithoutWindow",
     with(plain(sized(3, 16, 40)), [](Problem &p) { p.gains = true; })},
    {"CentresOnly",
     with(plain(sized(3, 16, 40)), [](Problem &p) { p.centres = true; })},
    {"ExactWindow", with(sized(4, 16, 64),
                         [](Problem &p) {
                           p.tolerance = 0;
                           p.typicalCount = 60;
                         })},
    // Fixed point: with and without row factors, centres and negative gains,
    // half vectors, tails, every code width of the lookup.
    {"FixedPoint", fixed(sized(5, 48, 64))},
    {"FixedPointEveryOption", fixed(everyOption(sized(5, 33, 77)))},
    {"FixedPointOneRow", fixed(everyOption(sized(1, 16, 24, 4, 8)))},
    {"FixedPointGroupsOfTwentyFour",
     fixed(everyOption(sized(5, 16, 77, 4, 24)))},
    {"FixedPointPlain", fixed(plain(calm(sized(7, 80, 72, 8))))},
    {"FixedPointThreeBits", fixed(everyOption(sized(3, 64, 64, 3)))},
    {"FixedPointScaled",
     with(fixed(sized(128, 64, 576)), [](Problem &p) { p.rowScale = true; })},
    // Overflow: some in every row (i32 epilogue), every count, so large that
    // the sum leaves i32 (i64 epilogue), and weights whose dense sum already
    // does (64-bit accumulators).
    {"OverflowInEveryRow", overflowing(sized(5, 80, 64), 60)},
    {"EveryCountOverflows", overflowing(sized(7, 80, 72, 8), 3000)},
    {"TwoBitsOverflow", overflowing(sized(5, 80, 64, 2), 60)},
    {"ThreeBitsOverflow", overflowing(sized(1, 80, 64, 3), 60)},
    {"SixBitsOverflow", overflowing(sized(4, 107, 72, 6), 300)},
    {"SevenBitsOverflow", overflowing(sized(3, 33, 72, 7), 300)},
    {"OverflowLeavesI32", saturating(sized(6, 107, 96))},
    {"OverflowLeavesI32OneRow", saturating(sized(1, 80, 96))},
    {"WideAccumulators",
     with(sized(5, 33, 1024, 4, 32), [](Problem &p) { p.maxOffset = 32767; })},
    {"WideEightBitsWholeRow", with(overflowing(sized(2, 18, 8000, 8, 0), 80),
                                   [](Problem &p) {
                                     p.maxOffset = 32767;
                                     p.positive = true;
                                   })},
    // The model's own shapes.
    {"ModelPrefill", calm(sized(128, 1536, 576))},
    {"ModelDecode", calm(sized(1, 576, 1536))},
};

namespace {
/// Which epilogue the rows of a case take, and why it matters.
struct Epilogues {
  bool wide = false;
  int64_t none = 0, inI32 = 0, inI64 = 0; ///< rows
  int64_t largestSum = 0,
          largestDense = 0; ///< |membrane|, and without overflow
};
} // namespace

static void countRow(const Layer &layer, const Outputs &outputs, int64_t row,
                     int64_t slack, Epilogues &result) {
  const auto &layout = layer.layout;
  spikequant::PackedCodes packed{layout, layer.at<uint8_t>(layer.codes)};
  const int32_t *entries = &outputs.overflow[row * (2 + 2 * layout.k)];
  int64_t bound = 0;
  for (int64_t i = 0; i < entries[0]; ++i)
    bound += std::abs(int64_t{entries[3 + 2 * i]}) *
             layer.at<int32_t>(layer.columnMax)[entries[2 + 2 * i]];
  ++(!entries[0] ? result.none : bound <= slack ? result.inI32 : result.inI64);
  for (int64_t n = 0; n < layout.n; ++n) {
    int64_t sum = outputs.membrane[row * layout.n + n], dense = sum;
    for (int64_t i = 0; i < entries[0]; ++i)
      dense -=
          int64_t{entries[3 + 2 * i]} * packed.weightAt(n, entries[2 + 2 * i]);
    result.largestSum = std::max(result.largestSum, std::abs(sum));
    result.largestDense = std::max(result.largestDense, std::abs(dense));
  }
}

static Epilogues epiloguesOf(const char *reason) {
  Problem problem;
  for (const Case &test : cases)
    if (!std::strcmp(test.reason, reason))
      problem = test.problem;
  Layer layer = makeLayer(problem);
  Outputs outputs = runReference(layer);
  int64_t slack = std::numeric_limits<int32_t>::max() - 127 * layer.maxRowSum;
  Epilogues result;
  result.wide = slack < 0;
  for (int64_t row = 0; row < problem.rows; ++row)
    countRow(layer, outputs, row, slack, result);
  return result;
}

/// The names of the cases promise a path each; this holds them to it.
TEST(QuantisedKernelCases, ReachEveryEpilogue) {
  constexpr int64_t limit = std::numeric_limits<int32_t>::max();
  Epilogues calmRows = epiloguesOf("ModelPrefill");
  EXPECT_GT(calmRows.none, 0);
  EXPECT_GT(calmRows.inI32, 0);
  Epilogues everyRow = epiloguesOf("OverflowInEveryRow");
  EXPECT_GT(everyRow.inI32, 0);
  EXPECT_EQ(everyRow.none, 0);
  for (const char *reason : {"OverflowLeavesI32", "OverflowLeavesI32OneRow"}) {
    Epilogues leaves = epiloguesOf(reason);
    EXPECT_FALSE(leaves.wide) << reason;
    EXPECT_GT(leaves.inI64, 0) << reason;
    EXPECT_GT(leaves.largestSum, limit) << reason;
  }
  EXPECT_TRUE(epiloguesOf("WideAccumulators").wide);
  Epilogues wide = epiloguesOf("WideEightBitsWholeRow");
  EXPECT_TRUE(wide.wide);
  EXPECT_GT(wide.largestDense, limit);
}

INSTANTIATE_TEST_SUITE_P(Shapes, QuantisedKernels, testing::ValuesIn(cases),
                         [](const auto &info) {
                           return std::string(info.param.reason);
                         });
