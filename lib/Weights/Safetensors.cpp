//===- Safetensors.cpp - reading safetensors files ------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/Safetensors.h"

#include "spikequant/Support/Json.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cstring>

using namespace llvm;
using namespace spikequant;

/// The reference implementation's limit.
static constexpr uint64_t maxHeaderBytes = 100'000'000;

/// 0 for a type that the format does not know.
static uint64_t bytesOfType(StringRef dtype) {
  return StringSwitch<uint64_t>(dtype)
      .Cases({"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"}, 1)
      .Cases({"I16", "U16", "F16", "BF16"}, 2)
      .Cases({"I32", "U32", "F32"}, 4)
      .Cases({"I64", "U64", "F64", "C64"}, 8)
      .Default(0);
}

int64_t TensorInfo::elements() const {
  int64_t count = 1;
  for (int64_t extent : shape)
    count *= extent;
  return count;
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

Error SafetensorsFile::error(const Twine &message) const {
  return createStringError("'" + buffer->getBufferIdentifier() +
                           "': " + message);
}

Expected<SafetensorsFile> SafetensorsFile::open(StringRef path) {
  ErrorOr<std::unique_ptr<MemoryBuffer>> mapped =
      MemoryBuffer::getFile(path, /*IsText=*/false,
                            /*RequiresNullTerminator=*/false);
  if (!mapped)
    return createStringError("cannot open '" + path +
                             "': " + mapped.getError().message());
  return fromBuffer(std::move(*mapped));
}

Expected<SafetensorsFile>
SafetensorsFile::fromBuffer(std::unique_ptr<MemoryBuffer> buffer) {
  SafetensorsFile file;
  file.buffer = std::move(buffer);
  if (Error failure = file.readHeader())
    return std::move(failure);
  if (Error failure = file.checkCoverage())
    return std::move(failure);
  return std::move(file);
}

static bool readIntegers(const json::Value *value, std::vector<int64_t> &out) {
  const json::Array *array = value ? value->getAsArray() : nullptr;
  if (!array)
    return false;
  for (const json::Value &element : *array) {
    std::optional<int64_t> number = element.getAsInteger();
    if (!number || *number < 0)
      return false;
    out.push_back(*number);
  }
  return true;
}

/// Describes what is wrong with one header entry, or returns an empty string.
/// Ranges are relative to the data until the caller moves them.
static std::string readTensor(const json::Value &value, uint64_t dataBytes,
                              TensorInfo &info) {
  const json::Object *object = value.getAsObject();
  if (!object)
    return "is not an object";
  std::optional<StringRef> dtype = object->getString("dtype");
  uint64_t elementBytes = dtype ? bytesOfType(*dtype) : 0;
  if (elementBytes == 0)
    return ("has the unknown dtype '" + dtype.value_or("") + "'").str();
  info.dtype = dtype->str();
  std::vector<int64_t> range;
  if (!readIntegers(object->get("shape"), info.shape))
    return "has no valid shape";
  if (!readIntegers(object->get("data_offsets"), range) || range.size() != 2)
    return "has no valid data_offsets";
  info.begin = range[0];
  info.end = range[1];
  if (info.begin > info.end || info.end > dataBytes)
    return "lies outside the file (is the file truncated?)";
  uint64_t expected = elementBytes;
  bool overflow = false;
  for (int64_t extent : info.shape) {
    bool step = false;
    expected = SaturatingMultiply<uint64_t>(expected, extent, &step);
    overflow |= step;
  }
  if (overflow || expected != info.end - info.begin)
    return "has data_offsets that do not match its shape and dtype";
  return "";
}

Error SafetensorsFile::readHeader() {
  StringRef text = buffer->getBuffer();
  if (text.size() < 8)
    return error("is too short for a safetensors file");
  uint64_t headerBytes = support::endian::read64le(text.data());
  if (headerBytes > maxHeaderBytes || headerBytes > text.size() - 8)
    return error("the header length " + Twine(headerBytes) +
                 " does not fit the file (truncated, or not safetensors)");
  dataBegin = 8 + headerBytes;
  Expected<json::Object> header =
      parseJsonObject(text.substr(8, headerBytes),
                      "the header of '" + buffer->getBufferIdentifier() + "'");
  if (!header)
    return header.takeError();
  for (const auto &[key, value] : *header) {
    if (StringRef(key) == "__metadata__")
      continue;
    TensorInfo info;
    std::string problem = readTensor(value, text.size() - dataBegin, info);
    if (!problem.empty())
      return error("tensor '" + StringRef(key) + "' " + problem);
    info.begin += dataBegin;
    info.end += dataBegin;
    tensors[StringRef(key)] = std::move(info);
  }
  return Error::success();
}

/// The format allows neither overlaps nor holes: sorted ranges must follow one
/// another from the first data byte to the last.
Error SafetensorsFile::checkCoverage() const {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto &entry : tensors)
    ranges.push_back({entry.second.begin, entry.second.end});
  llvm::sort(ranges);
  uint64_t covered = dataBegin;
  for (auto [begin, end] : ranges) {
    if (begin != covered)
      return error(begin < covered ? "two tensors overlap"
                                   : "bytes between two tensors are unused");
    covered = end;
  }
  if (covered != buffer->getBufferSize())
    return error(Twine(buffer->getBufferSize() - covered) +
                 " bytes follow the last tensor");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Access
//===----------------------------------------------------------------------===//

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> result;
  for (StringRef name : tensors.keys())
    result.push_back(name.str());
  llvm::sort(result);
  return result;
}

