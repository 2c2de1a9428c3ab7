//===- PackedFileWriter.h - writing the packed weights file -----*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_PACKEDFILEWRITER_H
#define SPIKEQUANT_WEIGHTS_PACKEDFILEWRITER_H

#include "spikequant/Weights/PackedFile.h"
#include "spikequant/Weights/Packing.h"
#include "spikequant/Weights/Rounding.h"

#include <memory>

namespace spikequant {

/// Writes a packed file entry by entry, so that one matrix at a time is in
/// memory. Nothing exists under the final name before `finish` renames the
/// complete file; temporary files beside it vanish with the writer, and on a
/// signal. The first error is final.
class PackedFileWriter {
public:
  static llvm::Expected<PackedFileWriter> create(llvm::StringRef path);
  PackedFileWriter(PackedFileWriter &&);
  ~PackedFileWriter();

  /// Adds codes; padding and the bounds are computed here. Keys are unique.
  llvm::Error addCodes(llvm::StringRef key, const RoundedMatrix &matrix);
  /// Adds a stack of `count` matrices of one shape and format, which `next` is
  /// asked for one after the other.
  llvm::Error
  addStack(llvm::StringRef key, int64_t count,
           llvm::function_ref<llvm::Expected<RoundedMatrix>(int64_t)> next);
  /// Adds a row-major array; `type` as in PackedFormat::elementBytes.
  llvm::Error addRaw(llvm::StringRef key, llvm::StringRef type,
                     llvm::ArrayRef<int64_t> shape,
                     llvm::ArrayRef<uint8_t> bytes);
  llvm::Error addF32(llvm::StringRef key, llvm::ArrayRef<int64_t> shape,
                     llvm::ArrayRef<float> values);
  /// Writes header, index and checksum and renames. Call once, last.
  llvm::Error finish();

private:
  llvm::Error addPacked(llvm::StringRef key, const PackedMatrix &packed,
                        int32_t bits, int64_t stack);
  struct State;
  explicit PackedFileWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state;
};

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_PACKEDFILEWRITER_H
