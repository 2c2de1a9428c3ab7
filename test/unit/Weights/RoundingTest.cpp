//===- RoundingTest.cpp - nearest rounding against naive loops ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/Rounding.h"

#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace llvm;
using namespace spikequant;

namespace {

struct Matrix {
  int64_t n, k;
  std::vector<float> values; ///< [n][k]
  MatrixView view() const { return MatrixView::rowMajor(values.data(), n, k); }
  float at(int64_t o, int64_t j) const { return values[o * k + j]; }
};

Matrix gaussian(int64_t n, int64_t k, uint32_t seed, float sigma = 0.05f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  Matrix matrix{n, k, std::vector<float>(n * k)};
  for (float &value : matrix.values)
    value = normal(random);
  return matrix;
}

/// Groups of 32 that lie on d q + min, q = 0..15, with d and min rounded to 11
/// significant bits as f16 has them. A group need not use all codes.
Matrix onGrid(int64_t n, int64_t k, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  auto half = [](float x) {
    int exponent;
    float fraction = std::frexp(x, &exponent);
    return std::ldexp(std::nearbyint(fraction * 2048), exponent - 11);
  };
  Matrix matrix{n, k, std::vector<float>(n * k)};
  for (int64_t o = 0; o < n; ++o)
    for (int64_t first = 0; first < k; first += 32) {
      float d = half(0.001f + 0.01f * std::fabs(normal(random)));
      float low = half(-7.5f * d * (1 + 0.3f * normal(random)));
      for (int64_t j = first; j < std::min(k, first + 32); ++j)
        matrix.values[o * k + j] = d * static_cast<float>(random() % 16) + low;
    }
  return matrix;
}

RoundedMatrix round(const Matrix &matrix, RoundingOptions options = {}) {
  return cantFail(roundToCodes(matrix.view(), options, "w"));
}

double relativeError(const Matrix &matrix, const RoundedMatrix &rounded) {
  double error = 0, total = 0;
  for (int64_t o = 0; o < matrix.n; ++o)
    for (int64_t j = 0; j < matrix.k; ++j) {
      double w = matrix.at(o, j);
      double e =
          w - static_cast<double>(rounded.scales[o]) * rounded.weightAt(o, j);
      error += e * e;
      total += w * w;
    }
  return total > 0 ? std::sqrt(error / total) : 0;
}

/// Everything that the header promises, for one result.
void checkPromises(const Matrix &matrix, const RoundedMatrix &rounded) {
  int64_t groups = rounded.layout().groups();
  int top = (1 << rounded.bits) - 1;
  ASSERT_EQ(rounded.codes.size(), size_t(matrix.n * matrix.k));
  ASSERT_EQ(rounded.multipliers.size(), size_t(matrix.n * groups));
  for (int64_t i = 0; i < matrix.n * groups; ++i) {
    ASSERT_GE(rounded.multipliers[i], 1);
    ASSERT_LE(rounded.multipliers[i], rounded.bits <= 4 ? 255 : 63);
    if (rounded.zeroPoints.empty())
      continue;
    // A zero point's unit is 2^(bits - 8) of a code's step; half a unit is up.
    double exact = std::ldexp(rounded.multipliers[i] * rounded.zeroPoints[i],
                              rounded.bits - 8);
    ASSERT_EQ(rounded.offsets[i],
              -std::floor(exact + (rounded.bits < 8 ? 0.5 : 0.0)));
  }
  for (int64_t o = 0; o < matrix.n; ++o) {
    double scale = rounded.scales[o];
    ASSERT_TRUE(scale > 0 && std::isnormal(rounded.scales[o]));
    int64_t rowSum = 0;
    for (int64_t j = 0; j < matrix.k; ++j) {
      int64_t g = o * groups + j / rounded.group;
      int u = rounded.codes[o * matrix.k + j], m = rounded.multipliers[g];
      int c = rounded.offsets[g];
      ASSERT_LE(u, top);
      rowSum += std::abs(m * u + c);
      // No other code is nearer; f32 arithmetic may decide near-ties.
      double target = matrix.at(o, j) / scale;
      double chosen = std::fabs(target - (m * u + c));
      double tolerance = 1e-6 * (std::fabs(target) + m * top + std::abs(c));
      for (int other : {u - 1, u + 1})
        if (other >= 0 && other <= top)
          ASSERT_LE(chosen, std::fabs(target - (m * other + c)) + tolerance)
              << o << ", " << j;
    }
    ASSERT_LT(127 * rowSum, int64_t{1} << 31) << "row " << o;
  }
  EXPECT_NEAR(rounded.report.relativeFrobenius, relativeError(matrix, rounded),
              1e-4 * relativeError(matrix, rounded) + 1e-7);
}

TEST(Rounding, KeepsPromisesForRandomShapes) {
  struct Shape {
    int64_t n, k, group;
  };
  const Shape shapes[] = {{1, 1, 32},    {1, 33, 32},    {16, 32, 32},
                          {17, 100, 24}, {40, 64, 1000}, {3, 577, 64}};
  uint32_t seed = 0;
  for (Shape shape : shapes)
    for (int bits = 2; bits <= 8; ++bits)
      for (bool search : {false, true}) {
        SCOPED_TRACE(testing::Message()
                     << shape.n << " x " << shape.k << ", " << bits << " bits");
        Matrix matrix = gaussian(shape.n, shape.k, ++seed);
        RoundingOptions options{bits, shape.group, false, search};
        checkPromises(matrix, round(matrix, options));
      }
}

/// Zero points where every group holds both signs; their error is far below
/// the codes'. One group without 0 makes the matrix keep its offsets.
TEST(Rounding, ZeroPoints) {
  for (int bits = 2; bits <= 8; ++bits) {
    SCOPED_TRACE(bits);
    Matrix matrix = gaussian(24, 128, bits);
    RoundingOptions options{bits, 32}, plain = options;
    plain.zeroPoints = false;
    RoundedMatrix zeros = round(matrix, options);
    RoundedMatrix offsets = round(matrix, plain);
    EXPECT_EQ(zeros.zeroPoints.size(), zeros.offsets.size());
    EXPECT_EQ(zeros.layout().offsetBits, 8);
    EXPECT_EQ(offsets.layout().offsetBits, 16);
    checkPromises(matrix, zeros);
    EXPECT_LE(relativeError(matrix, zeros),
              1.05 * relativeError(matrix, offsets));
    for (int64_t j = 64; j < 96; ++j)
      matrix.values[17 * matrix.k + j] =
          3.0f + 0.1f * matrix.values[17 * matrix.k + j];
    RoundedMatrix positive = round(matrix, options);
    EXPECT_TRUE(positive.zeroPoints.empty());
    checkPromises(matrix, positive);
  }
}

/// Without a search, a group's step is its range / (2^b - 1), up to the
/// rounding of m (half a unit in at least 255 / spread) and of c.
TEST(Rounding, PlainErrorIsBoundedByHalfAStep) {
  Matrix matrix = gaussian(32, 256, 77);
  RoundedMatrix rounded = round(matrix, {4, 32, false, false});
  for (int64_t o = 0; o < 32; ++o)
    for (int64_t g = 0; g < 8; ++g) {
      const float *w = matrix.values.data() + o * 256 + g * 32;
      auto [low, high] = std::minmax_element(w, w + 32);
      double step = (static_cast<double>(*high) - *low) / 15;
      for (int64_t j = 0; j < 32; ++j)
        EXPECT_LE(std::fabs(w[j] - static_cast<double>(rounded.scales[o]) *
                                       rounded.weightAt(o, g * 32 + j)),
                  0.5 * step + 8.5 * rounded.scales[o]);
    }
}

TEST(Rounding, GroupsOnAFourBitGridAreKept) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    Matrix matrix = onGrid(24, 320, seed);
    RoundedMatrix rounded = round(matrix);
    checkPromises(matrix, rounded);
    EXPECT_LT(relativeError(matrix, rounded), 0.005) << seed;
  }
}

