//===- FuzzNpz.cpp - any bytes as an .npz archive and as an .npy array ----===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FuzzSupport.h"

#include "spikequant/Reference/Npz.h"

#include <sys/mman.h>
#include <unistd.h>

using namespace spikequant;

static void check(const NpyArray &array) {
  if (array.data.size() != size_t(array.elements() * array.elementBytes()))
    __builtin_trap();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // An archive's checksums keep damage from the arrays: they are read alone.
  auto array = parseNpy({reinterpret_cast<const char *>(data), size});
  if (!isRefused(array))
    check(*array);
  int file = memfd_create("fuzz", 0);
  if (file < 0 || write(file, data, size) != ssize_t(size))
    __builtin_trap();
  auto arrays = readNpz("/proc/self/fd/" + std::to_string(file));
  close(file);
  if (!isRefused(arrays))
    for (const auto &[name, member] : *arrays)
      check(member);
  return 0;
}
