//===- ExpandMathTest.cpp - accuracy of the strict float profile ---------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The IR that spikequant-expand-math makes is compiled and compared with the C
// library's long double functions, in units in the last place of f32, over
// floats of all magnitudes. The limits are those of docs/FloatProfile.md.
//
//===----------------------------------------------------------------------===//

#include "spikequant/Conversion/Passes.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/TargetSelect.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

const char *const kUnary[] = {"exp",  "exp2",  "expm1", "log",  "log1p",
                              "log2", "log10", "tanh",  "erf",  "sin",
                              "cos",  "rsqrt", "cbrt",  "round"};

std::string getSource() {
  std::string text;
  for (StringRef name : kUnary)
    text += ("func.func @sq_" + name + "(%x: f32) -> f32 {\n %y = math." +
             name + " %x fastmath<fast> : f32\n return %y : f32\n}\n")
                .str();
  text += "func.func @sq_powf(%x: f32, %y: f32) -> f32 {\n"
          " %z = math.powf %x, %y : f32\n return %z : f32\n}\n";
  return text;
}

class ExpandMath : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    DialectRegistry registry;
    registerAllDialects(registry);
    registerAllExtensions(registry);
    registerAllToLLVMIRTranslations(registry);
    context = std::make_unique<MLIRContext>(registry);
    auto module = parseSourceString<ModuleOp>(getSource(), context.get());
    PassManager pm(context.get());
    pm.addPass(spikequant::createExpandMath());
    pm.addPass(createConvertMathToLLVMPass());
    pm.addPass(createArithToLLVMConversionPass());
    pm.addPass(createConvertFuncToLLVMPass());
    pm.addPass(createReconcileUnrealizedCastsPass());
    ASSERT_TRUE(module && succeeded(pm.run(*module)));
    auto created = ExecutionEngine::create(*module);
    ASSERT_TRUE(bool(created));
    engine = std::move(*created);
  }
  static void TearDownTestSuite() {
    engine.reset();
    context.reset();
  }

  static float (*unary(const std::string &name))(float) {
    return reinterpret_cast<float (*)(float)>(
        llvm::cantFail(engine->lookup("sq_" + name)));
  }
  static float (*power())(float, float) {
    return reinterpret_cast<float (*)(float, float)>(
        llvm::cantFail(engine->lookup("sq_powf")));
  }

  static std::unique_ptr<MLIRContext> context;
  static std::unique_ptr<ExecutionEngine> engine;
};
std::unique_ptr<MLIRContext> ExpandMath::context;
std::unique_ptr<ExecutionEngine> ExpandMath::engine;

/// Distance in units in the last place of the exact value; infinity counts as
/// 2^128. A wrong NaN is infinitely far.
double ulps(float value, long double exact) {
  if (std::isnan(value) || std::isnan(exact))
    return std::isnan(value) && std::isnan(exact) ? 0 : kInf;
  constexpr long double limit = 0x1p128L;
  if (std::isinf(value) && std::fabs(exact) >= limit)
    return std::signbit(value) == std::signbit(exact) ? 0 : kInf;
  long double v = std::isinf(value) ? std::copysign(limit, value) : value;
  int exponent = exact == 0 ? -126 : std::max(std::ilogb(exact), -126);
  return std::fabs(v - exact) / std::ldexp(1.0L, std::min(exponent, 127) - 23);
}

/// Largest error over floats of both signs with |x| <= limit: every 1999th of
/// them, so about two million.
void expectAccuracy(float (*function)(float), long double (*exact)(long double),
                    double limit,
                    float maximum = std::numeric_limits<float>::max()) {
  double worst = 0;
  float where = 0;
  for (uint32_t bits = 0; bits <= llvm::bit_cast<uint32_t>(maximum);
       bits += 1999)
    for (float x :
         {llvm::bit_cast<float>(bits), -llvm::bit_cast<float>(bits)}) {
      double error = ulps(function(x), exact(x));
      if (error > worst) {
        worst = error;
        where = x;
      }
    }
  ::testing::Test::RecordProperty("ulps", std::to_string(worst));
  EXPECT_LE(worst, limit) << "at " << where << ": " << function(where)
                          << " instead of " << double(exact(where));
}

