//===- Rotation.cpp - Hadamard rotations of stored channels ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/Rotation.h"

#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

using namespace llvm;
using namespace spikequant;

bool spikequant::fits(const ChannelRotation &rotation,
                      ArrayRef<int64_t> shape) {
  return rotation.dimension >= 0 &&
         rotation.dimension < int64_t(shape.size()) && rotation.block > 0 &&
         isPowerOf2_64(uint64_t(rotation.block)) && rotation.begin >= 0 &&
         rotation.begin < rotation.end &&
         rotation.end <= shape[size_t(rotation.dimension)] &&
         (rotation.end - rotation.begin) % rotation.block == 0;
}

/// values := H values for the Hadamard matrix H with entries +-1.
static void transform(MutableArrayRef<double> values) {
  for (size_t half = 1; half < values.size(); half *= 2)
    for (size_t first = 0; first < values.size(); first += 2 * half)
      for (size_t i = first; i < first + half; ++i) {
        double a = values[i], b = values[i + half];
        values[i] = a + b;
        values[i + half] = a - b;
      }
}

void spikequant::rotateChannels(MutableArrayRef<float> values,
                                ArrayRef<int64_t> shape,
                                const ChannelRotation &rotation) {
  auto product = [](ArrayRef<int64_t> sizes) {
    return std::accumulate(sizes.begin(), sizes.end(), int64_t(1),
                           std::multiplies<int64_t>());
  };
  size_t d = size_t(rotation.dimension);
  int64_t inner = product(shape.drop_front(d + 1));
  int64_t outer = product(shape.take_front(d));
  std::vector<double> block(size_t(rotation.block));
  double scale = 1.0 / std::sqrt(double(rotation.block));
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t c = rotation.begin; c < rotation.end; c += rotation.block)
      for (int64_t i = 0; i < inner; ++i) {
        float *first = values.data() + (o * shape[d] + c) * inner + i;
        for (size_t j = 0; j < block.size(); ++j)
          block[j] = first[int64_t(j) * inner];
        transform(block);
        for (size_t j = 0; j < block.size(); ++j)
          first[int64_t(j) * inner] = float(block[j] * scale);
      }
}
