//===- WeightViewTest.cpp - views against copies of arrays ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

// The dialect's header needs it.
#include "mlir/IR/PatternMatch.h"

#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"

#include "gtest/gtest.h"

#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::spikequant;

namespace {

/// An array that every operation copies, one element after the other.
struct Array {
  std::vector<int64_t> shape;
  std::vector<int32_t> values;

  static int64_t count(ArrayRef<int64_t> shape) {
    return std::accumulate(shape.begin(), shape.end(), int64_t{1},
                           std::multiplies<>());
  }

  /// The element at each place of `result` that `from` names.
  template <typename From>
  Array copy(std::vector<int64_t> result, From from) const {
    Array array{std::move(result), {}};
    std::vector<int64_t> place(array.shape.size());
    for (int64_t i = 0, e = count(array.shape); i < e; ++i) {
      int64_t rest = i;
      for (size_t d = place.size(); d-- > 0; rest /= array.shape[d])
        place[d] = rest % array.shape[d];
      std::vector<int64_t> source = from(place);
      int64_t position = 0;
      for (size_t d = 0; d < shape.size(); ++d)
        position = position * shape[d] + source[d];
      array.values.push_back(values[position]);
    }
    return array;
  }
};

/// Both sides of the comparison, changed together.
struct Pair {
  Array array;
  WeightView view;

  explicit Pair(std::vector<int64_t> shape)
      : array{shape, std::vector<int32_t>(Array::count(shape))},
        view(WeightView::identity(shape)) {
    std::iota(array.values.begin(), array.values.end(), 0);
    stored = array.values;
  }

  void permute(std::vector<int64_t> order) {
    std::vector<int64_t> shape;
    for (int64_t d : order)
      shape.push_back(array.shape[d]);
    array = array.copy(shape, [&](const std::vector<int64_t> &place) {
      std::vector<int64_t> source(place.size());
      for (size_t d = 0; d < place.size(); ++d)
        source[order[d]] = place[d];
      return source;
    });
    view = view.permute(order);
  }

  /// False if the view cannot say it.
  bool slice(int64_t d, int64_t begin, int64_t size, int64_t stride) {
    FailureOr<WeightView> cut = view.slice(d, begin, size, stride);
    if (failed(cut))
      return false;
    view = *cut;
    std::vector<int64_t> shape = array.shape;
    shape[d] = size;
    array = array.copy(shape, [&](std::vector<int64_t> place) {
      place[d] = begin + place[d] * stride;
      return place;
    });
    return true;
  }

  bool reshape(std::vector<int64_t> shape) {
    FailureOr<WeightView> other = view.reshape(shape);
    if (failed(other))
      return false;
    view = *other;
    array.shape = std::move(shape);
    return true;
  }

  void repeat(int64_t size) {
    SmallVector<WeightView::Dimension> dimensions = {{{size, 0}}};
    for (int64_t d = 0; d < view.getRank(); ++d)
      dimensions.push_back(view.getDimension(d));
    view = view.withDimensions(dimensions);
    std::vector<int64_t> shape = array.shape;
    shape.insert(shape.begin(), size);
    array = array.copy(shape, [](std::vector<int64_t> place) {
      place.erase(place.begin());
      return place;
    });
  }

  void expectEqual() const {
    EXPECT_EQ(llvm::to_vector(ArrayRef(array.shape)), view.getShape());
    std::vector<int32_t> seen(array.values.size());
    view.gather(ArrayRef(reinterpret_cast<const char *>(stored.data()),
                         stored.size() * sizeof(int32_t)),
                sizeof(int32_t), reinterpret_cast<char *>(seen.data()));
    EXPECT_EQ(array.values, seen);
  }

  std::vector<int32_t> stored;
};

class Change {
public:
  explicit Change(unsigned seed) : random(seed) {}

