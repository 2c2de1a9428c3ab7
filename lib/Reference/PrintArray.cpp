//===- PrintArray.cpp - arrays as text -----------------------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Reference/Npz.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/Format.h"

using namespace llvm;

namespace spikequant {

static void printValue(float value, raw_ostream &os) {
  os << format("%.9g", value);
}
static void printValue(double value, raw_ostream &os) {
  os << format("%.17g", value);
}
template <typename T> static void printValue(T value, raw_ostream &os) {
  os << (std::is_signed_v<T> ? Twine(int64_t(value)) : Twine(uint64_t(value)));
}

template <typename T>
static void printValues(const NpyArray &array, raw_ostream &os) {
  for (T value : array.values<T>()) {
    os << ' ';
    printValue(value, os);
  }
}

void printArray(const NpyArray &array, raw_ostream &os) {
  os << array.describe() << ":";
  auto print =
      StringSwitch<void (*)(const NpyArray &, raw_ostream &)>(array.type)
          .Case("f4", printValues<float>)
          .Case("f8", printValues<double>)
          .Case("i1", printValues<int8_t>)
          .Case("i2", printValues<int16_t>)
          .Case("i4", printValues<int32_t>)
          .Case("i8", printValues<int64_t>)
          .Cases("u1", "b1", printValues<uint8_t>)
          .Cases("u2", "f2", "V2", printValues<uint16_t>)
          .Case("u4", printValues<uint32_t>)
          .Default(printValues<uint64_t>);
  print(array, os);
  os << "\n";
}

} // namespace spikequant