TEST(Rounding, SearchDoesNotHurt) {
  for (uint32_t seed = 1; seed <= 5; ++seed)
    for (int64_t group : {32, 512}) {
      Matrix matrix = gaussian(16, 512, seed);
      double plain =
          relativeError(matrix, round(matrix, {4, group, false, false}));
      double searched =
          relativeError(matrix, round(matrix, {4, group, false, true}));
      EXPECT_LT(searched, plain) << seed << " group " << group;
    }
}

TEST(Rounding, StridesDoNotMatter) {
  Matrix matrix = gaussian(35, 70, 9);
  std::vector<float> transposed(35 * 70);
  for (int64_t o = 0; o < 35; ++o)
    for (int64_t j = 0; j < 70; ++j)
      transposed[j * 35 + o] = matrix.at(o, j);
  RoundedMatrix one = round(matrix);
  RoundedMatrix two = cantFail(
      roundToCodes(MatrixView::transposed(transposed.data(), 70, 35), {}, "w"));
  EXPECT_EQ(one.codes, two.codes);
  EXPECT_EQ(one.multipliers, two.multipliers);
  EXPECT_EQ(one.offsets, two.offsets);
  EXPECT_EQ(one.scales, two.scales);
}

//===----------------------------------------------------------------------===//
// Degenerate rows and groups
//===----------------------------------------------------------------------===//