/// Equal as values and in the sign of zero, or both NaN.
void expectSame(float value, float expected) {
  if (std::isnan(expected))
    EXPECT_TRUE(std::isnan(value)) << value;
  else
    EXPECT_TRUE(value == expected &&
                std::signbit(value) == std::signbit(expected))
        << value << " instead of " << expected;
}

} // namespace

TEST_F(ExpandMath, Exp) {
  expectAccuracy(unary("exp"), std::exp, 1.0);
  auto f = unary("exp");
  expectSame(f(0.0f), 1);
  expectSame(f(-0.0f), 1);
  expectSame(f(kInf), kInf);
  expectSame(f(-kInf), 0);
  expectSame(f(kNaN), kNaN);
  expectSame(f(0x1.62e42ep+6f), std::exp(0x1.62e42ep+6L)); // largest finite
  expectSame(f(0x1.62e43p+6f), kInf);
  expectSame(f(-0x1.9fe368p+6f), 0x1p-149f); // smallest subnormal
  expectSame(f(-0x1.9fe36ap+6f), 0);
}

TEST_F(ExpandMath, Exp2) {
  expectAccuracy(unary("exp2"), std::exp2, 1.0);
  auto f = unary("exp2");
  for (int k = -149; k < 128; ++k)
    expectSame(f(k), std::ldexp(1.0f, k));
  expectSame(f(128), kInf);
  expectSame(f(kInf), kInf);
  expectSame(f(-kInf), 0);
  expectSame(f(kNaN), kNaN);
}

TEST_F(ExpandMath, ExpM1) {
  expectAccuracy(unary("expm1"), std::expm1, 1.5);
  auto f = unary("expm1");
  expectSame(f(-0.0f), -0.0f);
  expectSame(f(0x1p-149f), 0x1p-149f);
  expectSame(f(kInf), kInf);
  expectSame(f(-kInf), -1);
  expectSame(f(kNaN), kNaN);
}

TEST_F(ExpandMath, Log) {
  expectAccuracy(unary("log"), std::log, 1.0);
  auto f = unary("log");
  expectSame(f(1), 0);
  expectSame(f(0), -kInf);
  expectSame(f(-0.0f), -kInf);
  expectSame(f(-1), kNaN);
  expectSame(f(-kInf), kNaN);
  expectSame(f(kInf), kInf);
  expectSame(f(kNaN), kNaN);
}

TEST_F(ExpandMath, Log1p) {
  expectAccuracy(unary("log1p"), std::log1p, 1.0);
  auto f = unary("log1p");
  expectSame(f(-0.0f), -0.0f);
  expectSame(f(-1), -kInf);
  expectSame(f(-1.5f), kNaN);
  expectSame(f(kInf), kInf);
  expectSame(f(kNaN), kNaN);
}

TEST_F(ExpandMath, Log2AndLog10) {
  expectAccuracy(unary("log2"), std::log2, 0.51);
  expectAccuracy(unary("log10"), std::log10, 0.51);
  for (int k = -149; k < 128; ++k)
    expectSame(unary("log2")(std::ldexp(1.0f, k)), k);
  expectSame(unary("log2")(0), -kInf);
  expectSame(unary("log10")(kInf), kInf);
  expectSame(unary("log10")(-1), kNaN);
  expectSame(unary("log10")(kNaN), kNaN);
}

TEST_F(ExpandMath, Tanh) {
  expectAccuracy(unary("tanh"), std::tanh, 1.5);
  auto f = unary("tanh");
  expectSame(f(-0.0f), -0.0f);
  expectSame(f(kInf), 1);
  expectSame(f(-kInf), -1);
  expectSame(f(kNaN), kNaN);
}

