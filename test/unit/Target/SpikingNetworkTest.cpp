//===- SpikingNetworkTest.cpp - bounds and rails --------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Target/Target.h"

#include "gtest/gtest.h"

using namespace spikequant;

namespace {

/// One layer of `inputs` channels with weights of `weight`, window 127.
Network wideNetwork(int64_t inputs, int32_t weight) {
  Network network;
  network.input.name = "x";
  network.input.windows.assign(inputs, 127);
  network.input.thresholds.assign(inputs, {1.0f, 0.5f});
  Layer layer;
  layer.name = "w";
  layer.outputs = 1;
  layer.inputs = inputs;
  layer.weights.assign(inputs, weight);
  layer.thresholds = {{1, 4, 3}};
  layer.hi = 1;
  network.layers = {layer};
  return network;
}

const NeuromorphicTarget &targetNamed(llvm::StringRef name) {
  for (const auto &target : allTargets())
    if (target->name() == name)
      return *target;
  ADD_FAILURE() << "no target " << name.str();
  return *allTargets().front();
}

Problems exportTo(llvm::StringRef target, const Network &network,
                  std::string &text) {
  llvm::raw_string_ostream os(text);
  return exportNetwork(targetNamed(target), network, ExportOptions(), os);
}

/// A ladder's membranes stay below 8 (max |acc| + 1): f32 is exact up to 2^24,
/// so max |acc| + 1 < 2^21, and 127 * 16513 + 1 is 2^21.
TEST(Bounds, NirRefusesWhatF32CannotAdd) {
  std::string text;
  EXPECT_TRUE(exportTo("nir", wideNetwork(1, 16512), text).empty());
  EXPECT_FALSE(text.empty());
  text.clear();
  Problems problems = exportTo("nir", wideNetwork(1, 16513), text);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].layer, 0);
  EXPECT_EQ(problems[0].message,
            "NEU-C7: membranes of 'w' can reach 16777216, f32 is exact below "
            "2^24 = 16777216; select fewer input channels or fewer bits");
  EXPECT_TRUE(text.empty()) << "nothing is written";
}

/// A gated membrane stays below 2 B, B >= 2 a max |acc| + 2 th + 2 |o| + 2, so
/// that 2^25 is about max |acc| = 2^23: 66050 is 2^23 / 127.
TEST(Bounds, SanaFeRefusesWhatItsSomaTruncates) {
  auto bound = [](int32_t weight) {
    Problems problems;
    return buildGated(wideNetwork(1, weight), problems).layers[0].membraneBound;
  };
  int32_t largest = 66000;
  while (bound(largest + 1) < (1 << 25))
    ++largest;
  EXPECT_NEAR(largest, 66050, 5);
  std::string text;
  EXPECT_TRUE(exportTo("sanafe", wideNetwork(1, largest), text).empty());
  text.clear();
  Problems problems = exportTo("sanafe", wideNetwork(1, largest + 1), text);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].layer, 0);
  EXPECT_NE(problems[0].message.find("2^25 = 33554432"), std::string::npos);
  EXPECT_TRUE(text.empty());
}

TEST(Bounds, GatedMembraneStaysInside) {
  Network network = wideNetwork(3, -5);
  Problems problems;
  SpikingNetwork spiking = buildGated(network, problems);
  ASSERT_TRUE(problems.empty());
  const SpikingLayer &layer = spiking.layers[0];
  int64_t drive = 0;
  for (size_t line = 0; line < layer.inputs.size(); ++line)
    if (layer.inputs[line].channel != SpikeLine::control &&
        layer.inputs[line].sign > 0)
      drive += std::abs(layer.weight(0, line)) * 127;
  int64_t gate = -layer.weight(0, layer.inputs.size() - 3); // Pulse 0.
  EXPECT_GT(gate, drive) << "the gate holds against all input";
  EXPECT_EQ(layer.membraneBound, 2 * gate);
}

/// 7 planes on 2 rails per channel and 3 pulses at most; 255 levels.
TEST(Bounds, RefusesWhatWouldFillTheMemory) {
  Network network = wideNetwork(20000, 1);
  network.layers[0].hi = 255;
  std::string text;
  Problems problems = exportTo("nir", network, text);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_NE(problems[0].message.find("NEU-C13: 'w' would have 258 neurons with "
                                     "280003 synapses each"),
            std::string::npos)
      << problems[0].message;
  EXPECT_TRUE(exportTo("sanafe", wideNetwork(2000, 1), text).empty());
}

/// Ties round up, so the rails are no mirror images: acc = 4 gives 1, acc = -4
/// gives 0 for theta = 8.
TEST(Rails, NegativeLadderIsNotTheMirror) {
  Layer layer;
  layer.thresholds = {{1, 4, 3}};
  layer.lo = -2;
  layer.hi = 2;
  EXPECT_EQ(positiveLadder(layer, 0), (std::vector<int64_t>{4, 12}));
  EXPECT_EQ(negativeLadder(layer, 0), (std::vector<int64_t>{5, 13}));
}

TEST(Network, ShapesThatDoNotMatch) {
  Network network = wideNetwork(3, 1);
  network.layers.push_back(network.layers[0]);
  Problems problems = checkNetwork(network);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_EQ(problems[0].layer, 1);
  EXPECT_EQ(problems[0].message,
            "NEU-C2: 'w' has 3 inputs, the population before it 1 channels");
}

} // namespace
