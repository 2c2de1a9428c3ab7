//===- GramFile.cpp - the file of Gram matrices ---------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Calibration/GramMatrix.h"
#include "spikequant/Support/Json.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileOutputBuffer.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Support/xxhash.h"

#include <map>

using namespace llvm;
using namespace spikequant;
using namespace llvm::support::endian;

static constexpr StringLiteral magic = "SQGRAMS\n";
static constexpr uint32_t formatVersion = 2;
static constexpr uint64_t headerBytes = 64, alignment = 64;
static_assert(sys::IsLittleEndianHost, "sums are stored as they are");

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

/// Of a site's data: the triangle, then the column sums.
static uint64_t bytesOf(const GramView &gram) {
  return (gram.sums.size() + gram.columns.size()) * sizeof(int64_t);
}

/// The index; offsets count from the start of the data.
static std::string printIndex(ArrayRef<const GramFile::Site *> sites,
                              uint64_t &dataBytes) {
  json::Array list;
  dataBytes = 0;
  for (const GramFile::Site *site : sites) {
    list.push_back(json::Object{{"name", site->name},
                                {"channels", site->gram.channels},
                                {"rows", site->gram.rows},
                                {"offset", dataBytes}});
    dataBytes += alignTo(bytesOf(site->gram), alignment);
  }
  std::string text;
  raw_string_ostream(text) << json::Value(
      json::Object{{"sites", std::move(list)}});
  return text;
}

static uint64_t checksumOf(const uint8_t *file, uint64_t bytes) {
  return xxh3_64bits(ArrayRef(file + headerBytes, bytes - headerBytes));
}

static void writeHeader(uint8_t *to, uint64_t indexBytes, uint64_t dataOffset,
                        uint64_t fileBytes) {
  llvm::copy(magic, to);
  write32le(to + 8, formatVersion);
  write32le(to + 12, gram::fractionBits);
  write64le(to + 16, indexBytes);
  write64le(to + 24, dataOffset);
  write64le(to + 32, fileBytes);
  write64le(to + 40, checksumOf(to, fileBytes));
}

Error spikequant::saveGrams(ArrayRef<GramFile::Site> sites, StringRef path) {
  std::vector<const GramFile::Site *> sorted;
  for (const GramFile::Site &site : sites)
    sorted.push_back(&site);
  llvm::sort(sorted, [](auto *a, auto *b) { return a->name < b->name; });
  uint64_t dataBytes;
  std::string index = printIndex(sorted, dataBytes);
  uint64_t dataOffset = alignTo(headerBytes + index.size(), alignment);
  uint64_t fileBytes = dataOffset + dataBytes;
  auto fail = [&](Error error) {
    return createStringError("cannot write Gram file '" + path +
                             "': " + toString(std::move(error)));
  };
  auto buffer = FileOutputBuffer::create(path, fileBytes);
  if (!buffer)
    return fail(buffer.takeError());
  uint8_t *file = (*buffer)->getBufferStart();
  std::fill_n(file, dataOffset, 0);
  llvm::copy(index, file + headerBytes);
  uint8_t *data = file + dataOffset;
  for (const GramFile::Site *site : sorted) {
    auto *sums = reinterpret_cast<int64_t *>(data);
    llvm::copy(site->gram.columns, llvm::copy(site->gram.sums, sums));
    uint64_t bytes = bytesOf(site->gram);
    std::fill(data + bytes, data + alignTo(bytes, alignment), 0);
    data += alignTo(bytes, alignment);
  }
  writeHeader(file, index.size(), dataOffset, fileBytes);
  if (Error error = (*buffer)->commit())
    return fail(std::move(error));
  return Error::success();
}

