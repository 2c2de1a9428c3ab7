//===- LayerReference.cpp - random layers and their exact outputs ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelHarness.h"

#include "spikequant/Kernel/Encode.h"
#include "spikequant/Kernel/GridEncode.h"
#include "spikequant/Kernel/Reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

using namespace spikequant;
using namespace spikequant::test;

uint8_t *Layer::file() const {
  auto address = reinterpret_cast<uintptr_t>(storage.data());
  return reinterpret_cast<uint8_t *>((address + 63) / 64 * 64);
}

static int64_t place(int64_t &end, int64_t bytes) {
  int64_t offset = end;
  end = (end + bytes + 63) / 64 * 64;
  return offset;
}

static void placeArrays(Layer &layer) {
  int64_t end = 64, k = layer.problem.k;
  layer.codes = place(end, layer.layout.codesBytes());
  layer.scales = place(end, layer.layout.scalesBytes());
  layer.columnMax = place(end, layer.layout.columnMaxBytes());
  layer.bitsArray = place(end, k);
  layer.gainsArray = place(end, 4 * k);
  layer.centresArray = place(end, 4 * k);
  layer.countRates = place(end, 12 * k);
  layer.rowRates = place(end, 12 * layer.problem.n);
  layer.fileBytes = end;
  layer.storage.assign(end / 8 + 8, 0);
}

static void fillCodes(Layer &layer, std::mt19937 &random) {
  const PackedLayout &layout = layer.layout;
  uint8_t *codes = layer.at<uint8_t>(layer.codes);
  int32_t limit = 1 << layer.problem.bits;
  for (int64_t n = 0; n < layout.n; ++n)
    for (int64_t k = 0; k < layout.k; ++k) {
      int32_t code = random() % limit;
      if (layout.container == 8) {
        codes[layout.lineOffset(n / 16, k / 4, {}) + n % 16 * 4 + k % 4] = code;
        continue;
      }
      for (CodePlane plane : CodePlanes(layout.container)) {
        int32_t bit = plane.bitOf(k % 8);
        codes[layout.lineOffset(n / 16, k / 8, plane) + n % 16 * plane.bits +
              bit / 8] |= (code >> plane.shift & ((1 << plane.bits) - 1))
                          << (bit % 8);
      }
    }
}

static void fillParameters(Layer &layer, std::mt19937 &random) {
  const PackedLayout &layout = layer.layout;
  int32_t maxMultiplier = layer.problem.bits > 4 ? 63 : 255;
  int32_t maxOffset = layer.problem.maxOffset;
  uint8_t *codes = layer.at<uint8_t>(layer.codes);
  for (int64_t n = 0; n < layout.nPadded(); ++n)
    for (int64_t g = 0; g < layout.groups(); ++g) {
      codes[layout.multiplierOffset(n, g)] = 1 + random() % maxMultiplier;
      uint8_t *offset = codes + layout.offsetOffset(n, g);
      auto c = static_cast<int16_t>(
          static_cast<int32_t>(random() % (2 * maxOffset + 1)) - maxOffset);
      if (layout.offsetBits == 8)
        *offset = static_cast<uint8_t>(c);
      else
        std::memcpy(offset, &c, sizeof c);
    }
  std::uniform_real_distribution<float> scale(1e-4f, 1e-3f);
  for (int64_t n = 0; n < layout.nPadded(); ++n)
    layer.at<float>(layer.scales)[n] = scale(random);
}

static void measureWeights(Layer &layer) {
  const PackedLayout &layout = layer.layout;
  PackedCodes packed{layout, layer.at<uint8_t>(layer.codes)};
  int32_t *columnMax = layer.at<int32_t>(layer.columnMax);
  layer.maxRowSum = 0;
  for (int64_t n = 0; n < layout.n; ++n) {
    int64_t sum = 0;
    for (int64_t k = 0; k < layout.k; ++k) {
      int32_t magnitude = std::abs(packed.weightAt(n, k));
      columnMax[k] = std::max(columnMax[k], magnitude);
      sum += magnitude;
    }
    layer.maxRowSum = std::max(layer.maxRowSum, sum);
  }
}

