//===- Npz.h - NumPy's archives of arrays ------------------------*- C++
//-*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Reading and writing `.npz`: a zip file whose members `name.npy` are arrays.
/// Member names are used without the suffix. Arrays are little endian,
/// row-major.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_REFERENCE_NPZ_H
#define SPIKEQUANT_REFERENCE_NPZ_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace spikequant {

/// One array. `type` is NumPy's name without the byte order: f4 f8 f2 i1 i2 i4
/// i8 u1 u2 u4 u8 b1 (V2: two bytes without meaning, bf16).
struct NpyArray {
  std::string type;
  std::vector<int64_t> shape;
  std::vector<char> data;

  /// Bytes per element.
  int64_t elementBytes() const { return type.back() - '0'; }
  int64_t elements() const;
  template <typename T> llvm::ArrayRef<T> values() const {
    return {reinterpret_cast<const T *>(data.data()), data.size() / sizeof(T)};
  }
  /// "float32[2, 3]", as NumPy names it.
  std::string describe() const;
};

/// NumPy's word for a type name, "f4" -> "float32".
std::string describeNpyType(llvm::StringRef type);

using NpzArrays = std::map<std::string, NpyArray>;

/// The contents of an .npy file. Errors continue "array 'x' ..".
llvm::Expected<NpyArray> parseNpy(llvm::StringRef bytes);

/// Errors name the file and the array: no zip file, a damaged member, a type or
/// an order (Fortran) that is not supported.
/// Packed counts (PackedCounts.h) become the i2 array that they are.
llvm::Expected<NpzArrays> readNpz(llvm::StringRef path);

/// Replaces `path` only when everything is written.
llvm::Error writeNpz(llvm::StringRef path, const NpzArrays &arrays);

/// All values on one line, "int16[2]: 1 -7"; reals with the digits that
/// distinguish them. f2 and V2 are printed as bit patterns.
void printArray(const NpyArray &array, llvm::raw_ostream &os);

} // namespace spikequant

#endif // SPIKEQUANT_REFERENCE_NPZ_H