TEST(Rounding, ZeroRow) {
  Matrix matrix = gaussian(3, 40, 1);
  std::fill_n(matrix.values.begin() + 40, 40, 0.0f);
  for (bool symmetric : {false, true}) {
    RoundedMatrix rounded = round(matrix, {4, 32, symmetric, true});
    EXPECT_EQ(rounded.scales[1], 1.0f);
    for (int64_t j = 0; j < 40; ++j) {
      EXPECT_EQ(rounded.weightAt(1, j), 0);
      EXPECT_EQ(rounded.codes[40 + j], 0);
    }
    EXPECT_NE(rounded.scales[0], 1.0f);
  }
}

TEST(Rounding, ConstantRowsAreExact) {
  Matrix matrix{3, 50, std::vector<float>(150, -0.37f)};
  std::fill_n(matrix.values.begin() + 50, 32, 1.25f); // +-1.25, 0
  std::fill_n(matrix.values.begin() + 82, 18, -1.25f);
  std::fill_n(matrix.values.begin() + 132, 18, 0.0f);
  RoundedMatrix rounded = round(matrix);
  checkPromises(matrix, rounded);
  EXPECT_EQ(relativeError(matrix, rounded), 0);
}

TEST(Rounding, ConstantGroupBesideOthers) {
  Matrix matrix = gaussian(1, 96, 5);
  std::fill_n(matrix.values.begin() + 32, 32, 0.0123f);
  RoundedMatrix rounded = round(matrix);
  checkPromises(matrix, rounded);
  for (int64_t j = 32; j < 64; ++j)
    EXPECT_LE(std::fabs(0.0123f - rounded.scales[0] * rounded.weightAt(0, j)),
              0.501f * rounded.scales[0]);
}

TEST(Rounding, ConstantGroupsOfDifferentValues) {
  Matrix matrix{1, 64, std::vector<float>(64, 0.7f)};
  std::fill_n(matrix.values.begin(), 32, 0.001f);
  RoundedMatrix rounded = round(matrix);
  checkPromises(matrix, rounded);
  EXPECT_LT(relativeError(matrix, rounded), 1e-4);
}

TEST(Rounding, OneWeight) {
  for (float value : {1.0f, -3.7e-5f, 1e30f, 1e-37f}) {
    Matrix matrix{1, 1, {value}};
    RoundedMatrix rounded = round(matrix);
    EXPECT_EQ(rounded.scales[0] * static_cast<float>(rounded.weightAt(0, 0)),
              value);
  }
}

