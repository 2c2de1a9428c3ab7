//===- PackedFileWriter.cpp - writing the packed weights file -------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The index precedes the data but is known last, and blob offsets count from
// the start of the file. So blobs stream into one temporary file, with offsets
// relative to the data; `finish` fixes the index, and copies them behind it
// into a second temporary file, which gets the final name.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Weights/PackedFileWriter.h"

#include "spikequant/Weights/Packing.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

using namespace llvm;
using namespace spikequant;
using sys::fs::TempFile;

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

struct PackedFileWriter::State {
  State(StringRef path, TempFile data)
      : path(path), data(std::move(data)),
        stream(this->data.FD, /*shouldClose=*/false) {}
  ~State() {
    stream.flush();
    stream.clear_error();
    consumeError(data.discard());
  }

  template <typename T> PackedBlob write(ArrayRef<T> values);
  Error checkStream();

  std::string path;
  TempFile data;
  raw_fd_ostream stream;
  std::vector<std::pair<std::string, PackedEntry>> entries;
  StringSet<> keys;
};

template <typename T>
PackedBlob PackedFileWriter::State::write(ArrayRef<T> values) {
  static_assert(sys::IsLittleEndianHost, "blobs are written as they are");
  uint64_t offset = stream.tell();
  uint64_t bytes = values.size() * sizeof(T);
  stream.write(reinterpret_cast<const char *>(values.data()), bytes);
  stream.write_zeros(offsetToAlignment(bytes, Align(PackedFormat::alignment)));
  return {offset, bytes};
}

Error PackedFileWriter::State::checkStream() {
  if (!stream.has_error())
    return Error::success();
  std::error_code code = stream.error();
  stream.clear_error();
  return createStringError("cannot write '" + path + "': " + code.message());
}

static Expected<TempFile> createBeside(StringRef path) {
  Expected<TempFile> file = TempFile::create(path + ".tmp-%%%%%%%%");
  if (!file)
    return createStringError("cannot write beside '" + path +
                             "': " + toString(file.takeError()));
  return file;
}

PackedFileWriter::PackedFileWriter(std::unique_ptr<State> state)
    : state(std::move(state)) {}
PackedFileWriter::PackedFileWriter(PackedFileWriter &&) = default;
PackedFileWriter::~PackedFileWriter() = default;

Expected<PackedFileWriter> PackedFileWriter::create(StringRef path) {
  Expected<TempFile> data = createBeside(path);
  if (!data)
    return data.takeError();
  return PackedFileWriter(std::make_unique<State>(path, std::move(*data)));
}

Error PackedFileWriter::addPacked(StringRef key, const PackedMatrix &packed,
                                  int32_t bits, int64_t stack) {
  PackedEntry entry;
  entry.kind = PackedEntry::Kind::Codes;
  entry.layout = packed.layout;
  entry.stack = stack;
  entry.bits = bits;
  if (!state->keys.insert(key).second)
    return createStringError("weight '" + key + "' is packed twice");
  entry.maxRowSum = packed.maxRowSum;
  entry.codes = state->write<uint8_t>(packed.codes);
  entry.scales = state->write<float>(packed.scales);
  entry.columnMax = state->write<int32_t>(packed.columnMax);
  state->entries.push_back({key.str(), std::move(entry)});
  return state->checkStream();
}

static Error checkShape(StringRef key, const RoundedMatrix &matrix) {
  if (matrix.layout().isValid())
    return Error::success();
  return createStringError("weight '" + key + "' has an invalid shape");
}

Error PackedFileWriter::addCodes(StringRef key, const RoundedMatrix &matrix) {
  if (Error failure = checkShape(key, matrix))
    return failure;
  return addPacked(key, packMatrix(matrix), matrix.bits, /*stack=*/0);
}

