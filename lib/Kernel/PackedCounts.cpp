//===- PackedCounts.cpp - counts in the bits of their windows -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Kernel/PackedCounts.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <type_traits>

using namespace spikequant;

static constexpr std::array<char, 8> kMagic = {'S', 'Q', 'C', 'O',
                                               'U', 'N', 'T', 'S'};
static constexpr uint32_t kVersion = 1;

/// Largest |n| inside a window of `bits`.
static int32_t largestOf(unsigned bits) {
  return bits == 0 ? 0 : (1 << (bits - 1)) - 1;
}

uint64_t CountArray::rows() const {
  uint64_t product = 1;
  for (size_t axis = 0; axis + 1 < shape.size(); ++axis)
    product *= shape[axis];
  return product;
}

PackedCountsCost spikequant::costOfCounts(const CountArray &array) {
  PackedCountsCost cost;
  uint64_t channels = array.channels();
  for (uint8_t bits : array.bits)
    cost.windowBits += array.rows() * bits;
  for (uint64_t i = 0; i < array.counts.size(); ++i) {
    unsigned bits = array.bits[i % channels];
    bool isOutside = std::abs(int32_t(array.counts[i])) > largestOf(bits);
    (bits == 0 ? cost.woken : cost.escaped) += isOutside;
  }
  return cost;
}