Error spikequant::mergeGramFiles(ArrayRef<std::string> paths,
                                 StringRef output) {
  std::map<std::string, GramMatrix> total;
  for (const std::string &path : paths) {
    Expected<GramFile> file = GramFile::open(path);
    if (!file)
      return file.takeError();
    for (const GramFile::Site &site : file->getSites()) {
      auto [entry, fresh] =
          total.try_emplace(site.name, site.name, uint32_t(site.gram.channels));
      if (Error error = entry->second.merge(site.gram))
        return createStringError(path + ": " + toString(std::move(error)));
    }
  }
  std::vector<GramFile::Site> sites;
  for (auto &[name, gram] : total)
    sites.push_back({name, gram.view()});
  return saveGrams(sites, output);
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

namespace {
/// What the header says, after it was checked.
struct Header {
  uint64_t indexBytes, dataOffset;
};
} // namespace

static Error damaged(StringRef path, const Twine &what) {
  return createStringError("Gram file '" + path + "': " + what +
                           "; calibrate again");
}

static Expected<Header> readHeader(StringRef file, StringRef path) {
  if (file.size() < headerBytes || !file.starts_with(magic))
    return damaged(path, "not a Gram file");
  const char *at = file.data();
  if (uint32_t version = read32le(at + 8); version != formatVersion)
    return damaged(path, "version " + Twine(version) +
                             ", but this program reads version " +
                             Twine(formatVersion));
  Header header{read64le(at + 16), read64le(at + 24)};
  if (read64le(at + 32) != file.size())
    return damaged(path, "truncated or with bytes added");
  if (read32le(at + 12) != gram::fractionBits ||
      header.dataOffset % alignment != 0 || header.dataOffset > file.size() ||
      header.dataOffset < headerBytes ||
      header.indexBytes > header.dataOffset - headerBytes)
    return damaged(path, "the header is damaged");
  auto *bytes = reinterpret_cast<const uint8_t *>(at);
  if (read64le(at + 40) != checksumOf(bytes, file.size()))
    return damaged(path, "the checksum does not match, the file is damaged");
  return header;
}

/// Sums of squares cannot be negative, nor column sums larger: |n| <= n^2.
static bool areSound(const GramView &gram) {
  for (uint64_t c = 0; c < gram.channels; ++c) {
    int64_t square = gram.sums[gram::triangleSize(c) + c];
    if (square < 0 || gram.columns[c] > square || gram.columns[c] < -square)
      return false;
  }
  return true;
}

/// One entry of the index.
static Expected<GramFile::Site> readSite(const json::Value &value,
                                         StringRef data, StringRef path) {
  const json::Object *object = value.getAsObject();
  auto number = [&](StringRef key) {
    return object ? object->getInteger(key).value_or(-1) : -1;
  };
  int64_t channels = number("channels"), rows = number("rows"),
          offset = number("offset");
  std::optional<StringRef> name =
      object ? object->getString("name") : std::nullopt;
  if (!name || rows < 0 || channels < 1 ||
      uint64_t(channels) > gram::maxChannels || offset < 0 ||
      offset % int64_t(alignment) != 0 || uint64_t(offset) > data.size())
    return damaged(path, "an entry of the index is damaged");
  uint64_t count = gram::triangleSize(channels);
  if ((data.size() - offset) / sizeof(int64_t) < count + channels)
    return damaged(path, "site '" + *name + "' ends after the file");
  auto *sums = reinterpret_cast<const int64_t *>(data.data() + offset);
  GramFile::Site site{name->str(),
                      {uint64_t(channels), uint64_t(rows),
                       ArrayRef(sums, count),
                       ArrayRef(sums + count, channels)}};
  if (!areSound(site.gram))
    return damaged(path, "site '" + *name +
                             "' has squares that are negative or less than "
                             "its sums");
  return std::move(site);
}

Expected<GramFile> GramFile::open(StringRef path) {
  auto buffer = MemoryBuffer::getFile(path, /*IsText=*/false,
                                      /*RequiresNullTerminator=*/false);
  if (!buffer)
    return createStringError("cannot read Gram file '" + path +
                             "': " + buffer.getError().message());
  return fromBuffer(std::move(*buffer), path);
}

Expected<GramFile> GramFile::fromBuffer(std::unique_ptr<MemoryBuffer> buffer,
                                        StringRef path) {
  GramFile file;
  file.buffer = std::move(buffer);
  StringRef bytes = file.buffer->getBuffer();
  Expected<Header> header = readHeader(bytes, path);
  if (!header)
    return header.takeError();
  Expected<json::Object> index = parseJsonObject(
      bytes.substr(headerBytes, header->indexBytes), "the index");
  if (!index)
    return damaged(path, toString(index.takeError()));
  const json::Array *list = index->getArray("sites");
  if (!list)
    return damaged(path, "the index has no list of sites");
  for (const json::Value &value : *list) {
    Expected<Site> site =
        readSite(value, bytes.substr(header->dataOffset), path);
    if (!site)
      return site.takeError();
    if (!file.sites.empty() && file.sites.back().name >= site->name)
      return damaged(path, "the sites are not in order");
    file.sites.push_back(std::move(*site));
  }
  return std::move(file);
}

const GramView *GramFile::find(StringRef name) const {
  auto site =
      llvm::lower_bound(sites, name, [](const Site &site, StringRef name) {
        return site.name < name;
      });
  return site != sites.end() && site->name == name ? &site->gram : nullptr;
}
