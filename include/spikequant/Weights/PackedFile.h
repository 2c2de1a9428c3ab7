//===- PackedFile.h - the packed weights file -------------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Reading and writing `weights.sqw`, specified in docs/PackedWeights.md: a
/// 64-byte header, a JSON index, and 64-byte aligned blobs that are used in
/// place from a memory map.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_PACKEDFILE_H
#define SPIKEQUANT_WEIGHTS_PACKEDFILE_H

#include "spikequant/Kernel/PackedCodes.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

#include <memory>
#include <string>
#include <vector>

namespace spikequant {

/// Fixed numbers of the format.
struct PackedFormat {
  static constexpr llvm::StringLiteral magic{"SQWEIGHT"};
  static constexpr uint32_t version = 2;
  static constexpr uint64_t headerBytes = 64;
  static constexpr uint64_t alignment = 64;

  /// Bytes per element of a raw array's type ("f64", "f32", "f16", "bf16",
  /// "i8", "u8", "i16", "i32", "i64"); 0 for any other name.
  static uint64_t elementBytes(llvm::StringRef type);
};

/// A byte range of the file.
struct PackedBlob {
  uint64_t offset = 0; ///< From the start of the file, a multiple of 64.
  uint64_t bytes = 0;
};

/// One entry of the index: either packed codes or a raw typed array.
struct PackedEntry {
  enum class Kind { Raw, Codes };
  Kind kind = Kind::Raw;

  // Raw arrays.
  std::string type;           ///< Element type, see PackedFormat::elementBytes.
  std::vector<int64_t> shape; ///< Row-major.
  PackedBlob raw;

  // Packed codes.
  PackedLayout layout; ///< Of one matrix.
  /// Matrices one after the other in every blob but columnMax, which, like
  /// maxRowSum, holds for all of them; 0 if there is one that is no stack.
  int64_t stack = 0;
  int32_t bits = 0;      ///< 2..8, as many as the container's.
  int64_t maxRowSum = 0; ///< R = max_o sum_j |W_oj|.
  PackedBlob codes;      ///< Multipliers and offsets too: see PackedLayout.
  PackedBlob scales;     ///< f32 [nPadded]
  PackedBlob columnMax;  ///< i32 [k], max_o |W_oj|

  int64_t matrices() const { return stack ? stack : 1; }
  /// All blobs with the sizes that the entry's shape demands.
  std::vector<std::pair<PackedBlob, uint64_t>> blobsAndSizes() const;
};

/// A packed file, memory-mapped and checked: every blob lies inside the file,
/// is aligned, has the size that its shape demands, and overlaps no other.
class PackedFile {
public:
  /// \param verifyChecksum reads the whole file; without it, a change inside a
  /// blob goes unnoticed (it changes values but no address).
  static llvm::Expected<PackedFile> open(llvm::StringRef path,
                                         bool verifyChecksum);
  /// The same for a file that is already in memory, aligned to 64 bytes.
  static llvm::Expected<PackedFile>
  fromBuffer(std::unique_ptr<llvm::MemoryBuffer> buffer, bool verifyChecksum);

  /// Keys, sorted.
  std::vector<std::string> keys() const;
  /// nullptr if there is no such entry.
  const PackedEntry *find(llvm::StringRef key) const;

  /// Start of the file: what blob offsets count from.
  const uint8_t *base() const;
  uint64_t fileBytes() const { return buffer->getBufferSize(); }
  llvm::ArrayRef<uint8_t> bytes(PackedBlob blob) const;

  /// Accessors of an entry of kind Codes; `number` is the matrix of a stack.
  PackedCodes codes(const PackedEntry &entry, int64_t number = 0) const;
  llvm::ArrayRef<float> scales(const PackedEntry &entry) const;
  llvm::ArrayRef<int32_t> columnMax(const PackedEntry &entry) const;

private:
  PackedFile() = default;
  llvm::Error readHeader(bool verifyChecksum);
  llvm::Error readIndex();
  llvm::Error checkBlobs() const;
  llvm::Error error(const llvm::Twine &message) const;

  std::unique_ptr<llvm::MemoryBuffer> buffer;
  uint64_t indexBytes = 0;
  uint64_t dataOffset = 0;
  llvm::StringMap<PackedEntry> entries;
};

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_PACKEDFILE_H
