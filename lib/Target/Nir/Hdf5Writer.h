//===- Hdf5Writer.h - HDF5 files in memory ----------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_TARGET_NIR_HDF5WRITER_H
#define SPIKEQUANT_LIB_TARGET_NIR_HDF5WRITER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>

namespace spikequant {

/// A handle of the C library (hid_t) with its closing function.
class Hdf5Handle {
public:
  using Close = int (*)(int64_t);
  Hdf5Handle(int64_t id, Close close) : id(id), close(close) {}
  Hdf5Handle(Hdf5Handle &&other) : id(other.id), close(other.close) {
    other.id = -1;
  }
  Hdf5Handle(const Hdf5Handle &) = delete;
  Hdf5Handle &operator=(const Hdf5Handle &) = delete;
  ~Hdf5Handle() {
    if (id >= 0)
      close(id);
  }
  int64_t get() const { return id; }

private:
  int64_t id;
  Close close;
};

/// A file that lives in memory until it is written to a stream. The same
/// content gives the same bytes: no times are stored. Groups are paths
/// ("node/nodes/n0"), parents are created as needed. The first failure of the
/// library is kept and returned by `finish`.
class Hdf5Writer {
public:
  Hdf5Writer();

  void group(llvm::StringRef path);
  void text(llvm::StringRef path, llvm::StringRef value);
  void texts(llvm::StringRef path,
             llvm::ArrayRef<llvm::ArrayRef<llvm::StringRef>> rows);
  void reals(llvm::StringRef path, llvm::ArrayRef<int64_t> shape,
             llvm::ArrayRef<float> values);
  void integers(llvm::StringRef path, llvm::ArrayRef<int64_t> values);
  /// NumPy's bool: an enumeration of FALSE and TRUE.
  void booleans(llvm::StringRef path, llvm::ArrayRef<int64_t> shape,
                llvm::ArrayRef<int8_t> values);
  void attribute(llvm::StringRef path, llvm::StringRef name,
                 llvm::StringRef value);
  void attribute(llvm::StringRef path, llvm::StringRef name, double value);

  llvm::Error finish(llvm::raw_ostream &os);

private:
  void dataset(llvm::StringRef path, int64_t type,
               llvm::ArrayRef<int64_t> shape, const void *data);
  void attribute(llvm::StringRef path, llvm::StringRef name, int64_t type,
                 const void *data);
  Hdf5Handle check(int64_t id, Hdf5Handle::Close close);

  bool failed = false;
  Hdf5Handle file;
  Hdf5Handle links; ///< Property list: create parents.
};

} // namespace spikequant

#endif // SPIKEQUANT_LIB_TARGET_NIR_HDF5WRITER_H