/// The offset, not the multiplier, sets the scale: it must fit i16.
TEST(Rounding, LargeOffsets) {
  Matrix matrix = gaussian(16, 64, 3, 1e-4f);
  for (float &value : matrix.values)
    value += 1.0f;
  RoundedMatrix rounded = round(matrix);
  checkPromises(matrix, rounded);
  EXPECT_LT(relativeError(matrix, rounded), 1e-4);
}

TEST(Rounding, TinyAndHugeWeights) {
  for (float sigma : {1e-41f, 1e-37f, 1e-20f, 1e20f, 1e35f}) {
    Matrix matrix = gaussian(4, 64, 8, sigma);
    RoundedMatrix rounded = round(matrix);
    checkPromises(matrix, rounded);
    if (sigma > 1e-30f) {
      EXPECT_LT(relativeError(matrix, rounded), 0.1) << sigma;
    }
  }
}

/// The longest rows in use: with 8 bits, m u + c at full range would break the
/// 32-bit bound, so the scale gives way.
TEST(Rounding, LongRowsKeepTheBound) {
  for (int bits : {4, 8}) {
    std::mt19937 random(4);
    Matrix matrix{2, 11008, std::vector<float>(2 * 11008)};
    for (float &value : matrix.values)
      value = random() % 2 ? 1.0f : -1.0f;
    matrix.values[0] = 0.5f;
    RoundedMatrix rounded = round(matrix, {bits, 32, false, true});
    checkPromises(matrix, rounded);
    EXPECT_LT(relativeError(matrix, rounded), 0.01);
  }
}

//===----------------------------------------------------------------------===//
// The symmetric baseline
//===----------------------------------------------------------------------===//

TEST(Rounding, SymmetricBaseline) {
  for (int bits : {2, 3, 4, 8}) {
    Matrix matrix = gaussian(20, 90, 6);
    RoundedMatrix rounded = round(matrix, {bits, 32, true, true});
    EXPECT_EQ(rounded.group, 90);
    for (int64_t o = 0; o < 20; ++o) {
      float largest = 0;
      for (int64_t j = 0; j < 90; ++j)
        largest = std::max(largest, std::fabs(matrix.at(o, j)));
      int limit = (1 << (bits - 1)) - 1;
      EXPECT_EQ(rounded.multipliers[o], 1);
      EXPECT_EQ(rounded.offsets[o], -(limit + 1));
      EXPECT_FLOAT_EQ(rounded.scales[o], largest / static_cast<float>(limit));
      for (int64_t j = 0; j < 90; ++j) {
        double ideal = matrix.at(o, j) / static_cast<double>(rounded.scales[o]);
        EXPECT_LE(std::fabs(rounded.weightAt(o, j) - ideal), 0.5 + 1e-5);
        EXPECT_LE(std::abs(rounded.weightAt(o, j)), limit);
      }
    }
  }
}

//===----------------------------------------------------------------------===//
// Errors
//===----------------------------------------------------------------------===//

std::string problemOf(const Matrix &matrix, RoundingOptions options = {}) {
  Expected<RoundedMatrix> rounded =
      roundToCodes(matrix.view(), options, "blk.0.ffn_up");
  return rounded ? "" : toString(rounded.takeError());
}

TEST(Rounding, NamesTheWeightThatIsNotFinite) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (float bad : {std::nanf(""), infinity, -infinity, 2e36f}) {
    Matrix matrix = gaussian(40, 50, 2);
    matrix.values[37 * 50 + 49] = bad;
    std::string problem = problemOf(matrix);
    EXPECT_NE(problem.find("'blk.0.ffn_up'"), std::string::npos) << problem;
    EXPECT_NE(problem.find("output channel 37"), std::string::npos) << problem;
    EXPECT_NE(problem.find("input channel 49"), std::string::npos) << problem;
  }
}

TEST(Rounding, RefusesImpossibleOptions) {
  Matrix matrix = gaussian(4, 64, 2);
  EXPECT_NE(problemOf(matrix, {1, 32}).find("2 to 8 bits"), std::string::npos);
  EXPECT_NE(problemOf(matrix, {9, 32}).find("2 to 8 bits"), std::string::npos);
  for (int64_t group : {0, -8, 12})
    EXPECT_NE(problemOf(matrix, {4, group}).find("multiple of 8"),
              std::string::npos);
  EXPECT_NE(problemOf({0, 64, {}}), "");
}

