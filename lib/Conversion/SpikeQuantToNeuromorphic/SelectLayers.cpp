//===- SelectLayers.cpp - layers of a compiled model as a network ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Between two layers the program computes, per channel, v = y r + h of
// y = clamp(a f32(acc) d + b, low, high) and counts floor(v). In integers that
// is fire with M / 2^S = d a r, B / 2^S = b r + h and lo, hi = the counts of
// low and high. One rounding, of M and B; the ladders of both are compared.
//
//===----------------------------------------------------------------------===//

#include "FindLayers.h"
#include "ReadInput.h"
#include "spikequant/Kernel/Decode.h"
#include "spikequant/Kernel/Integrate.h"
#include "spikequant/Kernel/Thresholds.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

namespace {

class LayerBuilder {
public:
  LayerBuilder(const sq::PackedFile &packed, const SelectOptions &options)
      : packed(packed), options(options) {}

  FailureOr<SelectedNetwork> build(SmallVector<SelectedLayer> layers);

private:
  LogicalResult readInputs();
  LogicalResult addLayer(size_t index);
  void readWeights(const SelectedLayer &selected, sq::Layer &layer);
  std::vector<float> decodeOutputs();
  LogicalResult chooseOutputStep();
  LogicalResult setFire(size_t index);
  LogicalResult setWindow(size_t index, const sq::InputPopulation &next);
  LogicalResult setLastThresholds();
  LogicalResult setThresholds(SelectedLayer &selected, sq::Layer &layer,
                              ArrayRef<sq::RealThreshold> real);
  void compareLadders(size_t index, const sq::InputPopulation &next);
  float decodeScale(const SelectedLayer &selected, int64_t row) {
    return sq::decodeScale(selected.step(), scalesOf(selected)[row]);
  }
  ArrayRef<float> scalesOf(const SelectedLayer &selected) {
    return packed.scales(*packed.find(selected.symbol()));
  }

  const sq::PackedFile &packed;
  const SelectOptions &options;
  SymbolTableCollection tables;
  SelectedNetwork *result = nullptr;
  sq::Network *network = nullptr;
};

} // namespace

template <typename T>
static void slice(std::vector<T> &values, IndexRange range) {
  values =
      std::vector<T>(values.begin() + range.first, values.begin() + range.end);
}

LogicalResult LayerBuilder::readInputs() {
  SelectedLayer &first = result->layers.front();
  sq::InputPopulation &input = network->input;
  if (failed(readInput(first.encode, tables, input)))
    return failure();
  int64_t channels = input.channels();
  slice(input.windows, first.columns);
  slice(input.thresholds, first.columns);
  if (!options.inputs)
    return success();
  llvm::Expected<std::vector<float>> values =
      options.inputs(input.name, channels);
  if (!values)
    return first.encode.emitOpError() << llvm::toString(values.takeError());
  for (ArrayRef<float> rows = *values; !rows.empty();
       rows = rows.drop_front(channels))
    llvm::append_range(result->inputs,
                       rows.slice(first.columns.first, first.columns.size()));
  return success();
}

void LayerBuilder::readWeights(const SelectedLayer &selected,
                               sq::Layer &layer) {
  sq::PackedCodes codes = packed.codes(*packed.find(selected.symbol()));
  std::vector<int32_t> row(codes.layout.k);
  for (int64_t o = selected.rows.first; o < selected.rows.end; ++o) {
    codes.unpackRow(o, row.data());
    layer.weights.insert(layer.weights.end(),
                         row.begin() + selected.columns.first,
                         row.begin() + selected.columns.end);
  }
}

LogicalResult LayerBuilder::addLayer(size_t index) {
  SelectedLayer &selected = result->layers[index];
  sq::Layer layer;
  StringRef name = selected.integrate.getWeights();
  name.consume_back(".codes");
  layer.name = name.str();
  layer.outputs = selected.rows.size();
  layer.inputs = selected.columns.size();
  readWeights(selected, layer);
  network->layers.push_back(std::move(layer));
  result->located.layerLocations.push_back(selected.integrate.getLoc());
  return setFire(index);
}