const TensorInfo *SafetensorsFile::find(StringRef name) const {
  auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

ArrayRef<uint8_t> SafetensorsFile::bytes(const TensorInfo &info) const {
  const char *start = buffer->getBufferStart() + info.begin;
  return {reinterpret_cast<const uint8_t *>(start), info.end - info.begin};
}

static float bitsToFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// Exact; subnormals, infinities and NaN included.
static float halfToFloat(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 31;
  uint32_t fraction = half & 1023;
  if (exponent == 31)
    return bitsToFloat(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0)
    return bitsToFloat(sign | (exponent + 112) << 23 | fraction << 13);
  // A subnormal is fraction * 2^-24, an exact product.
  float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

static std::vector<float> convert(StringRef dtype, ArrayRef<uint8_t> bytes) {
  size_t size = bytesOfType(dtype);
  std::vector<float> values(bytes.size() / size);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint8_t *element = bytes.data() + i * size;
    if (dtype == "F32")
      values[i] = bitsToFloat(support::endian::read32le(element));
    else if (dtype == "BF16")
      values[i] = bitsToFloat(
          static_cast<uint32_t>(support::endian::read16le(element)) << 16);
    else
      values[i] = halfToFloat(support::endian::read16le(element));
  }
  return values;
}

Expected<F32Tensor> SafetensorsFile::tensorF32(StringRef name) const {
  const TensorInfo *info = find(name);
  if (!info)
    return error("there is no tensor '" + name + "'");
  bool isFloat = StringSwitch<bool>(info->dtype)
                     .Cases({"F32", "F16", "BF16"}, true)
                     .Default(false);
  if (!isFloat)
    return error("tensor '" + name + "' has dtype " + info->dtype +
                 "; F32, F16 or BF16 is required");
  F32Tensor tensor;
  tensor.dimensions = info->shape;
  ArrayRef<uint8_t> raw = bytes(*info);
  bool aligned = reinterpret_cast<uintptr_t>(raw.data()) % alignof(float) == 0;
  if (info->dtype == "F32" && aligned && sys::IsLittleEndianHost) {
    tensor.view = {reinterpret_cast<const float *>(raw.data()),
                   raw.size() / sizeof(float)};
  } else {
    tensor.storage = convert(info->dtype, raw);
    tensor.view = tensor.storage;
  }
  if (Error failure = rotate(name, tensor))
    return std::move(failure);
  return std::move(tensor);
}

Error SafetensorsFile::rotate(StringRef name, F32Tensor &tensor) const {
  auto found = rotations.find(name);
  if (found == rotations.end())
    return Error::success();
  tensor.storage = tensor.view.vec();
  for (const ChannelRotation &rotation : found->second) {
    if (!fits(rotation, tensor.dimensions))
      return error("tensor '" + name +
                   "' has not the shape that its rotation "
                   "needs");
    rotateChannels(tensor.storage, tensor.dimensions, rotation);
  }
  tensor.view = tensor.storage;
  return Error::success();
}
