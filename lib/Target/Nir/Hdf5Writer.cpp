//===- Hdf5Writer.cpp - HDF5 files in memory ------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Hdf5Writer.h"

#include "llvm/ADT/SmallVector.h"

#include <algorithm>
#include <cstring>
#include <hdf5.h>
#include <string>
#include <vector>

using namespace llvm;
using namespace spikequant;

static_assert(std::is_same_v<hid_t, int64_t>, "HDF5 1.10 or newer");

/// Files grow in memory by this many bytes.
static constexpr size_t growth = 1 << 20;

static Hdf5Handle createFile() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); // Failures are returned, not
                                               // printed.
  Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_fapl_core(access.get(), growth, /*backing_store=*/0);
  return {H5Fcreate("spikequant", H5F_ACC_TRUNC, H5P_DEFAULT, access.get()),
          H5Fclose};
}

static Hdf5Handle createLinks() {
  Hdf5Handle links(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  H5Pset_create_intermediate_group(links.get(), 1);
  return links;
}

static Hdf5Handle textType(size_t length) {
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), std::max<size_t>(length, 1));
  return type;
}

Hdf5Writer::Hdf5Writer() : file(createFile()), links(createLinks()) {
  failed = file.get() < 0 || links.get() < 0;
}

Hdf5Handle Hdf5Writer::check(int64_t id, Hdf5Handle::Close close) {
  failed |= id < 0;
  return {id, close};
}

void Hdf5Writer::group(StringRef path) {
  check(H5Gcreate2(file.get(), path.str().c_str(), links.get(), H5P_DEFAULT,
                   H5P_DEFAULT),
        H5Gclose);
}

void Hdf5Writer::dataset(StringRef path, int64_t type, ArrayRef<int64_t> shape,
                         const void *data) {
  SmallVector<hsize_t> extents(shape.begin(), shape.end());
  Hdf5Handle space =
      extents.empty()
          ? check(H5Screate(H5S_SCALAR), H5Sclose)
          : check(H5Screate_simple(extents.size(), extents.data(), nullptr),
                  H5Sclose);
  Hdf5Handle creation = check(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_obj_track_times(creation.get(), false);
  Hdf5Handle set =
      check(H5Dcreate2(file.get(), path.str().c_str(), type, space.get(),
                       links.get(), creation.get(), H5P_DEFAULT),
            H5Dclose);
  failed |= H5Dwrite(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0;
}

void Hdf5Writer::text(StringRef path, StringRef value) {
  dataset(path, textType(value.size()).get(), {}, value.str().c_str());
}

void Hdf5Writer::texts(StringRef path, ArrayRef<ArrayRef<StringRef>> rows) {
  size_t width = 1, columns = rows.empty() ? 0 : rows[0].size();
  for (ArrayRef<StringRef> row : rows)
    for (StringRef cell : row)
      width = std::max(width, cell.size());
  std::string cells(rows.size() * columns * width, '\0');
  char *place = cells.data();
  for (ArrayRef<StringRef> row : rows)
    for (StringRef cell : row) {
      std::copy(cell.begin(), cell.end(), place);
      place += width;
    }
  dataset(path, textType(width).get(), {int64_t(rows.size()), int64_t(columns)},
          cells.data());
}

void Hdf5Writer::reals(StringRef path, ArrayRef<int64_t> shape,
                       ArrayRef<float> values) {
  dataset(path, H5T_NATIVE_FLOAT, shape, values.data());
}

void Hdf5Writer::integers(StringRef path, ArrayRef<int64_t> values) {
  dataset(path, H5T_NATIVE_INT64, {int64_t(values.size())}, values.data());
}

void Hdf5Writer::booleans(StringRef path, ArrayRef<int64_t> shape,
                          ArrayRef<int8_t> values) {
  Hdf5Handle type = check(H5Tenum_create(H5T_NATIVE_INT8), H5Tclose);
  for (auto [name, value] :
       {std::pair("FALSE", int8_t(0)), std::pair("TRUE", int8_t(1))})
    H5Tenum_insert(type.get(), name, &value);
  dataset(path, type.get(), shape, values.data());
}

void Hdf5Writer::attribute(StringRef path, StringRef name, int64_t type,
                           const void *data) {
  Hdf5Handle space = check(H5Screate(H5S_SCALAR), H5Sclose);
  Hdf5Handle entry =
      check(H5Acreate_by_name(file.get(), path.str().c_str(),
                              name.str().c_str(), type, space.get(),
                              H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
            H5Aclose);
  failed |= H5Awrite(entry.get(), type, data) < 0;
}

void Hdf5Writer::attribute(StringRef path, StringRef name, StringRef value) {
  // Variable length: readers of fixed-length attributes get bytes, not text.
  Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  std::string copy = value.str();
  const char *pointer = copy.c_str();
  attribute(path, name, type.get(), &pointer);
}

void Hdf5Writer::attribute(StringRef path, StringRef name, double value) {
  attribute(path, name, H5T_NATIVE_DOUBLE, &value);
}

Error Hdf5Writer::finish(raw_ostream &os) {
  failed |= H5Fflush(file.get(), H5F_SCOPE_LOCAL) < 0;
  ssize_t bytes = failed ? -1 : H5Fget_file_image(file.get(), nullptr, 0);
  std::vector<char> image(std::max<ssize_t>(bytes, 0));
  if (bytes < 0 ||
      H5Fget_file_image(file.get(), image.data(), image.size()) != bytes)
    return createStringError("the HDF5 library failed to build the file");
  os.write(image.data(), image.size());
  return Error::success();
}
