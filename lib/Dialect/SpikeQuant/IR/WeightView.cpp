//===- WeightView.cpp - which elements of an array a value has ------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/IR/WeightView.h"

#include "mlir/Dialect/Utils/IndexingUtils.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::spikequant;

using Step = WeightView::Step;
using Dimension = WeightView::Dimension;

static int64_t countElements(ArrayRef<Step> steps) {
  int64_t count = 1;
  for (const Step &step : steps)
    count *= step.size;
  return count;
}

/// Appends a step inside the last ones; one that continues its neighbour is
/// merged with it.
static void append(Dimension &steps, Step step) {
  if (step.size == 1)
    return;
  if (!steps.empty() && steps.back().chosen == step.chosen &&
      steps.back().stride == step.size * step.stride) {
    steps.back().size *= step.size;
    steps.back().stride = step.stride;
    return;
  }
  steps.push_back(step);
}

WeightView WeightView::identity(ArrayRef<int64_t> shape) {
  WeightView view;
  view.sourceShape.assign(shape.begin(), shape.end());
  SmallVector<int64_t> strides = computeSuffixProduct(shape);
  for (auto [size, stride] : llvm::zip_equal(shape, strides)) {
    view.dimensions.emplace_back();
    append(view.dimensions.back(), {size, stride});
  }
  return view;
}

WeightView WeightView::of(WeightsOp op) {
  ArrayRef<int64_t> shape = op.getArrayType().getShape();
  if (std::optional<ArrayRef<int64_t>> permutation = op.getPermutation()) {
    SmallVector<int64_t> stored(shape.size());
    for (auto [logical, source] : llvm::enumerate(*permutation))
      stored[source] = shape[logical];
    return identity(stored).permute(*permutation);
  }
  ViewAttr attribute = op.getViewAttr();
  if (!attribute)
    return identity(shape);
  WeightView view;
  view.sourceShape.assign(attribute.getShape().begin(),
                          attribute.getShape().end());
  view.offset = attribute.getOffset();
  Dimension all;
  for (auto [size, stride] :
       llvm::zip_equal(attribute.getSizes(), attribute.getStrides()))
    append(all, {size, stride});
  view.dimensions.push_back(all);
  return *view.reshape(shape);
}

int64_t WeightView::getSize(int64_t d) const {
  return countElements(dimensions[d]);
}

SmallVector<int64_t> WeightView::getShape() const {
  return llvm::map_to_vector(dimensions, [](const Dimension &dimension) {
    return countElements(dimension);
  });
}

WeightView WeightView::permute(ArrayRef<int64_t> order) const {
  WeightView view = *this;
  view.dimensions.clear();
  for (int64_t d : order)
    view.dimensions.push_back(dimensions[d]);
  return view;
}

WeightView WeightView::withDimensions(ArrayRef<Dimension> steps) const {
  WeightView view = *this;
  view.dimensions.assign(steps.begin(), steps.end());
  return view;
}

/// Takes the innermost `size` elements off `steps`.
static FailureOr<Dimension> takeInnermost(Dimension &steps, int64_t size) {
  Dimension taken;
  while (size > 1) {
    if (steps.empty())
      return failure();
    Step &last = steps.back();
    int64_t part = std::gcd(last.size, size);
    // Either the whole step or the whole rest of what is wanted.
    if (part != last.size && part != size)
      return failure();
    taken.insert(taken.begin(), {part, last.stride, last.chosen});
    size /= part;
    last = {last.size / part, last.stride * part, last.chosen};
    if (last.size == 1)
      steps.pop_back();
  }
  Dimension merged;
  for (const Step &step : taken)
    append(merged, step);
  return merged;
}

FailureOr<WeightView> WeightView::reshape(ArrayRef<int64_t> shape) const {
  Dimension all;
  for (const Dimension &dimension : dimensions)
    for (const Step &step : dimension)
      append(all, step);
  WeightView view = *this;
  view.dimensions.assign(shape.size(), {});
  for (int64_t d = static_cast<int64_t>(shape.size()) - 1; d >= 0; --d) {
    FailureOr<Dimension> taken = takeInnermost(all, shape[d]);
    if (failed(taken))
      return failure();
    view.dimensions[d] = *taken;
  }
  if (!all.empty())
    return failure();
  return view;
}

