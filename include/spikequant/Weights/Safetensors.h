//===- Safetensors.h - reading safetensors files ----------------*- C++ -*-===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A memory-mapped safetensors file: u64 header length, a JSON header
/// {name: {dtype, shape, data_offsets}}, then the tensors' bytes. The header is
/// checked completely when the file is opened: sizes, order and the absence of
/// overlaps and holes, as the format demands.
///
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_WEIGHTS_SAFETENSORS_H
#define SPIKEQUANT_WEIGHTS_SAFETENSORS_H

#include "spikequant/Weights/Rotation.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/MemoryBuffer.h"

#include <memory>
#include <string>
#include <vector>

namespace spikequant {

/// What the header says about one tensor.
struct TensorInfo {
  std::string dtype;          ///< As in the file: "F32", "BF16", "I64", ..
  std::vector<int64_t> shape; ///< Row-major; empty for a scalar.
  uint64_t begin = 0;         ///< Byte range within the file.
  uint64_t end = 0;

  int64_t elements() const;
};

/// A tensor's values as f32: a view of the file, or a converted copy.
class F32Tensor {
public:
  // Moving keeps the view valid; copying would not.
  F32Tensor(F32Tensor &&) = default;
  F32Tensor &operator=(F32Tensor &&) = default;

  llvm::ArrayRef<float> values() const { return view; }
  llvm::ArrayRef<int64_t> shape() const { return dimensions; }
  /// True if values() points into the file.
  bool isView() const { return storage.empty(); }

private:
  friend class SafetensorsFile;
  F32Tensor() = default;
  std::vector<float> storage;
  llvm::ArrayRef<float> view;
  std::vector<int64_t> dimensions;
};

class SafetensorsFile {
public:
  /// Maps and checks a file. Errors name the file and the tensor.
  static llvm::Expected<SafetensorsFile> open(llvm::StringRef path);
  /// The same for a file that is already in memory; its identifier names it.
  static llvm::Expected<SafetensorsFile>
  fromBuffer(std::unique_ptr<llvm::MemoryBuffer> buffer);

  /// Tensor names, sorted.
  std::vector<std::string> names() const;
  /// nullptr if there is no such tensor.
  const TensorInfo *find(llvm::StringRef name) const;
  /// The bytes of a tensor of this file.
  llvm::ArrayRef<uint8_t> bytes(const TensorInfo &info) const;
  /// F32 (a view where aligned, else a copy), F16 and BF16 (a copy, exact).
  /// An error for other types and for names that the file does not have.
  /// A view is valid as long as this file object.
  /// Its rotations, if any, are applied to a copy.
  llvm::Expected<F32Tensor> tensorF32(llvm::StringRef name) const;

  /// From now on tensorF32 gives this tensor with some of its channels rotated
  /// (after the rotations that were added before).
  void addRotation(llvm::StringRef name, const ChannelRotation &rotation) {
    rotations[name].push_back(rotation);
  }

private:
  SafetensorsFile() = default;
  llvm::Error readHeader();
  llvm::Error checkCoverage() const;
  llvm::Error error(const llvm::Twine &message) const;
  llvm::Error rotate(llvm::StringRef name, F32Tensor &tensor) const;

  std::unique_ptr<llvm::MemoryBuffer> buffer;
  uint64_t dataBegin = 0;
  llvm::StringMap<TensorInfo> tensors;
  llvm::StringMap<std::vector<ChannelRotation>> rotations;
};

} // namespace spikequant

#endif // SPIKEQUANT_WEIGHTS_SAFETENSORS_H