  void apply(Pair &pair) {
    auto rank = static_cast<int64_t>(pair.array.shape.size());
    switch (pick(4)) {
    case 0: {
      std::vector<int64_t> order(rank);
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      return pair.permute(order);
    }
    case 1: {
      int64_t d = pick(rank), size = pair.array.shape[d];
      int64_t begin = pick(size), stride = 1 + pick(2);
      pair.slice(d, begin, 1 + pick((size - begin - 1) / stride + 1), stride);
      return;
    }
    case 2:
      return merge(pair, pick(rank));
    default:
      if (Array::count(pair.array.shape) < 500)
        pair.repeat(1 + pick(3));
    }
  }

private:
  int64_t pick(int64_t limit) { return limit ? random() % limit : 0; }

  /// Merges a dimension with the next, or splits off a factor.
  void merge(Pair &pair, int64_t d) {
    std::vector<int64_t> shape = pair.array.shape;
    if (d + 1 < static_cast<int64_t>(shape.size()) && pick(2)) {
      shape[d] *= shape[d + 1];
      shape.erase(shape.begin() + d + 1);
    } else {
      for (int64_t factor : {2, 3})
        if (shape[d] % factor == 0) {
          shape[d] /= factor;
          shape.insert(shape.begin() + d + pick(2), factor);
          break;
        }
    }
    pair.reshape(shape);
  }

  std::mt19937 random;
};

} // namespace

TEST(WeightView, RandomChainsEqualCopies) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Pair pair({4, 6, 3, 1 + seed % 4});
    Change change(seed);
    for (int step = 0; step < 6; ++step)
      change.apply(pair);
    pair.expectEqual();
    if (testing::Test::HasFailure())
      return;
  }
}

TEST(WeightView, TransposedHeadsMergeIntoOneDimension) {
  Pair pair({40, 3, 8});
  pair.permute({1, 2, 0});
  EXPECT_TRUE(pair.reshape({24, 40}));
  EXPECT_EQ(pair.view.getDimension(0).size(), 1u);
  pair.expectEqual();
}

TEST(WeightView, SlicesWithinOneRowOfAMergedDimension) {
  Pair pair({4, 5, 6});
  pair.permute({1, 0, 2});
  EXPECT_TRUE(pair.reshape({5, 24}));
  EXPECT_TRUE(pair.slice(1, 8, 3, 1)) << "inside row 1";
  pair.expectEqual();
}

TEST(WeightView, RefusesWhatStepsCannotSay) {
  Pair pair({4, 6});
  pair.permute({1, 0});
  EXPECT_TRUE(pair.reshape({24}));
  EXPECT_FALSE(pair.slice(0, 3, 6, 1)) << "across rows";
  EXPECT_FALSE(pair.reshape({8, 3})) << "splits a row of 4 by 3";
  EXPECT_TRUE(pair.reshape({3, 8})) << "two rows of 4 each";
  pair.expectEqual();
}

TEST(WeightView, PermutationsAreRecognised) {
  Pair pair({4, 1, 6});
  EXPECT_EQ(pair.view.getPermutation(), (SmallVector<int64_t>{0, 1, 2}));
  pair.permute({2, 0, 1});
  EXPECT_EQ(pair.view.getPermutation(), (SmallVector<int64_t>{2, 0, 1}));
  EXPECT_TRUE(pair.slice(0, 0, 3, 1));
  EXPECT_EQ(pair.view.getPermutation(), std::nullopt);
}

TEST(WeightView, BoxNames) {
  Pair pair({4, 6});
  EXPECT_EQ(pair.view.getBoxName(), "");
  pair.permute({1, 0});
  EXPECT_EQ(pair.view.getBoxName(), "");
  EXPECT_TRUE(pair.slice(0, 2, 3, 1));
  EXPECT_EQ(pair.view.getBoxName(), "@0:4,2:5");
  EXPECT_TRUE(pair.slice(1, 3, 1, 1));
  EXPECT_EQ(pair.view.getBoxName(), "@3:4,2:5");
}