TEST_F(ExpandMath, Erf) {
  expectAccuracy(unary("erf"), std::erf, 1.0);
  auto f = unary("erf");
  expectSame(f(-0.0f), -0.0f);
  expectSame(f(kInf), 1);
  expectSame(f(-kInf), -1);
  expectSame(f(kNaN), kNaN);
}

TEST_F(ExpandMath, SinAndCos) {
  expectAccuracy(unary("sin"), std::sin, 1.5, 1e5f);
  expectAccuracy(unary("cos"), std::cos, 1.5, 1e5f);
  for (auto f : {unary("sin"), unary("cos")}) {
    expectSame(f(kInf), kNaN);
    expectSame(f(-kInf), kNaN);
    expectSame(f(kNaN), kNaN);
    for (uint32_t bits = 0; bits < 0x7F800000; bits += 1999)
      EXPECT_LE(std::fabs(f(llvm::bit_cast<float>(bits))), 1.0f);
  }
  expectSame(unary("sin")(-0.0f), -0.0f);
  expectSame(unary("cos")(0), 1);
}

TEST_F(ExpandMath, RsqrtIsTwoRoundings) {
  auto f = unary("rsqrt");
  for (uint32_t bits = 0; bits <= 0x7F800000; bits += 1999)
    expectSame(f(llvm::bit_cast<float>(bits)),
               1.0f / std::sqrt(llvm::bit_cast<float>(bits)));
  expectSame(f(-1), kNaN);
  expectSame(f(-0.0f), -kInf);
}

TEST_F(ExpandMath, Cbrt) {
  expectAccuracy(unary("cbrt"), std::cbrt, 0.51);
  expectSame(unary("cbrt")(-0.0f), -0.0f);
  expectSame(unary("cbrt")(-kInf), -kInf);
  expectSame(unary("cbrt")(kNaN), kNaN);
}

TEST_F(ExpandMath, RoundIsHalfAwayFromZero) {
  auto f = unary("round");
  for (uint32_t bits = 0; bits <= 0x7F800000; bits += 1999)
    for (float x : {llvm::bit_cast<float>(bits), -llvm::bit_cast<float>(bits)})
      expectSame(f(x), std::round(x));
  for (float x : {0.5f, -0.5f, 1.5f, 2.5f, 0x1.fffffep-2f, 8388607.5f})
    expectSame(f(x), std::round(x));
}

TEST_F(ExpandMath, PowAccuracy) {
  auto f = power();
  double worst = 0;
  for (uint32_t bits = 0; bits < 0x7F800000; bits += 999983)
    for (float y : {-40.0f, -3.0f, -0.5f, 1e-3f, 1 / 3.0f, 0.5f, 1.0f, 1.7f,
                    2.0f, 10.0f, 127.5f})
      for (float x : {llvm::bit_cast<float>(bits), 1 + y / 4096}) {
        double error = ulps(f(x, y), std::pow((long double)x, (long double)y));
        worst = std::max(worst, error);
      }
  EXPECT_LE(worst, 0.51);
}

TEST_F(ExpandMath, PowSpecialValues) {
  // Annex F of the C standard lists them; the C library follows it.
  const float values[] = {0.0f,    0.5f,       1.0f, 2.0f,  3.0f,
                          1e30f,   0x1p-149f,  1.5f, 1e10f, kInf,
                          0x1p24f, 8388607.0f, kNaN};
  for (float a : values)
    for (float b : values)
      for (float x : {a, -a})
        for (float y : {b, -b}) {
          SCOPED_TRACE(std::to_string(x) + " to the " + std::to_string(y));
          float exact = std::pow((long double)x, (long double)y);
          if (std::isnormal(exact))
            EXPECT_LE(ulps(power()(x, y), exact), 1);
          else
            expectSame(power()(x, y), exact);
        }
}
