//===- ProductSteps.cpp - steps of the factors of products ----------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductSteps.h"

#include "spikequant/Calibration/Statistics.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "llvm/ADT/SmallPtrSet.h"

#include <cmath>
#include <set>

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

/// Rows of so many numerators are rounded differently by key. In shorter ones
/// what rounding to nearest drops is little, and its errors are smaller.
static constexpr int64_t kSpreadKeys = 128;

namespace {

/// Magnitudes of all channels: how many values have about which one.
struct Magnitudes {
  std::vector<std::pair<double, double>> bins;
  double largest = 0;
};

} // namespace

static Magnitudes collectMagnitudes(const sq::SiteStatistics &site) {
  Magnitudes result;
  for (uint32_t j = 0; j < site.getChannels(); ++j)
    result.largest = std::max<double>(result.largest, site.getMaxAbs(j));
  for (unsigned bin = 0; bin <= sq::magnitude::hugeBin; ++bin) {
    double count = 0;
    for (uint32_t j = 0; j < site.getChannels(); ++j)
      count += site.getCount(j, bin);
    double lower = sq::magnitude::lowerEdge(bin);
    double upper = sq::magnitude::upperEdge(bin);
    // The bin of the largest value stands for it.
    double value = upper > result.largest ? std::max(lower, result.largest)
                                          : (lower + upper) / 2;
    if (count > 0)
      result.bins.push_back({value, count});
  }
  return result;
}

/// Sum of squared errors of counts that saturate at `window`.
static double getError(const Magnitudes &magnitudes, double step,
                       double window) {
  double error = 0;
  for (auto [value, count] : magnitudes.bins) {
    double excess = value - (window + 0.5) * step;
    // Below half a step the count is 0 and the value itself is the error.
    double inside = value < step / 2 ? value * value : step * step / 12;
    double outside = value - window * step;
    error += count * (excess > 0 ? outside * outside : inside);
  }
  return error;
}

/// From the step that holds the largest value down, the one with least error.
static float chooseStep(const Magnitudes &magnitudes, unsigned bits) {
  double window = (1 << (bits - 1)) - 1;
  double widest = magnitudes.largest > 0 ? magnitudes.largest / window : 1;
  double best = widest, least = getError(magnitudes, widest, window);
  for (double step = widest; step > widest / 64; step *= 0.97) {
    double error = getError(magnitudes, step, window);
    if (error < least) {
      least = error;
      best = step;
    }
  }
  auto result = static_cast<float>(best);
  return std::isnormal(result) && std::isnormal(1 / result) ? result : 1.0f;
}

FailureOr<ProductSteps> mlir::spikequant::chooseProductSteps(
    ModuleOp module, const FunctionProducts &products, StringRef calibration,
    const ProductOptions &options) {
  auto data = sq::loadSharedCalibration(calibration);
  if (!data)
    return emitError(module.getLoc()) << llvm::toString(data.takeError());
  ProductSteps steps;
  for (const auto &[function, list] : products)
    for (const Product &product : list)
      for (const ProductOperand &operand : product.operands) {
        if (operand.isNumerators) {
          auto type = cast<RankedTensorType>(operand.source.getType());
          auto &step =
              steps.try_emplace(operand.name, ProductStep{1.0f / 255.0f, 8})
                  .first->second;
          step.spread |= type.getShape().back() >= kSpreadKeys;
          continue;
        }
        if (steps.count(operand.name))
          continue;
        unsigned bits = operand.insertion ? options.stateBits : options.bits;
        if (const sq::SiteStatistics *site = (*data)->findSite(operand.name))
          steps[operand.name] = {chooseStep(collectMagnitudes(*site), bits),
                                 bits};
      }
  return steps;
}

//===----------------------------------------------------------------------===//
// Consistency
//===----------------------------------------------------------------------===//

/// The products that read `value`, moved or not.
static void collectReaders(Value value, SmallVectorImpl<Operation *> &readers) {
  for (Operation *user : value.getUsers()) {
    if (user->hasAttr(kProductAttr))
      readers.push_back(user);
    else if (getMovedValue(user) == value)
      collectReaders(user->getResult(0), readers);
  }
}

/// How a product gets its operands: must be alike in all graphs.
static std::string describe(const Product &product) {
  std::string text = product.name;
  for (const ProductOperand &operand : product.operands)
    text += operand.isNumerators ? " numerators"
            : operand.insertion  ? " state"
                                 : " array";
  return text;
}

namespace {
class Consistency {
public:
  Consistency(
      FunctionProducts &products, const ProductSteps &steps,
      function_ref<void(func::FuncOp, linalg::LinalgOp, StringRef)> leave)
      : products(products), steps(steps), leave(leave) {}

  void run() {
    while (dropSome())
      ;
  }

private:
  bool dropSome();
  std::string getReason(const Product &product,
                        const llvm::SmallPtrSetImpl<Operation *> &kept);
  FunctionProducts &products;
  const ProductSteps &steps;
  function_ref<void(func::FuncOp, linalg::LinalgOp, StringRef)> leave;
};
} // namespace

std::string
Consistency::getReason(const Product &product,
                       const llvm::SmallPtrSetImpl<Operation *> &kept) {
  for (const ProductOperand &operand : product.operands) {
    if (!steps.count(operand.name))
      return "the calibration has no '" + operand.name + "': calibrate again";
    if (!operand.insertion)
      continue;
    SmallVector<Operation *> readers;
    collectReaders(tensor::InsertSliceOp(operand.insertion).getResult(),
                   readers);
    if (!llvm::all_of(readers,
                      [&](Operation *op) { return kept.contains(op); }))
      return "a product that stays real reads the same state";
  }
  // Of the graphs that have this product, all must agree.
  for (const auto &[function, list] : products)
    for (const Product &other : list)
      if (other.name == product.name && describe(other) != describe(product))
        return "another graph gets its operands otherwise";
  return "";
}

bool Consistency::dropSome() {
  llvm::SmallPtrSet<Operation *, 32> kept;
  for (auto &[function, list] : products)
    for (Product &product : list)
      kept.insert(product.op);
  std::set<std::string> dropped;
  for (auto &[function, list] : products)
    for (Product &product : list)
      if (std::string reason = getReason(product, kept); !reason.empty()) {
        leave(function, product.op, reason);
        dropped.insert(product.name);
      }
  for (auto &[function, list] : products)
    llvm::erase_if(list, [&](const Product &product) {
      return dropped.count(product.name) > 0;
    });
  return !dropped.empty();
}

void mlir::spikequant::keepConsistent(
    FunctionProducts &products, const ProductSteps &steps,
    function_ref<void(func::FuncOp, linalg::LinalgOp, StringRef)> leave) {
  Consistency(products, steps, leave).run();
}
