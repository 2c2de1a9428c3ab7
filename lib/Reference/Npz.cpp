//===- Npz.cpp - NumPy's archives of arrays ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The container is libzip's; the header of a member is
//   "\x93NUMPY" major minor, u16 (major 1) or u32 length, then a Python
//   dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
//
//===----------------------------------------------------------------------===//

#include "spikequant/Reference/Npz.h"

#include "spikequant/Kernel/PackedCounts.h"
#include "spikequant/Support/OutputFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/Errc.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/raw_ostream.h"

#include <zip.h>

using namespace llvm;

namespace spikequant {

static constexpr StringLiteral npyMagic("\x93NUMPY");
/// Larger arrays do not occur; a damaged header must not ask for more.
static constexpr int64_t maxBytes = int64_t(1) << 40;

int64_t NpyArray::elements() const {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

std::string describeNpyType(StringRef type) {
  StringRef kind = StringSwitch<StringRef>(type.take_front(1))
                       .Case("f", "float")
                       .Case("i", "int")
                       .Case("u", "uint")
                       .Case("b", "bool")
                       .Default("");
  if (kind == "bool" || kind.empty())
    return kind.empty() ? type.str() : kind.str();
  return (kind + Twine(8 * (type[1] - '0'))).str();
}

std::string NpyArray::describe() const {
  std::string text = describeNpyType(type) + "[";
  for (auto [index, size] : enumerate(shape))
    text += (index ? ", " : "") + std::to_string(size);
  return text + "]";
}

//===----------------------------------------------------------------------===//
// Member header
//===----------------------------------------------------------------------===//

/// The text between the quotes or after the colon of a dictionary entry.
static std::string getField(StringRef header, StringRef pattern) {
  SmallVector<StringRef> groups;
  return Regex(pattern).match(header, &groups) ? groups[1].str() : "";
}

static Expected<std::vector<int64_t>> parseShape(StringRef text) {
  std::vector<int64_t> shape;
  int64_t elements = 1;
  SmallVector<StringRef> sizes;
  text.split(sizes, ',', -1, /*KeepEmpty=*/false);
  for (StringRef size : sizes) {
    size = size.trim(" L");
    int64_t value;
    if (size.empty())
      continue;
    if (size.getAsInteger(10, value) || value < 0 || value > maxBytes ||
        MulOverflow(elements, value, elements) || elements > maxBytes)
      return createStringError("has a damaged shape");
    shape.push_back(value);
  }
  return shape;
}

static Error parseHeader(StringRef header, NpyArray &array) {
  std::string type = getField(header, "'descr': *'([^']*)'");
  std::string shape = getField(header, "'shape': *\\(([0-9L, ]*)\\)");
  std::string order = getField(header, "'fortran_order': *(True|False)");
  if (type.size() < 2 || order.empty())
    return createStringError("has a damaged header");
  bool bigEndian = type[0] == '>';
  array.type = type.substr(StringRef("<>|=").contains(type[0]) ? 1 : 0);
  if (bigEndian || !is_contained({"f2", "f4", "f8", "i1", "i2", "i4", "i8",
                                  "u1", "u2", "u4", "u8", "b1", "V2"},
                                 array.type))
    return createStringError("has type '" + type +
                             "', which is not supported; convert it with "
                             "astype to a little-endian number type");
  Expected<std::vector<int64_t>> sizes = parseShape(shape);
  if (!sizes)
    return sizes.takeError();
  array.shape = std::move(*sizes);
  if (order == "True" && array.shape.size() > 1)
    return createStringError("is in Fortran order; save "
                             "numpy.ascontiguousarray of it");
  return Error::success();
}

Expected<NpyArray> parseNpy(StringRef bytes) {
  if (!bytes.consume_front(npyMagic) || bytes.size() < 6)
    return createStringError("is no .npy array");
  bool wide = bytes[0] >= 2;
  uint64_t length = wide ? support::endian::read32le(bytes.data() + 2)
                         : support::endian::read16le(bytes.data() + 2);
  uint64_t start = wide ? 6 : 4;
  if (bytes.size() < start + length)
    return createStringError("is cut short");
  NpyArray array;
  if (Error failure = parseHeader(bytes.substr(start, length), array))
    return std::move(failure);
  StringRef data = bytes.drop_front(start + length);
  if (data.size() != uint64_t(array.elements() * array.elementBytes()))
    return createStringError("has " + Twine(data.size()) +
                             " bytes of data instead of " +
                             Twine(array.elements() * array.elementBytes()));
  array.data.assign(data.begin(), data.end());
  return array;
}

static std::string createHeader(const NpyArray &array) {
  std::string shape;
  for (int64_t size : array.shape)
    shape += std::to_string(size) + ", ";
  if (array.shape.size() > 1)
    shape.resize(shape.size() - 2);
  bool noOrder = array.elementBytes() == 1 || array.type == "V2";
  std::string text =
      "{'descr': '" + std::string(noOrder ? "|" : "<") + array.type +
      "', 'fortran_order': False, 'shape': (" +
      (array.shape.size() == 1 ? shape.substr(0, shape.size() - 1) : shape) +
      "), }";
  uint64_t prefix = npyMagic.size() + 4;
  text.append(alignTo(prefix + text.size() + 1, 64) - prefix - text.size() - 1,
              ' ');
  text += '\n';
  char length[2];
  support::endian::write16le(length, text.size());
  return npyMagic.str() + '\x01' + '\0' + std::string(length, 2) + text;
}

//===----------------------------------------------------------------------===//
// Archive
//===----------------------------------------------------------------------===//

namespace {
struct CloseZip {
  void operator()(zip_t *archive) const { zip_discard(archive); }
};
using ZipHandle = std::unique_ptr<zip_t, CloseZip>;
} // namespace

static Expected<ZipHandle> openZip(const std::string &path, int flags) {
  int code = 0;
  if (zip_t *archive = zip_open(path.c_str(), flags, &code))
    return ZipHandle(archive);
  zip_error_t details;
  zip_error_init_with_code(&details, code);
  std::string message = zip_error_strerror(&details);
  zip_error_fini(&details);
  return createStringError("cannot open '" + path + "' as .npz: " + message);
}

static Expected<std::string> readMember(zip_t *archive, uint64_t index,
                                        const zip_stat_t &info,
                                        uint64_t fileBytes) {
  // Deflate cannot shrink more: a larger size is a damaged one.
  constexpr uint64_t bestRatio = 1040;
  if (info.comp_size > fileBytes || info.size > fileBytes * bestRatio ||
      info.size > uint64_t(maxBytes))
    return createStringError("is damaged: it claims " + Twine(info.size) +
                             " bytes");
  std::string bytes(info.size, '\0');
  zip_file_t *file = zip_fopen_index(archive, index, 0);
  int64_t got = file ? zip_fread(file, bytes.data(), bytes.size()) : -1;
  // The checksum is verified when the end is read.
  bool bad = got != int64_t(bytes.size());
  char extra;
  if (!bad)
    bad = zip_fread(file, &extra, 1) != 0;
  if (file)
    zip_fclose(file);
  if (bad)
    return createStringError("is damaged or cut short");
  return bytes;
}

/// Packed counts, which are arrays of bytes to NumPy, as the counts they are.
static Expected<NpyArray> unpackIfCounts(NpyArray array) {
  ArrayRef<uint8_t> bytes = array.values<uint8_t>();
  if (array.type != "u1" || array.shape.size() != 1 ||
      !isPackedCounts(bytes.data(), bytes.size()))
    return array;
  CountArray counts;
  std::string reason;
  if (!unpackCounts(bytes.data(), bytes.size(), counts, reason))
    return createStringError("holds damaged packed counts: " + reason);
  NpyArray result;
  result.type = "i2";
  result.shape.assign(counts.shape.begin(), counts.shape.end());
  const auto *begin = reinterpret_cast<const char *>(counts.counts.data());
  result.data.assign(begin, begin + counts.counts.size() * sizeof(int16_t));
  return result;
}

Expected<NpzArrays> readNpz(StringRef path) {
  Expected<ZipHandle> archive = openZip(path.str(), ZIP_RDONLY);
  if (!archive)
    return archive.takeError();
  uint64_t fileBytes = 0;
  if (std::error_code code = sys::fs::file_size(path, fileBytes))
    return createStringError(code, "cannot read '" + path + "'");
  NpzArrays arrays;
  int64_t count = zip_get_num_entries(archive->get(), 0);
  for (int64_t index = 0; index < count; ++index) {
    zip_stat_t info;
    if (zip_stat_index(archive->get(), index, 0, &info) != 0)
      return createStringError("'" + path + "' is damaged");
    StringRef name(info.name);
    Expected<std::string> bytes =
        readMember(archive->get(), index, info, fileBytes);
    Expected<NpyArray> array =
        bytes ? parseNpy(*bytes) : Expected<NpyArray>(bytes.takeError());
    if (array)
      array = unpackIfCounts(std::move(*array));
    if (!array)
      return createStringError("array '" + name + "' in '" + path + "' " +
                               toString(array.takeError()));
    name.consume_back(".npy");
    arrays[name.str()] = std::move(*array);
  }
  return arrays;
}

/// Adds a member whose bytes must live until the archive is closed.
static bool addMember(zip_t *archive, const std::string &name,
                      const std::vector<char> &bytes) {
  zip_source_t *source =
      zip_source_buffer(archive, bytes.data(), bytes.size(), 0);
  int64_t index =
      source ? zip_file_add(archive, name.c_str(), source, ZIP_FL_OVERWRITE)
             : -1;
  if (index < 0) {
    zip_source_free(source);
    return false;
  }
  return zip_set_file_compression(archive, index, ZIP_CM_STORE, 0) == 0;
}

/// A zip file without members: libzip would write no file at all.
static Error writeEmptyArchive(StringRef path) {
  return writeOutputFile(path, [](raw_ostream &out) {
    out << StringRef("PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
  });
}

Error writeNpz(StringRef path, const NpzArrays &arrays) {
  if (sys::fs::exists(path) && !sys::fs::is_regular_file(path))
    return createStringError("'" + path +
                             "' is no file that can be replaced; give another "
                             "name");
  SmallString<256> temporary;
  sys::fs::createUniquePath(path + ".%%%%%%%%.tmp", temporary, false);
  Expected<ZipHandle> archive =
      openZip(temporary.str().str(), ZIP_CREATE | ZIP_EXCL);
  if (!archive)
    return archive.takeError();
  std::vector<std::vector<char>> members;
  members.reserve(arrays.size());
  auto fail = [&] {
    std::string message = zip_strerror(archive->get());
    sys::fs::remove(temporary);
    return createStringError("cannot write '" + path + "': " + message);
  };
  for (const auto &[name, array] : arrays) {
    std::string header = createHeader(array);
    std::vector<char> &bytes = members.emplace_back();
    bytes.reserve(header.size() + array.data.size());
    bytes.assign(header.begin(), header.end());
    bytes.insert(bytes.end(), array.data.begin(), array.data.end());
    if (!addMember(archive->get(), name + ".npy", bytes))
      return fail();
  }
  if (zip_close(archive->get()) != 0)
    return fail();
  archive->release();
  if (arrays.empty()) // libzip writes no file for an empty archive
    if (Error failure = writeEmptyArchive(temporary))
      return failure;
  if (std::error_code code = sys::fs::rename(temporary, path)) {
    sys::fs::remove(temporary);
    return createStringError(code, "cannot write '" + path + "'");
  }
  return Error::success();
}

} // namespace spikequant
