//===- PackedFile.cpp - reading the packed weights file -------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/PackedFile.h"

#include "spikequant/Support/Json.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

using namespace llvm;
using namespace spikequant;

uint64_t PackedFormat::elementBytes(StringRef type) {
  return StringSwitch<uint64_t>(type)
      .Cases({"i8", "u8"}, 1)
      .Cases({"i16", "f16", "bf16"}, 2)
      .Cases({"f32", "i32"}, 4)
      .Cases({"i64", "f64"}, 8)
      .Default(0);
}

static uint64_t arrayBytes(StringRef type, ArrayRef<int64_t> shape) {
  uint64_t bytes = PackedFormat::elementBytes(type);
  for (int64_t extent : shape)
    bytes = SaturatingMultiply<uint64_t>(bytes, extent);
  return bytes;
}

std::vector<std::pair<PackedBlob, uint64_t>>
PackedEntry::blobsAndSizes() const {
  if (kind == Kind::Raw)
    return {{raw, arrayBytes(type, shape)}};
  auto size = [&](int64_t bytes) {
    return static_cast<uint64_t>(bytes * matrices());
  };
  return {{codes, size(layout.codesBytes())},
          {scales, size(layout.scalesBytes())},
          {columnMax, static_cast<uint64_t>(layout.columnMaxBytes())}};
}

//===----------------------------------------------------------------------===//
// Index entries
//===----------------------------------------------------------------------===//

static bool readNonNegative(const json::Object &object, StringRef key,
                            int64_t &out) {
  std::optional<int64_t> number = object.getInteger(key);
  if (!number || *number < 0)
    return false;
  out = *number;
  return true;
}

static bool readBlob(const json::Object *object, PackedBlob &blob) {
  int64_t offset = 0, bytes = 0;
  if (!object || !readNonNegative(*object, "offset", offset) ||
      !readNonNegative(*object, "bytes", bytes))
    return false;
  blob = {static_cast<uint64_t>(offset), static_cast<uint64_t>(bytes)};
  return true;
}

/// Each reader returns what is wrong, or an empty string.
static std::string readRawEntry(const json::Object &object, StringRef kind,
                                PackedEntry &entry) {
  entry.kind = PackedEntry::Kind::Raw;
  entry.type = kind.str();
  const json::Array *shape = object.getArray("shape");
  if (!shape)
    return "has no shape";
  for (const json::Value &value : *shape) {
    std::optional<int64_t> extent = value.getAsInteger();
    if (!extent || *extent < 0)
      return "has an invalid shape";
    entry.shape.push_back(*extent);
  }
  if (!readBlob(&object, entry.raw))
    return "has no valid offset and bytes";
  return "";
}

static std::string readCodesBlobs(const json::Object &object,
                                  PackedEntry &entry) {
  const json::Object *blobs = object.getObject("blobs");
  if (!blobs)
    return "has no blobs";
  std::pair<StringRef, PackedBlob *> parts[] = {
      {"codes", &entry.codes},
      {"scales", &entry.scales},
      {"column_max", &entry.columnMax}};
  for (auto [name, blob] : parts)
    if (!readBlob(blobs->getObject(name), *blob))
      return ("has no valid blob '" + name + "'").str();
  return "";
}

static std::string readCodesEntry(const json::Object &object,
                                  PackedEntry &entry) {
  entry.kind = PackedEntry::Kind::Codes;
  int64_t bits = 0, container = 0, offsetBits = 0;
  if (!readNonNegative(object, "bits", bits) ||
      !readNonNegative(object, "container", container) ||
      !readNonNegative(object, "offset_bits", offsetBits) ||
      !readNonNegative(object, "group", entry.layout.group) ||
      !readNonNegative(object, "n", entry.layout.n) ||
      !readNonNegative(object, "k", entry.layout.k) ||
      !readNonNegative(object, "max_row_sum", entry.maxRowSum))
    return "lacks one of bits, container, offset_bits, group, n, k, "
           "max_row_sum";
  if (offsetBits != 8 && offsetBits != 16)
    return "has offset_bits other than 8 and 16";
  if (bits < 2 || bits > 8 || container != bits)
    return "has bits or container out of range";
  entry.bits = static_cast<int32_t>(bits);
  entry.layout.container = static_cast<int32_t>(container);
  entry.layout.offsetBits = static_cast<int32_t>(offsetBits);
  if (!entry.layout.isValid())
    return "has an invalid n, k or group";
  constexpr int64_t maxElements = int64_t{1} << 40;
  if (object.get("stack") &&
      (!readNonNegative(object, "stack", entry.stack) || entry.stack < 1 ||
       entry.stack >
           maxElements / (entry.layout.nPadded() * entry.layout.kPadded())))
    return "has an invalid stack";
  return readCodesBlobs(object, entry);
}

static std::string readEntry(const json::Value &value, PackedEntry &entry) {
  const json::Object *object = value.getAsObject();
  std::optional<StringRef> kind =
      object ? object->getString("kind") : std::nullopt;
  if (!kind)
    return "has no kind";
  if (*kind == "codes")
    return readCodesEntry(*object, entry);
  if (PackedFormat::elementBytes(*kind) == 0)
    return ("has the unknown kind '" + *kind + "'").str();
  return readRawEntry(*object, *kind, entry);
}

//===----------------------------------------------------------------------===//
// Opening
//===----------------------------------------------------------------------===//