std::vector<uint8_t> spikequant::chooseCountBits(const int16_t *counts,
                                                 uint64_t rows,
                                                 uint64_t channels) {
  std::vector<uint8_t> result(channels);
  for (uint64_t channel = 0; channel < channels; ++channel) {
    std::array<uint64_t, 9> outside = {};
    for (uint64_t row = 0; row < rows; ++row) {
      int32_t size = std::abs(int32_t(counts[row * channels + channel]));
      for (unsigned bits = 0; bits <= 8 && size > largestOf(bits); ++bits)
        ++outside[bits];
    }
    uint64_t least = ~uint64_t(0);
    for (unsigned bits = 0; bits <= 8; ++bits) {
      // A woken count also takes 8 bytes for its place.
      uint64_t cost = rows * bits + (bits == 0 ? 80 : 16) * outside[bits];
      if (cost < least) {
        least = cost;
        result[channel] = uint8_t(bits);
      }
    }
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

namespace {
/// Little-endian numbers, and codes from the lowest bit up.
class Writer {
public:
  template <typename Number> void put(Number value) {
    using Unsigned = std::make_unsigned_t<Number>;
    auto number = static_cast<Unsigned>(value);
    for (size_t byte = 0; byte < sizeof(Number); ++byte)
      bytes.push_back(uint8_t(uint64_t(number) >> (8 * byte)));
  }
  void putBits(uint32_t code, unsigned width) {
    pending |= code << pendingBits;
    for (pendingBits += width; pendingBits >= 8; pendingBits -= 8) {
      bytes.push_back(uint8_t(pending));
      pending >>= 8;
    }
  }
  /// Fills the last byte with zeros.
  void align() {
    if (pendingBits != 0)
      bytes.push_back(uint8_t(pending));
    pending = pendingBits = 0;
  }

  std::vector<uint8_t> bytes;

private:
  uint32_t pending = 0;
  unsigned pendingBits = 0;
};

struct Woken {
  uint64_t place;
  int16_t count;
};
} // namespace

static void putRow(Writer &writer, const CountArray &array, uint64_t first,
                   std::vector<Woken> &woken) {
  std::vector<int16_t> escaped;
  size_t begin = writer.bytes.size();
  for (uint64_t channel = 0; channel < array.channels(); ++channel) {
    unsigned bits = array.bits[channel];
    int16_t count = array.counts[first + channel];
    bool isOutside = std::abs(int32_t(count)) > largestOf(bits);
    if (bits == 0) {
      if (isOutside)
        woken.push_back({first + channel, count});
      continue;
    }
    uint32_t mark = 1u << (bits - 1);
    writer.putBits(isOutside ? mark : uint32_t(count) & (2 * mark - 1), bits);
    if (isOutside)
      escaped.push_back(count);
  }
  writer.align();
  // So that a short file cannot claim to hold many rows.
  if (writer.bytes.size() == begin)
    writer.put(uint8_t(0));
  for (int16_t count : escaped)
    writer.put(count);
}

std::vector<uint8_t> spikequant::packCounts(const CountArray &array) {
  Writer writer;
  for (char letter : kMagic)
    writer.put(uint8_t(letter));
  writer.put(kVersion);
  writer.put(uint32_t(array.shape.size()));
  for (uint64_t size : array.shape)
    writer.put(size);
  size_t placeOfSizes = writer.bytes.size();
  writer.put(uint64_t(0));
  writer.put(uint64_t(0));
  writer.bytes.insert(writer.bytes.end(), array.bits.begin(), array.bits.end());
  size_t begin = writer.bytes.size();
  std::vector<Woken> woken;
  uint64_t rows = array.channels() == 0 ? 0 : array.rows();
  for (uint64_t row = 0; row < rows; ++row)
    putRow(writer, array, row * array.channels(), woken);
  Writer sizes;
  sizes.put(uint64_t(writer.bytes.size() - begin));
  sizes.put(uint64_t(woken.size()));
  std::copy(sizes.bytes.begin(), sizes.bytes.end(),
            writer.bytes.begin() + ptrdiff_t(placeOfSizes));
  for (const Woken &one : woken) {
    writer.put(one.place);
    writer.put(one.count);
  }
  return std::move(writer.bytes);
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// Every read is checked; after a failed one all others fail too.
class Reader {
public:
  Reader(const uint8_t *bytes, size_t size) : bytes(bytes), left(size) {}

  template <typename Number> Number get() {
    if (left < sizeof(Number)) {
      fail();
      return 0;
    }
    uint64_t value = 0;
    for (size_t byte = 0; byte < sizeof(Number); ++byte)
      value |= uint64_t(bytes[byte]) << (8 * byte);
    skip(sizeof(Number));
    return static_cast<Number>(value);
  }
  uint32_t getBits(unsigned width) {
    for (; pendingBits < width; pendingBits += 8)
      pending |= uint32_t(get<uint8_t>()) << pendingBits;
    uint32_t code = pending & ((1u << width) - 1);
    pending >>= width;
    pendingBits -= width;
    return code;
  }
  /// Forgets the rest of the last byte; false if it is not zero.
  bool align() {
    bool isZero = pending == 0;
    pending = pendingBits = 0;
    return isZero;
  }
  size_t getLeft() const { return left; }
  bool hasFailed() const { return failed; }

private:
  void skip(size_t count) {
    bytes += count;
    left -= count;
  }
  void fail() {
    failed = true;
    left = 0;
  }

  const uint8_t *bytes;
  size_t left;
  bool failed = false;
  uint32_t pending = 0;
  unsigned pendingBits = 0;
};

class Unpacker {
public:
  Unpacker(const uint8_t *bytes, size_t size, CountArray &array)
      : reader(bytes, size), array(array) {}
  /// Null, or what is wrong.
  const char *run();

private:
  const char *readShape();
  const char *readBits();
  const char *readRows(uint64_t bytes);
  const char *readRow(uint64_t first);
  const char *readWoken(uint64_t woken);

  Reader reader;
  CountArray &array;
  /// Whether some channel is not silent: rows are one byte otherwise.
  bool hasBits = false;
};
} // namespace

const char *Unpacker::readShape() {
  for (char letter : kMagic)
    if (reader.get<uint8_t>() != uint8_t(letter))
      return "it does not begin with SQCOUNTS";
  if (reader.get<uint32_t>() != kVersion)
    return "it is not of version 1";
  auto rank = reader.get<uint32_t>();
  if (rank < 1 || rank > maxPackedRank)
    return "it has no dimensions, or more than 8";
  uint64_t total = 1;
  array.shape.clear();
  for (uint32_t axis = 0; axis < rank; ++axis) {
    array.shape.push_back(reader.get<uint64_t>());
    if (array.shape.back() > maxPackedCounts)
      return "a dimension is larger than 2^31";
    // At most 2^62 before the check.
    total = std::max<uint64_t>(total, 1) *
            std::max<uint64_t>(array.shape.back(), 1);
    if (total > maxPackedCounts)
      return "it has more than 2^31 counts";
  }
  return nullptr;
}

const char *Unpacker::readBits() {
  if (reader.getLeft() < array.channels())
    return "it is truncated";
  array.bits.resize(array.channels());
  for (uint8_t &bits : array.bits) {
    bits = reader.get<uint8_t>();
    if (bits > 8)
      return "a window has more than 8 bits";
  }
  return nullptr;
}

const char *Unpacker::readRow(uint64_t first) {
  std::vector<uint64_t> escaped;
  for (uint64_t channel = 0; channel < array.channels(); ++channel) {
    unsigned bits = array.bits[channel];
    if (bits == 0)
      continue;
    uint32_t code = reader.getBits(bits), mark = 1u << (bits - 1);
    if (code == mark)
      escaped.push_back(first + channel);
    array.counts[first + channel] = int16_t(
        code < mark ? int32_t(code) : int32_t(code) - 2 * int32_t(mark));
  }
  if ((!hasBits && reader.get<uint8_t>() != 0) || !reader.align())
    return "bits behind a row are not zero";
  for (uint64_t place : escaped) {
    array.counts[place] = reader.get<int16_t>();
    if (std::abs(int32_t(array.counts[place])) <=
        largestOf(array.bits[place % array.channels()]))
      return "a count that fits its window was escaped";
  }
  return nullptr;
}

const char *Unpacker::readWoken(uint64_t woken) {
  uint64_t least = 0;
  for (uint64_t i = 0; i < woken && !reader.hasFailed(); ++i) {
    auto place = reader.get<uint64_t>();
    auto count = reader.get<int16_t>();
    if (reader.hasFailed())
      break;
    if (place < least || place >= array.counts.size() || count == 0 ||
        array.bits[place % array.channels()] != 0)
      return "a count of a silent channel has no such place";
    array.counts[place] = count;
    least = place + 1;
  }
  return nullptr;
}

const char *Unpacker::readRows(uint64_t bytes) {
  uint64_t rows = array.channels() == 0 ? 0 : array.rows();
  uint64_t perRow = 0;
  for (uint8_t bits : array.bits)
    perRow += bits;
  hasBits = perRow != 0;
  // Before memory is taken for what is not there.
  if (reader.getLeft() < bytes ||
      bytes < rows * std::max<uint64_t>((perRow + 7) / 8, 1))
    return "it is truncated";
  array.counts.assign(rows * array.channels(), 0);
  size_t before = reader.getLeft();
  for (uint64_t row = 0; row < rows && !reader.hasFailed(); ++row)
    if (const char *reason = readRow(row * array.channels()))
      return reader.hasFailed() ? "it is truncated" : reason;
  if (reader.hasFailed() || before - reader.getLeft() != bytes)
    return "its rows do not end where they should";
  return nullptr;
}

const char *Unpacker::run() {
  if (const char *reason = readShape())
    return reader.hasFailed() ? "it is truncated" : reason;
  auto rowBytes = reader.get<uint64_t>();
  auto woken = reader.get<uint64_t>();
  if (const char *reason = readBits())
    return reason;
  if (const char *reason = readRows(rowBytes))
    return reason;
  if (const char *reason = readWoken(woken))
    return reason;
  if (reader.hasFailed())
    return "it is truncated";
  return reader.getLeft() == 0 ? nullptr : "bytes follow its end";
}

bool spikequant::isPackedCounts(const uint8_t *bytes, size_t size) {
  return size >= kMagic.size() &&
         std::memcmp(bytes, kMagic.data(), kMagic.size()) == 0;
}

bool spikequant::unpackCounts(const uint8_t *bytes, size_t size,
                              CountArray &array, std::string &error) {
  const char *reason = Unpacker(bytes, size, array).run();
  if (!reason)
    return true;
  error = reason;
  return false;
}
