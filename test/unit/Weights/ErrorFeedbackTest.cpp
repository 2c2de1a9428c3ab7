//===- ErrorFeedbackTest.cpp - second-order rounding against naive loops ===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/ErrorFeedback.h"
#include "spikequant/Weights/Rounding.h"

#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <random>
#include <set>

using namespace llvm;
using namespace spikequant;

namespace {

/// Inputs [rows][k] and weights [n][k].
struct Layer {
  int64_t rows, k, n;
  std::vector<float> inputs, weights;

  Layer(int64_t rows, int64_t k, int64_t n)
      : rows(rows), k(k), n(n), inputs(rows * k), weights(n * k) {}

  double gram(int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r)
      sum += double(inputs[r * k + i]) * double(inputs[r * k + j]);
    return sum;
  }
  MatrixView view() const { return MatrixView::rowMajor(weights.data(), n, k); }
  ErrorFeedback feedback(int64_t group = 32, Damping damping = {}) const {
    return cantFail(ErrorFeedback::compute(
        k, std::min(group, k), [&](int64_t i, int64_t j) { return gram(i, j); },
        "in", damping));
  }
  /// |X (W - W')|^2.
  double outputError(const RoundedMatrix &rounded) const {
    double total = 0;
    for (int64_t o = 0; o < n; ++o) {
      std::vector<double> e(k);
      for (int64_t j = 0; j < k; ++j)
        e[j] = weights[o * k + j] -
               double(rounded.scales[o]) * rounded.weightAt(o, j);
      for (int64_t r = 0; r < rows; ++r) {
        double y = 0;
        for (int64_t j = 0; j < k; ++j)
          y += inputs[r * k + j] * e[j];
        total += y * y;
      }
    }
    return total;
  }
};

/// Inputs that are mixtures of `sources` signals and a little noise; channels
/// differ in size.
Layer correlated(int64_t rows, int64_t k, int64_t n, int64_t sources,
                 uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Layer layer(rows, k, n);
  std::vector<float> mixing(sources * k), size(k);
  for (float &value : mixing)
    value = normal(random);
  for (float &value : size)
    value = std::exp(0.5f * normal(random));
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<float> signal(sources);
    for (float &value : signal)
      value = normal(random);
    for (int64_t j = 0; j < k; ++j) {
      float x = 0.3f * normal(random);
      for (int64_t s = 0; s < sources; ++s)
        x += signal[s] * mixing[s * k + j] / std::sqrt(float(sources));
      layer.inputs[r * k + j] = x * size[j];
    }
  }
  for (float &value : layer.weights)
    value = 0.05f * normal(random);
  return layer;
}

RoundedMatrix round(const Layer &layer, const RoundingOptions &options = {},
                    const ErrorFeedback *feedback = nullptr) {
  return cantFail(roundToCodes(layer.view(), options, "w", feedback));
}

void expectEqual(const RoundedMatrix &one, const RoundedMatrix &two) {
  EXPECT_EQ(one.codes, two.codes);
  EXPECT_EQ(one.multipliers, two.multipliers);
  EXPECT_EQ(one.offsets, two.offsets);
  EXPECT_EQ(one.scales, two.scales);
}

/// What every RoundedMatrix promises, and that its report is true.
void checkPromises(const Layer &layer, const RoundedMatrix &rounded) {
  int64_t groups = rounded.layout().groups();
  for (int64_t i = 0; i < layer.n * groups; ++i) {
    ASSERT_GE(rounded.multipliers[i], 1);
    ASSERT_LE(rounded.multipliers[i], rounded.bits <= 4 ? 255 : 63);
  }
  double error = 0, total = 0;
  for (int64_t o = 0; o < layer.n; ++o) {
    ASSERT_TRUE(rounded.scales[o] > 0 && std::isnormal(rounded.scales[o]));
    int64_t sum = 0;
    for (int64_t j = 0; j < layer.k; ++j) {
      ASSERT_LT(rounded.codes[o * layer.k + j], 1 << rounded.bits);
      sum += std::abs(rounded.weightAt(o, j));
      double w = layer.weights[o * layer.k + j];
      error +=
          std::pow(w - double(rounded.scales[o]) * rounded.weightAt(o, j), 2);
      total += w * w;
    }
    ASSERT_LT(127 * sum, int64_t{1} << 31);
  }
  double expected = total > 0 ? std::sqrt(error / total) : 0;
  EXPECT_NEAR(rounded.report.relativeFrobenius, expected,
              1e-3 * expected + 1e-7);
}