Error PackedFile::error(const Twine &message) const {
  return createStringError("'" + buffer->getBufferIdentifier() +
                           "': " + message);
}

Expected<PackedFile> PackedFile::open(StringRef path, bool verifyChecksum) {
  ErrorOr<std::unique_ptr<MemoryBuffer>> mapped = MemoryBuffer::getFile(
      path, /*IsText=*/false, /*RequiresNullTerminator=*/false,
      /*IsVolatile=*/false, Align(PackedFormat::alignment));
  if (!mapped)
    return createStringError("cannot open '" + path +
                             "': " + mapped.getError().message());
  return fromBuffer(std::move(*mapped), verifyChecksum);
}

Expected<PackedFile>
PackedFile::fromBuffer(std::unique_ptr<MemoryBuffer> buffer,
                       bool verifyChecksum) {
  PackedFile file;
  file.buffer = std::move(buffer);
  if (!isAddrAligned(Align(PackedFormat::alignment), file.base()))
    return file.error("is not loaded at a 64-byte boundary");
  if (Error failure = file.readHeader(verifyChecksum))
    return std::move(failure);
  if (Error failure = file.readIndex())
    return std::move(failure);
  if (Error failure = file.checkBlobs())
    return std::move(failure);
  return std::move(file);
}

Error PackedFile::readHeader(bool verifyChecksum) {
  StringRef text = buffer->getBuffer();
  if (text.size() < PackedFormat::headerBytes ||
      !text.starts_with(PackedFormat::magic))
    return error("is not a packed weights file");
  const char *header = text.data();
  uint32_t version = support::endian::read32le(header + 8);
  if (version != PackedFormat::version)
    return error("has format version " + Twine(version) +
                 "; this program reads version " +
                 Twine(PackedFormat::version) + ", compile the model again");
  indexBytes = support::endian::read64le(header + 16);
  dataOffset = support::endian::read64le(header + 24);
  uint64_t fileSize = support::endian::read64le(header + 32);
  if (fileSize != text.size())
    return error("has " + Twine(text.size()) + " bytes, its header says " +
                 Twine(fileSize) + " (truncated?)");
  if (dataOffset % PackedFormat::alignment != 0 || dataOffset > fileSize ||
      dataOffset < PackedFormat::headerBytes ||
      indexBytes > dataOffset - PackedFormat::headerBytes)
    return error("has a damaged header");
  uint64_t checksum = support::endian::read64le(header + 40);
  if (verifyChecksum &&
      checksum != xxh3_64bits(text.drop_front(PackedFormat::headerBytes)))
    return error("is damaged: its checksum does not match");
  return Error::success();
}

Error PackedFile::readIndex() {
  StringRef text =
      buffer->getBuffer().substr(PackedFormat::headerBytes, indexBytes);
  Expected<json::Object> index = parseJsonObject(
      text, "the index of '" + buffer->getBufferIdentifier() + "'");
  if (!index)
    return index.takeError();
  const json::Object *list = index->getObject("entries");
  if (!list)
    return error("has an index without entries");
  for (const auto &[key, value] : *list) {
    PackedEntry entry;
    std::string problem = readEntry(value, entry);
    if (!problem.empty())
      return error("entry '" + StringRef(key) + "' " + problem);
    entries[StringRef(key)] = std::move(entry);
  }
  return Error::success();
}

Error PackedFile::checkBlobs() const {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const auto &keyed : entries) {
    for (auto [blob, expected] : keyed.second.blobsAndSizes()) {
      if (blob.bytes != expected || blob.offset % PackedFormat::alignment ||
          blob.offset < dataOffset || blob.offset > fileBytes() ||
          blob.bytes > fileBytes() - blob.offset)
        return error("entry '" + keyed.first() +
                     "' has a blob of the wrong size or place");
      if (blob.bytes > 0)
        ranges.push_back({blob.offset, blob.offset + blob.bytes});
    }
  }
  llvm::sort(ranges);
  for (size_t i = 1; i < ranges.size(); ++i)
    if (ranges[i].first < ranges[i - 1].second)
      return error("has blobs that overlap");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Access
//===----------------------------------------------------------------------===//

std::vector<std::string> PackedFile::keys() const {
  std::vector<std::string> result;
  for (StringRef key : entries.keys())
    result.push_back(key.str());
  llvm::sort(result);
  return result;
}

const PackedEntry *PackedFile::find(StringRef key) const {
  auto found = entries.find(key);
  return found == entries.end() ? nullptr : &found->second;
}

const uint8_t *PackedFile::base() const {
  return reinterpret_cast<const uint8_t *>(buffer->getBufferStart());
}

ArrayRef<uint8_t> PackedFile::bytes(PackedBlob blob) const {
  return {base() + blob.offset, blob.bytes};
}

template <typename T> static ArrayRef<T> typed(ArrayRef<uint8_t> bytes) {
  return {reinterpret_cast<const T *>(bytes.data()), bytes.size() / sizeof(T)};
}

PackedCodes PackedFile::codes(const PackedEntry &entry, int64_t number) const {
  const PackedLayout &layout = entry.layout;
  return {layout, base() + entry.codes.offset + number * layout.codesBytes()};
}

ArrayRef<float> PackedFile::scales(const PackedEntry &entry) const {
  return typed<float>(bytes(entry.scales));
}

ArrayRef<int32_t> PackedFile::columnMax(const PackedEntry &entry) const {
  return typed<int32_t>(bytes(entry.columnMax));
}