LogicalResult LayerBuilder::setFire(size_t index) {
  SelectedLayer &selected = result->layers[index];
  sq::Layer &layer = network->layers[index];
  if (index + 1 == result->layers.size())
    return setLastThresholds();
  sq::InputPopulation next;
  if (failed(readInput(result->layers[index + 1].encode, tables, next)))
    return failure();
  std::vector<sq::RealThreshold> real;
  for (int64_t o = selected.rows.first; o < selected.rows.end; ++o) {
    ClampedLine line = selected.between.lineOf(o);
    sq::EncodeThreshold encode = next.thresholds[o];
    real.push_back({decodeScale(selected, o) * line.scale * encode.rate,
                    line.bias * encode.rate + encode.membrane});
  }
  if (failed(setWindow(index, next)) ||
      failed(setThresholds(selected, layer, real)))
    return failure();
  compareLadders(index, next);
  return success();
}

/// One window for all channels.
LogicalResult LayerBuilder::setWindow(size_t index,
                                      const sq::InputPopulation &next) {
  SelectedLayer &selected = result->layers[index];
  sq::Layer &layer = network->layers[index];
  int32_t window = 0;
  std::optional<std::pair<int32_t, int32_t>> limits;
  for (int64_t o = selected.rows.first; o < selected.rows.end; ++o)
    window = std::max(window, next.windows[o]);
  for (int64_t o = selected.rows.first; o < selected.rows.end; ++o) {
    ClampedLine line = selected.between.lineOf(o);
    auto countOf = [&](double limit) -> int32_t {
      return std::clamp<int32_t>(
          sq::encodeValue(float(limit), 1.0f, next.thresholds[o]), -window,
          window);
    };
    std::pair<int32_t, int32_t> own = {countOf(line.low), countOf(line.high)};
    if (limits && *limits != own)
      return result->layers[index + 1].encode.emitOpError()
             << "SEL-C8: output " << o << " is clamped to counts of "
             << own.first << ":" << own.second << ", output "
             << selected.rows.first << " to " << limits->first << ":"
             << limits->second << "; a fire has one clamp for all";
    limits = own;
  }
  std::tie(layer.lo, layer.hi) = *limits;
  return success();
}

/// The largest shift with which every multiplier is below 2^31.
static int32_t largestShift(ArrayRef<sq::RealThreshold> real) {
  double largest = 0;
  for (sq::RealThreshold threshold : real)
    largest = std::max(largest, threshold.rate);
  int32_t shift = sq::maxFireShift;
  while (shift > 0 && std::ldexp(largest, shift) > double(INT32_MAX) - 1)
    --shift;
  return shift;
}

LogicalResult LayerBuilder::setThresholds(SelectedLayer &selected,
                                          sq::Layer &layer,
                                          ArrayRef<sq::RealThreshold> real) {
  int32_t shift = largestShift(real);
  for (auto [index, threshold] : llvm::enumerate(real)) {
    double multiplier = std::round(std::ldexp(threshold.rate, shift));
    double bias = std::round(std::ldexp(threshold.offset, shift));
    if (!(multiplier >= 1 && multiplier <= INT32_MAX) ||
        !(std::abs(bias) < 0x1p62))
      return selected.integrate.emitOpError()
             << "SEL-C5: output " << selected.rows.first + int64_t(index)
             << " counts " << llvm::formatv("{0}", threshold.rate).str()
             << " per membrane unit, which has no form M / 2^" << shift
             << (threshold.rate <= 0 ? "; a fire rises with its membrane"
                                     : "; give another --output-step");
    layer.thresholds.push_back(
        {static_cast<int32_t>(multiplier), int64_t(bias), shift});
    selected.thresholdError =
        std::max(selected.thresholdError,
                 std::abs(std::ldexp(multiplier, -shift) / threshold.rate - 1));
  }
  return success();
}

