//===- Recorder.cpp - arrays that a running program shows ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Reference/Recorder.h"
#include "spikequant/Runtime/spikequant.h"

#include <algorithm>

namespace spikequant {

llvm::StringRef getNpyType(int32_t elementType) {
  switch (elementType) {
  case SQ_F32:
    return "f4";
  case SQ_I16:
    return "i2";
  case SQ_I64:
    return "i8";
  case SQ_I32:
    return "i4";
  case SQ_I8:
    return "i1";
  case SQ_I1:
    return "b1";
  case SQ_F64:
    return "f8";
  case SQ_F16:
    return "f2";
  case SQ_BF16:
    return "V2";
  case SQ_U8:
    return "u1";
  case SQ_U16:
    return "u2";
  case SQ_U32:
    return "u4";
  case SQ_U64:
    return "u8";
  }
  return "";
}

void Recorder::record(int64_t site, const void *data, int32_t elementType,
                      int64_t rows, int64_t channels) {
  const std::string &name = sites[site];
  std::string type = getNpyType(elementType).str();
  auto [entry, isNew] = arrays.try_emplace(name);
  NpyArray &array = entry->second;
  if (isNew) {
    array.type = type;
    array.shape = {0, channels};
  }
  if (array.type != type || array.shape[1] != channels) {
    problem = "site '" + name + "' showed arrays of different widths or types";
    return;
  }
  if (rowLimit > 0)
    rows = std::min(rows, rowLimit);
  const char *bytes = static_cast<const char *>(data);
  array.data.insert(array.data.end(), bytes,
                    bytes + rows * channels * array.elementBytes());
  array.shape[0] += rows;
}

llvm::Expected<NpzArrays> Recorder::take() {
  if (!problem.empty())
    return llvm::createStringError(problem);
  return std::move(arrays);
}

} // namespace spikequant