/// H + damping = M D M^T in the order of the channels, checked product by
/// product; D up to its largest.
TEST(ErrorFeedback, FactorsTheDampedGramMatrix) {
  constexpr int64_t k = 24;
  Layer layer = correlated(40, k, 1, 3, 5);
  Damping damping{0.02, 0};
  ErrorFeedback feedback = layer.feedback(8, damping);
  double m[k][k] = {}, product[k][k] = {};
  for (int64_t j = 0; j < k; ++j) {
    m[j][j] = 1;
    for (int64_t i = 0; i < j; ++i)
      m[i][j] = feedback.getCoefficients(j)[i];
  }
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < k; ++j)
      for (int64_t l = 0; l < k; ++l)
        product[i][j] += m[i][l] * feedback.getImportance()[l] * m[j][l];
  auto gram = [&](int64_t i, int64_t j) {
    return layer.gram(feedback.getOrder()[i], feedback.getOrder()[j]);
  };
  double unit = gram(0, 0) * 1.02 / product[0][0];
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < k; ++j) {
      double scale = std::sqrt(gram(i, i) * gram(j, j));
      EXPECT_NEAR(product[i][j] * unit, gram(i, j) * (i == j ? 1.02 : 1.0),
                  1e-4 * scale)
          << i << ", " << j;
    }
}

/// Every group's channels together, in falling order; a shorter group last.
TEST(ErrorFeedback, OrderHasTheStrongestFirst) {
  for (int64_t group : {1, 8, 40, 100}) {
    Layer layer = correlated(30, 100, 1, 3, 6);
    ErrorFeedback feedback = layer.feedback(group);
    ArrayRef<int64_t> order = feedback.getOrder();
    auto sumOf = [&](int64_t place) { // of the group
      double sum = 0;
      for (int64_t j = order[place] / group * group, end = j + group; j < end;
           ++j)
        sum += layer.gram(j, j);
      return sum;
    };
    EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 100u);
    int64_t whole = 100 / group * group;
    for (int64_t i = 0; i < 100; ++i) {
      EXPECT_EQ(order[i] / group, order[i / group * group] / group);
      EXPECT_EQ(i < whole, order[i] < whole);
      if (i % group)
        EXPECT_GE(layer.gram(order[i - 1], order[i - 1]),
                  layer.gram(order[i], order[i]));
      else if (i && i < whole)
        EXPECT_GE(sumOf(i - 1), sumOf(i));
    }
  }
}

TEST(ErrorFeedback, LowersTheOutputErrorOfCorrelatedInputs) {
  struct Case {
    int64_t k, group;
    int bits;
    double atMost; ///< Of nearest rounding's error.
  };
  const Case cases[] = {{128, 32, 4, 0.6},
                        {256, 64, 3, 0.6},
                        {96, 1000, 4, 0.6},
                        {130, 32, 2, 0.8},
                        {64, 32, 8, 0.6}};
  uint32_t seed = 0;
  for (const Case &test : cases) {
    SCOPED_TRACE(testing::Message() << "k " << test.k << ", " << test.bits
                                    << " bits, group " << test.group);
    Layer layer = correlated(4 * test.k, test.k, 33, test.k / 16, ++seed);
    ErrorFeedback feedback = layer.feedback(test.group);
    RoundingOptions options{test.bits, test.group, false, true};
    RoundedMatrix nearest = round(layer, options);
    RoundedMatrix second = round(layer, options, &feedback);
    checkPromises(layer, second);
    EXPECT_LT(layer.outputError(second),
              test.atMost * layer.outputError(nearest));
  }
}

TEST(ErrorFeedback, SymmetricCodesToo) {
  Layer layer = correlated(400, 96, 20, 6, 3);
  ErrorFeedback feedback = layer.feedback(96);
  RoundingOptions options{4, 96, true, true};
  RoundedMatrix second = round(layer, options, &feedback);
  checkPromises(layer, second);
  EXPECT_LT(layer.outputError(second),
            0.7 * layer.outputError(round(layer, options)));
}

double squaredError(const Layer &layer, const RoundedMatrix &rounded) {
  double total = 0;
  for (int64_t o = 0; o < layer.n; ++o)
    for (int64_t j = 0; j < layer.k; ++j)
      total += std::pow(layer.weights[o * layer.k + j] -
                            double(rounded.scales[o]) * rounded.weightAt(o, j),
                        2);
  return total;
}