Error PackedFileWriter::addStack(
    StringRef key, int64_t count,
    function_ref<Expected<RoundedMatrix>(int64_t)> next) {
  std::vector<RoundedMatrix> matrices;
  bool zeroPoints = true;
  for (int64_t i = 0; i < count; ++i) {
    Expected<RoundedMatrix> matrix = next(i);
    if (!matrix)
      return matrix.takeError();
    if (Error failure = checkShape(key, *matrix))
      return failure;
    zeroPoints &= !matrix->zeroPoints.empty();
    matrices.push_back(std::move(*matrix));
  }
  PackedMatrix stack;
  for (RoundedMatrix &matrix : matrices) {
    // All in one form; offsets are there in any case.
    if (!zeroPoints)
      matrix.zeroPoints.clear();
    stack.append(packMatrix(matrix));
  }
  return addPacked(key, stack, matrices.empty() ? 0 : matrices[0].bits, count);
}

Error PackedFileWriter::addRaw(StringRef key, StringRef type,
                               ArrayRef<int64_t> shape,
                               ArrayRef<uint8_t> bytes) {
  PackedEntry entry;
  entry.type = type.str();
  entry.shape = shape.vec();
  if (PackedFormat::elementBytes(type) == 0)
    return createStringError("array '" + key + "' has the unknown type '" +
                             type + "'");
  if (entry.blobsAndSizes().front().second != bytes.size())
    return createStringError("array '" + key +
                             "' has a shape that does not match its bytes");
  if (!state->keys.insert(key).second)
    return createStringError("array '" + key + "' is packed twice");
  entry.raw = state->write(bytes);
  state->entries.push_back({key.str(), std::move(entry)});
  return state->checkStream();
}

Error PackedFileWriter::addF32(StringRef key, ArrayRef<int64_t> shape,
                               ArrayRef<float> values) {
  return addRaw(key, "f32", shape,
                {reinterpret_cast<const uint8_t *>(values.data()),
                 values.size() * sizeof(float)});
}

//===----------------------------------------------------------------------===//
// Finishing
//===----------------------------------------------------------------------===//

static json::Object blobToJson(PackedBlob blob, uint64_t dataOffset) {
  return json::Object{
      {"offset", static_cast<int64_t>(blob.offset + dataOffset)},
      {"bytes", static_cast<int64_t>(blob.bytes)}};
}

static json::Object entryToJson(const PackedEntry &entry, uint64_t dataOffset) {
  if (entry.kind == PackedEntry::Kind::Raw) {
    json::Object object = blobToJson(entry.raw, dataOffset);
    object["kind"] = entry.type;
    object["shape"] = json::Array(entry.shape);
    return object;
  }
  json::Object object{
      {"kind", "codes"},
      {"bits", entry.bits},
      {"group", entry.layout.group},
      {"n", entry.layout.n},
      {"k", entry.layout.k},
      {"container", entry.layout.container},
      {"offset_bits", entry.layout.offsetBits},
      {"max_row_sum", entry.maxRowSum},
      {"blobs",
       json::Object{{"codes", blobToJson(entry.codes, dataOffset)},
                    {"scales", blobToJson(entry.scales, dataOffset)},
                    {"column_max", blobToJson(entry.columnMax, dataOffset)}}}};
  if (entry.stack)
    object["stack"] = entry.stack;
  return object;
}

using KeyedEntries = std::vector<std::pair<std::string, PackedEntry>>;

static std::string indexText(const KeyedEntries &entries, uint64_t dataOffset) {
  json::Object list;
  for (const auto &[key, entry] : entries)
    list[key] = entryToJson(entry, dataOffset);
  std::string text;
  raw_string_ostream(text) << json::Value(
      json::Object{{"entries", std::move(list)}});
  return text;
}

/// The index holds offsets that depend on its own length: grow the data offset
/// until the index fits before it. Offsets only get longer, so this ends.
static std::pair<std::string, uint64_t>
layOutIndex(const KeyedEntries &entries) {
  uint64_t dataOffset = PackedFormat::headerBytes;
  while (true) {
    std::string text = indexText(entries, dataOffset);
    uint64_t needed = alignTo(PackedFormat::headerBytes + text.size(),
                              PackedFormat::alignment);
    if (needed <= dataOffset)
      return {std::move(text), dataOffset};
    dataOffset = needed;
  }
}