/// Limits `steps` to `size` positions from `begin`, `stride` apart; adds to
/// `offset` where they start.
static LogicalResult sliceSteps(Dimension &steps, int64_t begin, int64_t size,
                                int64_t stride, int64_t &offset) {
  if (steps.empty())
    return success(begin == 0 && size == 1);
  if (begin == 0 && stride == 1 && size == countElements(steps))
    return success();
  Step outer = steps.front();
  Dimension inner(llvm::drop_begin(steps));
  int64_t count = countElements(inner);
  auto start = [&](int64_t position) {
    offset += position * outer.stride;
    return success(!outer.chosen || position == 0);
  };
  if (inner.empty()) {
    steps.clear();
    append(steps, {size, outer.stride * stride, outer.chosen});
    return start(begin);
  }
  int64_t last = begin + (size - 1) * stride;
  if (begin / count == last / count) {
    steps = inner;
    return success(
        succeeded(start(begin / count)) &&
        succeeded(sliceSteps(steps, begin % count, size, stride, offset)));
  }
  if (stride != 1 || begin % count || size % count)
    return failure();
  steps.front().size = size / count;
  return start(begin / count);
}

FailureOr<WeightView> WeightView::slice(int64_t d, int64_t begin, int64_t size,
                                        int64_t stride) const {
  WeightView view = *this;
  if (failed(sliceSteps(view.dimensions[d], begin, size, stride, view.offset)))
    return failure();
  return view;
}

FailureOr<Step> WeightView::choose(int64_t d) {
  if (dimensions[d].size() != 1 || dimensions[d].front().chosen)
    return failure();
  Step step = dimensions[d].front();
  dimensions[d].clear();
  return step;
}

Dimension WeightView::getMergedSteps() const {
  Dimension all;
  for (const Dimension &dimension : dimensions)
    for (const Step &step : dimension)
      append(all, step);
  return all;
}

bool WeightView::isBroadcast(int64_t d) const {
  return llvm::all_of(dimensions[d], [](const Step &step) {
    return step.stride == 0 && !step.chosen;
  });
}

bool WeightView::hasChosen(int64_t d) const {
  return llvm::any_of(dimensions[d],
                      [](const Step &step) { return step.chosen; });
}

bool WeightView::isChosen(int64_t d) const {
  return !dimensions[d].empty() &&
         llvm::all_of(dimensions[d],
                      [](const Step &step) { return step.chosen; });
}

std::optional<SmallVector<int64_t>> WeightView::getPermutation() const {
  if (offset != 0 || dimensions.size() != sourceShape.size())
    return std::nullopt;
  SmallVector<int64_t> strides = computeSuffixProduct(sourceShape);
  SmallVector<bool> used(sourceShape.size(), false);
  SmallVector<int64_t> permutation;
  for (const Dimension &dimension : dimensions) {
    Dimension wanted;
    auto matches = [&](int64_t s) {
      Dimension whole;
      append(whole, {sourceShape[s], strides[s]});
      return !used[s] && whole == dimension;
    };
    auto all = llvm::seq<int64_t>(sourceShape.size());
    auto found = llvm::find_if(all, matches);
    if (found == all.end())
      return std::nullopt;
    used[*found] = true;
    permutation.push_back(*found);
  }
  return permutation;
}

ViewAttr WeightView::getAttr(MLIRContext *context) const {
  SmallVector<int64_t> sizes, strides;
  Dimension steps = getMergedSteps();
  if (steps.empty())
    steps.push_back({1, 1});
  for (const Step &step : steps) {
    sizes.push_back(step.size);
    strides.push_back(step.stride);
  }
  return ViewAttr::get(context, sourceShape, offset, sizes, strides);
}

std::string WeightView::getBoxName() const {
  int64_t last = offset;
  for (const Step &step : getMergedSteps())
    if (!step.chosen)
      last += (step.size - 1) * step.stride;
  SmallVector<int64_t> strides = computeSuffixProduct(sourceShape);
  SmallVector<int64_t> begins = delinearize(offset, strides);
  SmallVector<int64_t> ends = delinearize(last, strides);
  std::string name;
  llvm::raw_string_ostream os(name);
  bool isWhole = true;
  for (auto [begin, end, size] : llvm::zip_equal(begins, ends, sourceShape)) {
    isWhole &= begin == 0 && end + 1 == size;
    os << (name.empty() ? '@' : ',') << begin << ':' << end + 1;
  }
  return isWhole ? std::string() : name;
}

void WeightView::gather(ArrayRef<char> from, size_t elementBytes,
                        char *to) const {
  Dimension steps = getMergedSteps();
  SmallVector<int64_t> index(steps.size(), 0);
  int64_t position = offset;
  for (int64_t left = countElements(steps); left > 0; --left) {
    std::memcpy(to, from.data() + position * elementBytes, elementBytes);
    to += elementBytes;
    for (int64_t d = static_cast<int64_t>(steps.size()) - 1; d >= 0; --d) {
      position += steps[d].stride;
      if (++index[d] < steps[d].size)
        break;
      position -= steps[d].stride * steps[d].size;
      index[d] = 0;
    }
  }
}