/// The least membrane in [-bound, bound] with a count of at least k, or
/// bound + 1.
template <typename CountOf>
static int64_t leastMembrane(int64_t bound, int64_t k, CountOf &&countOf) {
  int64_t low = -bound, high = bound + 1;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (countOf(middle) >= k)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

void LayerBuilder::compareLadders(size_t index,
                                  const sq::InputPopulation &next) {
  SelectedLayer &selected = result->layers[index];
  const sq::Layer &layer = network->layers[index];
  std::vector<int64_t> bounds = sq::membraneBounds(*network).back();
  for (int64_t o = 0; o < layer.outputs; ++o) {
    int64_t row = selected.rows.first + o;
    float scale = decodeScale(selected, row);
    auto countOf = [&](int64_t membrane) {
      float y = selected.between.evaluate(row, float(membrane) * scale);
      return sq::encodeValue(y, 1.0f, next.thresholds[row]);
    };
    for (int64_t k = layer.lo + 1; k <= layer.hi; ++k) {
      int64_t least = std::clamp(sq::fireLadder(k, layer.thresholds[o]),
                                 -bounds[o], bounds[o] + 1);
      int64_t change = std::abs(least - leastMembrane(bounds[o], k, countOf));
      ++selected.levels;
      selected.changedLevels += change != 0;
      selected.largestChange = std::max(selected.largestChange, change);
    }
  }
}

/// Outputs of the last layer on the inputs, as real numbers.
std::vector<float> LayerBuilder::decodeOutputs() {
  const SelectedLayer &selected = result->layers.back();
  const sq::Layer &layer = network->layers.back();
  sq::Network before = *network;
  before.layers.pop_back();
  std::vector<float> outputs;
  int64_t channels = network->input.channels();
  for (int64_t i = 0; i < result->samples(); ++i) {
    std::vector<int16_t> counts = sq::encodeSaturated(
        network->input, ArrayRef(result->inputs).slice(i * channels, channels));
    counts = sq::evaluateLayers(before, counts).back();
    for (int64_t o = 0; o < layer.outputs; ++o)
      outputs.push_back(
          float(sq::integrateRow(counts.data(),
                                 layer.weights.data() + o * layer.inputs,
                                 layer.inputs)) *
          decodeScale(selected, selected.rows.first + o));
  }
  return outputs;
}

/// Squared error of values as counts of `step`.
static double countingError(ArrayRef<float> values, float step,
                            int32_t window) {
  double error = 0;
  for (float value : values) {
    double count =
        std::clamp<double>(std::floor(value / step + 0.5), -window, window);
    error += std::pow(count * step - value, 2);
  }
  return error;
}

LogicalResult LayerBuilder::chooseOutputStep() {
  result->outputStep = options.outputStep;
  if (result->outputStep > 0)
    return success();
  if (result->inputs.empty())
    return result->layers.back().integrate.emitOpError()
           << "SEL-C9: without a stimulus the step of its outputs must be "
              "given with --output-step";
  std::vector<float> outputs = decodeOutputs();
  float largest = 0;
  for (float value : outputs)
    largest = std::max(largest, std::abs(value));
  // Outputs that are all zero have no scale of their own.
  float best = largest > 0 ? largest / options.window : 1.0f;
  double least = countingError(outputs, best, options.window);
  for (int quarters = 1; quarters <= 24; ++quarters) {
    float step = largest / options.window * std::exp2(-0.25f * quarters);
    double error = countingError(outputs, step, options.window);
    if (step > 0 && error < least) {
      best = step;
      least = error;
    }
  }
  result->outputStep = best;
  return success();
}

LogicalResult LayerBuilder::setLastThresholds() {
  SelectedLayer &selected = result->layers.back();
  sq::Layer &layer = network->layers.back();
  if (failed(chooseOutputStep()))
    return failure();
  layer.lo = -options.window;
  layer.hi = options.window;
  std::vector<sq::RealThreshold> real;
  for (int64_t o = selected.rows.first; o < selected.rows.end; ++o)
    real.push_back(
        {double(decodeScale(selected, o)) / result->outputStep, 0.5});
  return setThresholds(selected, layer, real);
}

FailureOr<SelectedNetwork>
LayerBuilder::build(SmallVector<SelectedLayer> layers) {
  SelectedNetwork selected{
      {{}, std::nullopt, layers.front().encode.getLoc(), {}},
      std::move(layers),
      0,
      {}};
  result = &selected;
  network = &selected.located.network;
  if (std::optional<SpikeCode> code = selected.layers.front().encode.getCode())
    selected.located.code = static_cast<sq::SpikeCode>(*code);
  if (failed(readInputs()))
    return failure();
  for (size_t i = 0; i < selected.layers.size(); ++i)
    if (failed(addLayer(i)))
      return failure();
  for (const sq::Layer &layer : network->layers)
    network->name += (network->name.empty() ? "" : ",") + layer.name;
  return selected;
}

FailureOr<SelectedNetwork>
mlir::spikequant::selectLayers(func::FuncOp function,
                               ArrayRef<LayerSelection> selections,
                               const SelectOptions &options) {
  FailureOr<SmallVector<SelectedLayer>> layers =
      findLayers(function, selections, options.packed);
  if (failed(layers))
    return failure();
  return LayerBuilder(*options.packed, options).build(std::move(*layers));
}