/// Inputs without correlation give no feedback: what remains of second order is
/// that m and c are fitted to the codes, whatever the unit of the inputs.
TEST(ErrorFeedback, WithoutCorrelationGridsAreFitted) {
  Layer layer = correlated(1, 100, 40, 1, 7);
  struct Case {
    int bits;
    double atMost; ///< Of nearest rounding's squared error.
  };
  for (Case test : {Case{2, 0.97}, Case{4, 0.98}, Case{8, 1.0}}) {
    RoundingOptions options{test.bits, 32, false, true};
    RoundedMatrix first;
    for (double unit : {1.0, 3e-9, 7e11}) {
      ErrorFeedback feedback = cantFail(ErrorFeedback::compute(
          100, 32, [&](int64_t i, int64_t j) { return i == j ? unit : 0.0; },
          "in"));
      RoundedMatrix second = round(layer, options, &feedback);
      EXPECT_LT(squaredError(layer, second),
                test.atMost * squaredError(layer, round(layer, options)));
      if (unit == 1.0)
        first = second;
      expectEqual(first, second);
    }
  }
}

/// Every group of the result has the m and c that are best for its codes, found
/// here by trying all neighbours: at most a few in a hundred have a better one
/// (the codes followed once more after the last fit).
TEST(ErrorFeedback, MultipliersAndOffsetsSuitTheCodes) {
  Layer layer = correlated(400, 32, 40, 4, 23);
  ErrorFeedback feedback = layer.feedback(32, {0, 0});
  RoundingOptions options;
  options.zeroPoints = false;
  RoundedMatrix second = round(layer, options, &feedback);
  int improvable = 0;
  for (int64_t o = 0; o < layer.n; ++o) {
    auto error = [&](int m, int c) {
      Layer row(layer.rows, layer.k, 1);
      row.inputs = layer.inputs;
      std::copy_n(&layer.weights[o * 32], 32, row.weights.begin());
      RoundedMatrix other = second;
      other.scales = {second.scales[o]};
      other.codes.assign(&second.codes[o * 32], &second.codes[o * 32] + 32);
      other.multipliers = {uint8_t(m)};
      other.offsets = {int16_t(c)};
      return row.outputError(other);
    };
    int m = second.multipliers[o], c = second.offsets[o];
    bool better = false;
    for (int a : {-1, 0, 1})
      for (int b = -8; b <= 8; ++b)
        if (m + a >= 1 && m + a <= 255)
          better |= error(m + a, c + b) < 0.999 * error(m, c);
    improvable += better;
  }
  EXPECT_LE(improvable, 4);
}

/// Fitted offsets stay those of the zero points that are stored.
TEST(ErrorFeedback, OffsetsFollowZeroPoints) {
  Layer layer = correlated(400, 96, 40, 4, 29);
  ErrorFeedback feedback = layer.feedback(32);
  RoundedMatrix matrix = round(layer, {}, &feedback);
  ASSERT_FALSE(matrix.zeroPoints.empty());
  for (size_t i = 0; i < matrix.offsets.size(); ++i)
    EXPECT_EQ(matrix.offsets[i],
              -((matrix.multipliers[i] * matrix.zeroPoints[i] + 8) >> 4));
}

/// What is exactly representable has no errors to feed back.
TEST(ErrorFeedback, RepresentableWeightsAreKept) {
  Layer layer = correlated(200, 64, 16, 4, 9);
  for (size_t i = 0; i < layer.weights.size(); ++i)
    layer.weights[i] = (i / 64) % 2 ? 0.25f : -0.25f;
  ErrorFeedback feedback = layer.feedback();
  EXPECT_EQ(layer.outputError(round(layer, {}, &feedback)), 0);
}

TEST(ErrorFeedback, DeadChannels) {
  Layer layer = correlated(300, 96, 20, 5, 11);
  // Some of each group, and a whole group.
  auto dead = [](int64_t j) { return j % 3 == 0 || j / 32 == 1; };
  for (int64_t r = 0; r < layer.rows; ++r)
    for (int64_t j = 0; j < layer.k; ++j)
      if (dead(j))
        layer.inputs[r * layer.k + j] = 0;
  ErrorFeedback feedback = layer.feedback();
  for (int64_t j = 0; j < layer.k; ++j)
    for (int64_t i = 0; i < j; ++i)
      if (dead(feedback.getOrder()[i]) || dead(feedback.getOrder()[j]))
        ASSERT_EQ(feedback.getCoefficients(j)[i], 0);
  RoundedMatrix second = round(layer, {}, &feedback);
  checkPromises(layer, second);
  EXPECT_LT(layer.outputError(second), layer.outputError(round(layer)));
}

