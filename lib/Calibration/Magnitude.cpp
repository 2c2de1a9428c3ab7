//===- Magnitude.cpp - the histogram grid ---------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MagnitudeDetail.h"

#include <cassert>
#include <cmath>
#include <limits>

using namespace spikequant;

unsigned magnitude::binOf(float value) {
  uint32_t bits = absoluteBits(value);
  if (bits > infinityBits)
    return nanBin;
  if (bits == infinityBits)
    return infinityBin;
  return finiteBin(bits);
}

float magnitude::lowerEdge(unsigned bin) {
  assert(bin <= infinityBin && "NaN has no edges");
  if (bin == tinyBin)
    return 0.0f;
  if (bin == infinityBin)
    return std::numeric_limits<float>::infinity();
  unsigned offset = bin - firstGridBin;
  unsigned step = (1u << subdivisionBits) + offset % (1u << subdivisionBits);
  int exponent = int(offset >> subdivisionBits) + minExponent;
  return std::ldexp(float(step), exponent - subdivisionBits);
}

float magnitude::upperEdge(unsigned bin) {
  assert(bin <= hugeBin && "no upper edge");
  return bin == hugeBin ? std::numeric_limits<float>::infinity()
                        : lowerEdge(bin + 1);
}
