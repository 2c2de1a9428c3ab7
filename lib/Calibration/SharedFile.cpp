//===- SharedFile.cpp - one reading of a calibration file for many --------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Calibration/Statistics.h"

#include "llvm/Support/FileSystem.h"

#include <map>
#include <mutex>

using namespace llvm;
using namespace spikequant;

namespace {
/// Which file, and which contents of it as far as its status tells.
using Key = std::tuple<uint64_t, uint64_t, int64_t, uint64_t>;
struct Shared {
  std::mutex mutex;
  std::map<Key, std::weak_ptr<const CalibrationData>> files;
};
} // namespace

static Shared &getShared() {
  static Shared shared;
  return shared;
}

Expected<std::shared_ptr<const CalibrationData>>
spikequant::loadSharedCalibration(StringRef path) {
  sys::fs::file_status status;
  bool known = !sys::fs::status(path, status);
  Key key;
  if (known) {
    sys::fs::UniqueID id = status.getUniqueID();
    int64_t time = status.getLastModificationTime().time_since_epoch().count();
    key = {id.getDevice(), id.getFile(), time, status.getSize()};
  }
  std::lock_guard<std::mutex> lock(getShared().mutex);
  if (known)
    if (auto held = getShared().files[key].lock())
      return held;
  Expected<CalibrationData> data = loadCalibration(path);
  if (!data)
    return data.takeError();
  auto held = std::make_shared<const CalibrationData>(std::move(*data));
  if (known)
    getShared().files[key] = held;
  return held;
}