TEST(ErrorFeedback, OneTokenIsRankOne) {
  Layer layer = correlated(1, 128, 20, 4, 13);
  ErrorFeedback feedback = layer.feedback();
  RoundedMatrix second = round(layer, {}, &feedback);
  checkPromises(layer, second);
  EXPECT_LT(layer.outputError(second), 0.2 * layer.outputError(round(layer)));
  // The weights themselves stay near, although one direction is all it knows.
  EXPECT_LT(second.report.relativeFrobenius,
            2 * round(layer).report.relativeFrobenius);
}

TEST(ErrorFeedback, NothingObservedIsNoWorseThanNearest) {
  Layer layer = correlated(1, 64, 20, 4, 15);
  std::fill(layer.inputs.begin(), layer.inputs.end(), 0.0f);
  ErrorFeedback feedback = layer.feedback();
  EXPECT_LT(squaredError(layer, round(layer, {}, &feedback)),
            squaredError(layer, round(layer)));
}

/// A few huge channels, as language models have them.
TEST(ErrorFeedback, MassiveChannels) {
  Layer layer = correlated(300, 128, 20, 8, 17);
  for (int64_t r = 0; r < layer.rows; ++r) {
    layer.inputs[r * 128 + 5] *= 3000;
    layer.inputs[r * 128 + 77] *= r == 0 ? 1e4f : 1.0f;
  }
  ErrorFeedback feedback = layer.feedback();
  RoundedMatrix second = round(layer, {}, &feedback);
  checkPromises(layer, second);
  EXPECT_LT(layer.outputError(second), layer.outputError(round(layer)));
}

TEST(ErrorFeedback, ZeroRowsStayZero) {
  Layer layer = correlated(100, 64, 3, 4, 19);
  std::fill_n(layer.weights.begin() + 64, 64, 0.0f);
  ErrorFeedback feedback = layer.feedback();
  RoundedMatrix second = round(layer, {}, &feedback);
  EXPECT_EQ(second.scales[1], 1.0f);
  for (int64_t j = 0; j < 64; ++j)
    EXPECT_EQ(second.weightAt(1, j), 0);
}

TEST(ErrorFeedback, ThreadsDoNotMatter) {
  Layer layer = correlated(200, 160, 100, 6, 21);
  ErrorFeedback feedback = layer.feedback();
  RoundedMatrix many = round(layer, {}, &feedback);
  // Rows alone are what they are among others.
  for (int64_t o : {0, 17, 99}) {
    RoundedMatrix one = cantFail(
        roundToCodes(MatrixView::rowMajor(&layer.weights[o * 160], 1, 160), {},
                     "w", &feedback));
    EXPECT_EQ(one.scales[0], many.scales[o]);
    EXPECT_TRUE(std::equal(one.codes.begin(), one.codes.end(),
                           many.codes.begin() + o * 160));
  }
}

TEST(ErrorFeedback, RefusesWhatIsNoGramMatrix) {
  auto compute = [](double diagonal, double other) {
    Expected<ErrorFeedback> result = ErrorFeedback::compute(
        3, 3, [&](int64_t i, int64_t j) { return i == j ? diagonal : other; },
        "blk.in");
    return result ? std::string() : toString(result.takeError());
  };
  EXPECT_EQ(compute(1, 0.5), "");
  EXPECT_NE(compute(-1, 0).find("blk.in"), std::string::npos);
  EXPECT_NE(compute(std::numeric_limits<double>::quiet_NaN(), 0), "");
  EXPECT_NE(compute(1, std::numeric_limits<double>::quiet_NaN()), "");
  EXPECT_NE(compute(1, -3), "");
}

TEST(ErrorFeedback, RefusesAnotherWidth) {
  Layer layer = correlated(10, 40, 2, 2, 1);
  ErrorFeedback feedback = layer.feedback();
  Layer other = correlated(10, 48, 2, 2, 1);
  Expected<RoundedMatrix> rounded =
      roundToCodes(other.view(), {}, "w", &feedback);
  ASSERT_FALSE(bool(rounded));
  EXPECT_EQ(toString(rounded.takeError()),
            "weight 'w' has 48 input channels, but its Gram matrix has 40");
}

TEST(ErrorFeedback, RefusesAnotherGroup) {
  Layer layer = correlated(10, 40, 2, 2, 1);
  ErrorFeedback feedback = layer.feedback(8);
  Expected<RoundedMatrix> rounded =
      roundToCodes(layer.view(), {}, "w", &feedback);
  ASSERT_FALSE(bool(rounded));
  EXPECT_EQ(toString(rounded.takeError()),
            "weight 'w' has groups of 32, its feedback of 8");
}

} // namespace
