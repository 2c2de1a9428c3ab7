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

/// Adds values times `gain`.
static void addMagnitudes(const sq::SiteStatistics &site,
                          ArrayRef<uint32_t> channels, double gain,
                          Magnitudes &result) {
  double largest = 0;
  for (uint32_t j : channels)
    largest = std::max<double>(largest, site.getMaxAbs(j));
  result.largest = std::max(result.largest, largest * gain);
  for (unsigned bin = 0; bin <= sq::magnitude::hugeBin; ++bin) {
    double count = 0;
    for (uint32_t j : channels)
      count += site.getCount(j, bin);
    double lower = sq::magnitude::lowerEdge(bin);
    double upper = sq::magnitude::upperEdge(bin);
    // The bin of the largest value stands for it.
    double value =
        upper > largest ? std::max(lower, largest) : (lower + upper) / 2;
    if (count > 0)
      result.bins.push_back({value * gain, count});
  }
}

/// Of values times gains, one per channel or per so many times the channels;
/// without any, of the values.
static Magnitudes collectMagnitudes(const sq::SiteStatistics &site,
                                    ArrayRef<float> gains) {
  Magnitudes result;
  uint32_t channels = site.getChannels();
  // Channels with nearly equal gains count together.
  std::map<int, std::vector<uint32_t>> groups;
  for (auto [j, gain] : llvm::enumerate(gains))
    groups[int(std::lround(8 * std::log2(gain)))].push_back(j % channels);
  if (gains.empty())
    for (uint32_t j = 0; j < channels; ++j)
      groups[0].push_back(j);
  for (auto &[octaves, members] : groups)
    addMagnitudes(site, members, std::exp2(octaves / 8.0), result);
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

//===----------------------------------------------------------------------===//
// A step per channel
//===----------------------------------------------------------------------===//

namespace {

/// Values of one channel: how many are about where.
struct ChannelValues {
  std::vector<std::pair<double, double>> bins;
  double least = 0, most = 0;
};

struct CentredStep {
  double step, centre;
};

} // namespace

static ChannelValues collectValues(const sq::SiteStatistics &site,
                                   uint32_t channel) {
  ChannelValues values;
  double largest = site.getMaxAbs(channel);
  for (unsigned bin = 0; bin <= sq::magnitude::hugeBin; ++bin) {
    double negative = site.getNegativeCount(channel, bin);
    double positive = site.getCount(channel, bin) - negative;
    double lower = sq::magnitude::lowerEdge(bin);
    double upper = std::min<double>(sq::magnitude::upperEdge(bin), largest);
    // The bin of the largest value stands for it.
    double value = upper < largest ? (lower + upper) / 2 : largest;
    if (positive > 0) {
      values.bins.push_back({value, positive});
      values.most = std::max(values.most, upper);
    }
    if (negative > 0) {
      values.bins.push_back({-value, negative});
      values.least = std::min(values.least, -upper);
    }
  }
  return values;
}

/// Sum of the fourth powers of the errors. Squares would clip more: rare large
/// keys, those of the first token above all, are what every query looks at.
static double getFourthPowers(const ChannelValues &values, CentredStep at,
                              double window) {
  double spread = std::pow(at.step, 4) / 80, error = 0;
  for (auto [value, count] : values.bins) {
    double distance = std::abs(value - at.centre);
    double excess = distance - window * at.step;
    bool isSilent = at.centre == 0 && distance < at.step / 2;
    error += count * (isSilent               ? std::pow(distance, 4)
                      : excess > at.step / 2 ? std::pow(excess, 4)
                                             : spread);
  }
  return error;
}

/// The step, and a centre about the middle of the values if there may be one.
static CentredStep chooseCentredStep(const ChannelValues &values, double window,
                                     bool centred) {
  double middle = (values.least + values.most) / 2;
  double half = (values.most - values.least) / 2;
  std::optional<CentredStep> best;
  double least = 0;
  for (int place = centred ? -3 : 0; place <= (centred ? 3 : 0); ++place) {
    double centre = centred ? middle + place * half / 10 : 0;
    double reach = std::max(values.most - centre, centre - values.least);
    for (double part = 1; part > 0.3; part *= 0.96) {
      CentredStep at{reach * part / window, centre};
      double error = getFourthPowers(values, at, window);
      if (best && !(error < least))
        continue;
      best = at;
      least = error;
    }
  }
  return *best;
}

namespace {

/// Steps of the two operands of one product, one of them in a state.
class ChannelSteps {
public:
  ChannelSteps(const Product &product, const ChannelPairing &pairing,
               const sq::CalibrationData &data, const ProductOptions &options)
      : product(product), pairing(pairing), data(data), options(options) {}

  /// Whether both have statistics.
  bool choose(ProductSteps &steps);

private:
  ProductStep chooseHeld(const sq::SiteStatistics &site);
  ProductStep chooseOther(const sq::SiteStatistics &site);

  const Product &product;
  const ChannelPairing &pairing;
  const sq::CalibrationData &data;
  const ProductOptions &options;
  std::vector<float> gains; ///< of the held channels
};

} // namespace

/// Statistics of channels for all heads alike serve each of them.
ProductStep ChannelSteps::chooseHeld(const sq::SiteStatistics &site) {
  double window = (1 << (options.stateBits - 1)) - 1;
  bool centred = pairing.shiftable && site.hasSigns();
  std::vector<CentredStep> chosen;
  for (uint32_t c = 0; c < site.getChannels(); ++c)
    chosen.push_back(
        chooseCentredStep(collectValues(site, c), window, centred));
  double largest = 0;
  for (const CentredStep &channel : chosen)
    largest = std::max(largest, channel.step);
  largest = largest > 0 ? largest : 1;
  ProductStep result{float(largest), options.stateBits};
  for (int64_t c = 0; c < pairing.heldChannels; ++c) {
    const CentredStep &channel = chosen[c % site.getChannels()];
    // Gains beyond 2^10 would be for channels that are as good as 0.
    gains.push_back(float(largest / std::max(channel.step, largest / 1024)));
    if (centred)
      result.centres.push_back(float(channel.centre));
  }
  result.gains = gains;
  return result;
}

ProductStep ChannelSteps::chooseOther(const sq::SiteStatistics &site) {
  ProductStep result{1.0f, options.bits};
  for (int64_t partner : pairing.partners)
    result.gains.push_back(1.0f / gains[partner]);
  result.step = chooseStep(collectMagnitudes(site, result.gains), result.bits);
  return result;
}

bool ChannelSteps::choose(ProductSteps &steps) {
  const ProductOperand &held = product.operands[pairing.held];
  const ProductOperand &other = product.operands[1 - pairing.held];
  const sq::SiteStatistics *heldSite = data.findSite(held.name);
  const sq::SiteStatistics *otherSite = data.findSite(other.name);
  auto fits = [](const sq::SiteStatistics *site, int64_t channels) {
    return site && channels % site->getChannels() == 0;
  };
  if (!fits(heldSite, pairing.heldChannels) ||
      (pairing.contracted &&
       !fits(otherSite, static_cast<int64_t>(pairing.partners.size()))))
    return false;
  steps[held.name] = chooseHeld(*heldSite);
  if (pairing.contracted) {
    steps[other.name] = chooseOther(*otherSite);
    return true;
  }
  ProductScale scale{pairing, {}};
  for (int64_t partner : pairing.partners)
    scale.factors.push_back(1.0f / gains[partner]);
  steps.scales[product.name] = std::move(scale);
  return true;
}

/// Pairings by product, of those that all graphs pair alike.
static std::map<std::string, std::pair<const Product *, ChannelPairing>>
collectPairings(const FunctionProducts &products) {
  std::map<std::string, std::pair<const Product *, ChannelPairing>> pairings;
  std::set<std::string> refused;
  for (const auto &[function, list] : products)
    for (const Product &product : list) {
      auto pairing = pairChannels(product, list);
      auto known = pairings.find(product.name);
      if (!pairing ||
          (known != pairings.end() && !(known->second.second == *pairing)))
        refused.insert(product.name);
      else
        pairings.try_emplace(product.name, &product, *pairing);
    }
  for (const std::string &name : refused)
    pairings.erase(name);
  return pairings;
}

/// Of numerators: steps of 1/255.
static void addNumerators(const ProductOperand &operand, ProductSteps &steps) {
  auto type = cast<RankedTensorType>(operand.source.getType());
  auto &step = steps.try_emplace(operand.name, ProductStep{1.0f / 255.0f, 8})
                   .first->second;
  step.spread |= type.getShape().back() >= kSpreadKeys;
}

FailureOr<ProductSteps> mlir::spikequant::chooseProductSteps(
    ModuleOp module, const FunctionProducts &products, StringRef calibration,
    const ProductOptions &options) {
  auto data = sq::loadSharedCalibration(calibration);
  if (!data)
    return emitError(module.getLoc()) << llvm::toString(data.takeError());
  ProductSteps steps;
  if (options.stateBits < 8)
    for (auto &[name, entry] : collectPairings(products))
      ChannelSteps(*entry.first, entry.second, **data, options).choose(steps);
  for (const auto &[function, list] : products)
    for (const Product &product : list)
      for (const ProductOperand &operand : product.operands) {
        if (operand.isNumerators) {
          addNumerators(operand, steps);
          continue;
        }
        if (steps.count(operand.name))
          continue;
        unsigned bits = operand.insertion ? options.stateBits : options.bits;
        if (const sq::SiteStatistics *site = (*data)->findSite(operand.name))
          steps[operand.name] = {chooseStep(collectMagnitudes(*site, {}), bits),
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