static void fillChannels(Layer &layer, std::mt19937 &random) {
  std::uniform_real_distribution<float> gain(0.5f, 2.0f), centre(-1.0f, 1.0f);
  for (int64_t k = 0; k < layer.problem.k; ++k) {
    layer.at<int8_t>(layer.bitsArray)[k] = random() % 9;
    layer.at<float>(layer.gainsArray)[k] = gain(random);
    layer.at<float>(layer.centresArray)[k] = centre(random);
  }
}

/// Thresholds near the step, of both signs, and rates of any size.
static void fillRates(Layer &layer, std::mt19937 &random) {
  const Problem &problem = layer.problem;
  double unit = std::ldexp(1.0, problem.rowScale ? -20 : -16);
  int32_t *counts = layer.at<int32_t>(layer.countRates);
  for (int64_t k = 0; k < problem.k; ++k) {
    double gain = problem.gains ? layer.at<float>(layer.gainsArray)[k] : 1.0;
    gain *= problem.gains && random() % 4 == 0 ? -1 : 1;
    double centre =
        problem.centres ? layer.at<float>(layer.centresArray)[k] : 0.0;
    CountRate rate =
        *roundCountRate(unit * gain / layer.step, centre * layer.step / unit);
    counts[k] = rate.multiplier;
    counts[problem.k + k] = rate.shift;
    counts[2 * problem.k + k] = rate.centre;
  }
  int32_t *rows = layer.at<int32_t>(layer.rowRates);
  for (int64_t n = 0; n < problem.n; ++n) {
    rows[n] = static_cast<int32_t>(random() % 8388609) - 4194304;
    rows[problem.n + n] = 1 + random() % 40;
    rows[2 * problem.n + n] = static_cast<int32_t>(random() % 2001) - 1000;
  }
}

/// Ties, zeros, infinities and NaN among normally distributed values.
static void fillActivations(Layer &layer, std::mt19937 &random) {
  const Problem &problem = layer.problem;
  std::normal_distribution<float> normal(0.0f, problem.typicalCount);
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float special[] = {infinity, -infinity, std::nanf(""), -0.0f, 1e30f};
  for (int64_t i = 0; i < problem.rows * problem.k; ++i) {
    float counts = normal(random);
    if (i % 5 == 0)
      counts = std::floor(counts) + 0.5f;
    if (problem.outlierEvery && i % problem.outlierEvery == 3)
      counts *= 60.0f;
    if (problem.outlierEvery && i % (problem.outlierEvery * 7) == 5)
      counts = special[random() % 5];
    layer.x.push_back((problem.positive ? std::abs(counts) : counts) *
                      layer.step);
  }
  for (float value : layer.x)
    layer.numbers.push_back(static_cast<int32_t>(
        std::isnan(value)
            ? 0.0f
            : std::clamp(value * 65536.0f, -2147483520.0f, 2147483520.0f)));
  std::uniform_real_distribution<float> scale(0.5f, 2.0f);
  for (int64_t row = 0; row < problem.rows; ++row) {
    layer.rowScale.push_back(scale(random));
    // Ids outside the table are clamped.
    layer.ids.push_back(static_cast<int32_t>(random() % (problem.n + 2)) - 1);
  }
}

Layer spikequant::test::makeLayer(const Problem &problem) {
  Layer layer;
  layer.problem = problem;
  layer.step = 0.0625f * 1.1f;
  int64_t group = problem.group ? problem.group : problem.k;
  layer.layout = {problem.n, problem.k, group,
                  static_cast<int32_t>(problem.bits), problem.offsetBits};
  std::mt19937 random(problem.seed);
  placeArrays(layer);
  fillCodes(layer, random);
  fillParameters(layer, random);
  measureWeights(layer);
  fillChannels(layer, random);
  fillActivations(layer, random);
  fillRates(layer, random);
  return layer;
}

static void splitRow(const Layer &layer, int64_t row, Outputs &outputs) {
  const PackedLayout &layout = layer.layout;
  int32_t *overflow = outputs.overflow.data() + row * (2 + 2 * layout.k);
  for (int64_t k = 0; k < layout.k; ++k) {
    int16_t count = outputs.counts[row * layout.k + k];
    if (std::abs(int32_t{count}) > 127) {
      int32_t entry = overflow[0]++;
      overflow[2 + 2 * entry] = k;
      overflow[3 + 2 * entry] = count;
      continue;
    }
    outputs.dense[row * layout.kPadded() + k] = count;
    outputs.sums[row * layout.groups() + layout.groupOf(k)] += count;
  }
}