static std::string headerText(uint64_t indexBytes, uint64_t dataOffset,
                              uint64_t fileBytes, uint64_t checksum) {
  std::string header = PackedFormat::magic.str();
  header.resize(PackedFormat::headerBytes, '\0');
  support::endian::write32le(&header[8], PackedFormat::version);
  support::endian::write64le(&header[16], indexBytes);
  support::endian::write64le(&header[24], dataOffset);
  support::endian::write64le(&header[32], fileBytes);
  support::endian::write64le(&header[40], checksum);
  return header;
}

/// Writes everything but a valid header. The file is written in long pieces out
/// of memory that is there: only then does Linux keep it in pages of 2 MiB, and
/// with small ones decoding takes up to a third longer.
static std::error_code writeBody(int fd, StringRef index, uint64_t dataOffset,
                                 StringRef data) {
  constexpr size_t bufferBytes = size_t{8} << 20, pieceBytes = size_t{1} << 20;
  raw_fd_ostream out(fd, /*shouldClose=*/false);
  out.SetBufferSize(bufferBytes);
  out.write_zeros(PackedFormat::headerBytes);
  out << index;
  out.write_zeros(dataOffset - PackedFormat::headerBytes - index.size());
  // A piece longer than the buffer would be written past it.
  for (; !data.empty();
       data = data.drop_front(std::min(pieceBytes, data.size())))
    out << data.take_front(pieceBytes);
  out.flush();
  std::error_code code = out.error();
  out.clear_error();
  return code;
}

static std::error_code writeHeader(int fd, uint64_t indexBytes,
                                   uint64_t dataOffset, uint64_t fileBytes,
                                   uint64_t checksum) {
  raw_fd_ostream out(fd, /*shouldClose=*/false);
  out.seek(0);
  out << headerText(indexBytes, dataOffset, fileBytes, checksum);
  out.flush();
  std::error_code code = out.error();
  out.clear_error();
  return code;
}

static ErrorOr<std::unique_ptr<MemoryBuffer>> mapFile(const TempFile &file) {
  return MemoryBuffer::getFile(file.TmpName, /*IsText=*/false,
                               /*RequiresNullTerminator=*/false);
}

/// Builds the complete file under its temporary name.
static std::error_code assemble(const TempFile &data, const TempFile &final,
                                const KeyedEntries &entries) {
  auto [index, dataOffset] = layOutIndex(entries);
  ErrorOr<std::unique_ptr<MemoryBuffer>> blobs = mapFile(data);
  if (!blobs)
    return blobs.getError();
  if (std::error_code code =
          writeBody(final.FD, index, dataOffset, (*blobs)->getBuffer()))
    return code;
  ErrorOr<std::unique_ptr<MemoryBuffer>> written = mapFile(final);
  if (!written)
    return written.getError();
  StringRef all = (*written)->getBuffer();
  uint64_t checksum = xxh3_64bits(all.drop_front(PackedFormat::headerBytes));
  return writeHeader(final.FD, index.size(), dataOffset, all.size(), checksum);
}

Error PackedFileWriter::finish() {
  state->stream.flush();
  if (Error failure = state->checkStream())
    return failure;
  Expected<TempFile> final = createBeside(state->path);
  if (!final)
    return final.takeError();
  if (std::error_code code = assemble(state->data, *final, state->entries)) {
    consumeError(final->discard());
    return createStringError("cannot write '" + state->path +
                             "': " + code.message());
  }
  // A failing `keep` removes the temporary file itself.
  if (Error failure = final->keep(state->path))
    return createStringError("cannot write '" + state->path +
                             "': " + toString(std::move(failure)));
  return Error::success();
}