/// sum_oj importance_j e_oj^2.
double weightedError(const Matrix &matrix, const RoundedMatrix &rounded,
                     ArrayRef<float> importance) {
  double error = 0;
  for (int64_t o = 0; o < matrix.n; ++o)
    for (int64_t j = 0; j < matrix.k; ++j) {
      double e =
          matrix.at(o, j) - double(rounded.scales[o]) * rounded.weightAt(o, j);
      error += importance[j] * e * e;
    }
  return error;
}

/// A few channels that matter, with the largest weights among them.
std::vector<float> fewImportant(int64_t k) {
  std::vector<float> importance(k, 1.0f);
  for (int64_t j = 3; j < k; j += 37)
    importance[j] = 2000.0f;
  return importance;
}

TEST(Importance, LowersTheWeightedErrorAndKeepsThePromises) {
  uint32_t seed = 40;
  for (int bits : {2, 3, 4, 6})
    for (int64_t group : {32, 64, 1000}) {
      Matrix matrix = gaussian(40, 192, ++seed);
      std::vector<float> importance = fewImportant(192);
      RoundingOptions options{bits, group, false, true};
      RoundedMatrix weighted = cantFail(
          roundToCodes(matrix.view(), options, "w", nullptr, importance));
      checkPromises(matrix, weighted);
      RoundedMatrix plain = round(matrix, options);
      EXPECT_LT(weightedError(matrix, weighted, importance),
                weightedError(matrix, plain, importance));
    }
}

TEST(Importance, EqualOnesAndNoneAreTheSame) {
  Matrix matrix = gaussian(20, 100, 3);
  for (float value : {0.0f, 1.0f, 3e-20f, 1e30f}) {
    std::vector<float> importance(100, value);
    RoundedMatrix weighted =
        cantFail(roundToCodes(matrix.view(), {}, "w", nullptr, importance));
    RoundedMatrix plain = round(matrix);
    EXPECT_EQ(weighted.codes, plain.codes);
    EXPECT_EQ(weighted.scales, plain.scales);
  }
}

TEST(Importance, RefusesWhatIsNone) {
  Matrix matrix = gaussian(2, 32, 3);
  for (std::vector<float> importance :
       {std::vector<float>(31, 1.0f), std::vector<float>(32, -1.0f),
        std::vector<float>(32, NAN), std::vector<float>(32, INFINITY)}) {
    auto rounded = roundToCodes(matrix.view(), {}, "w", nullptr, importance);
    ASSERT_FALSE(bool(rounded));
    EXPECT_EQ(toString(rounded.takeError()),
              "weight 'w' has 32 input channels, whose importance must be as "
              "many finite numbers, not negative");
  }
}

/// Of all rows it is the error itself; of some of them, near it.
TEST(FormatError, EstimatesTheWeightedError) {
  Matrix matrix = gaussian(300, 128, 77);
  std::vector<float> importance = fewImportant(128);
  for (int bits : {2, 4, 8}) {
    RoundingOptions options{bits, 32, false, true};
    RoundedMatrix rounded = cantFail(
        roundToCodes(matrix.view(), options, "w", nullptr, importance));
    double error = weightedError(matrix, rounded, importance), energy = 0;
    for (int64_t o = 0; o < 300; ++o)
      for (int64_t j = 0; j < 128; ++j)
        energy += importance[j] * matrix.at(o, j) * matrix.at(o, j);
    for (int64_t rows : {1000, 48}) {
      FormatError estimate = cantFail(
          estimateFormatError(matrix.view(), options, importance, "w", rows));
      double tolerance = rows == 48 ? 0.25 : 1e-6;
      EXPECT_NEAR(estimate.error, error, tolerance * error);
      EXPECT_NEAR(estimate.energy, energy, tolerance * energy);
    }
  }
}

} // namespace