static void encodeGridRow(const Layer &layer, int64_t row, int64_t &salient,
                          Outputs &outputs) {
  const Problem &problem = layer.problem;
  int64_t k = problem.k;
  const float *scale = problem.rowScale ? &layer.rowScale[row] : nullptr;
  const int32_t *numbers = layer.numbers.data() + row * k;
  const int32_t *rates = layer.at<int32_t>(layer.countRates);
  int16_t *counts = outputs.counts.data() + row * k;
  sq_ref_encode_grid(numbers, scale, 1, k, -16, rates, nullptr, 0, counts);
  const int8_t *bits = layer.at<int8_t>(layer.bitsArray);
  for (int64_t j = 0; problem.window && j < k; ++j) {
    WindowedCount windowed = applyWindow(counts[j], bits[j], problem.tolerance);
    counts[j] = windowed.count;
    salient += windowed.salient;
  }
}

static void encodeReference(const Layer &layer, Outputs &outputs) {
  const Problem &problem = layer.problem;
  const float *gains =
      problem.gains ? layer.at<float>(layer.gainsArray) : nullptr;
  const float *centres =
      problem.centres ? layer.at<float>(layer.centresArray) : nullptr;
  const int8_t *bits =
      problem.window ? layer.at<int8_t>(layer.bitsArray) : nullptr;
  // Row by row, for the salient counts of each.
  for (int64_t row = 0; row < problem.rows; ++row) {
    int64_t salient = 0;
    if (problem.grid) {
      encodeGridRow(layer, row, salient, outputs);
      splitRow(layer, row, outputs);
      outputs.overflow[row * (2 + 2 * problem.k) + 1] = salient;
      outputs.salient[1] += salient;
      continue;
    }
    sq_ref_encode(layer.x.data() + row * problem.k,
                  problem.rowScale ? &layer.rowScale[row] : nullptr, 1,
                  problem.k, layer.step, gains, centres, bits,
                  problem.tolerance, outputs.counts.data() + row * problem.k,
                  &salient);
    splitRow(layer, row, outputs);
    outputs.overflow[row * (2 + 2 * problem.k) + 1] = salient;
    outputs.salient[1] += salient;
  }
}

Outputs spikequant::test::makeOutputs(const Layer &layer, int fill) {
  const Problem &problem = layer.problem;
  const PackedLayout &layout = layer.layout;
  Outputs outputs;
  auto make = [&](auto &array, int64_t size) {
    array.resize(problem.rows * size);
    std::fill_n(reinterpret_cast<char *>(array.data()),
                array.size() * sizeof(array[0]), fill);
  };
  make(outputs.dense, layout.kPadded());
  make(outputs.sums, layout.groups());
  make(outputs.overflow, 2 + 2 * layout.k);
  make(outputs.counts, layout.k);
  make(outputs.y, layout.n);
  make(outputs.membrane, layout.n);
  make(outputs.rows, layout.k);
  outputs.salient = {5, 7, 9};
  return outputs;
}

Outputs spikequant::test::runReference(const Layer &layer) {
  const Problem &problem = layer.problem;
  const PackedLayout &layout = layer.layout;
  Outputs outputs = makeOutputs(layer, 0);
  encodeReference(layer, outputs);
  sq_ref_integrate(outputs.counts.data(), problem.rows, layout.k, layer.file(),
                   layer.codes, layout.container, layout.offsetBits,
                   layout.group, layout.n, outputs.membrane.data());
  sq_ref_decode(outputs.membrane.data(), problem.rows, layout.n, layer.step,
                layer.at<float>(layer.scales), outputs.y.data());
  if (problem.grid) {
    sq_ref_lookup_grid(layer.ids.data(), problem.rows, layer.file(),
                       layer.codes, layout.container, layout.offsetBits,
                       layout.group, layout.n, layout.k,
                       layer.at<int32_t>(layer.rowRates),
                       reinterpret_cast<int32_t *>(outputs.rows.data()));
    return outputs;
  }
  sq_ref_lookup(layer.ids.data(), problem.rows, layer.file(), layer.codes,
                layer.scales, layout.container, layout.offsetBits, layout.group,
                layout.n, layout.k, outputs.rows.data());
  return outputs;
}
