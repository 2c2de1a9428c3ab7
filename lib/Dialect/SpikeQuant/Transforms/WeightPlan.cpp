//===- WeightPlan.cpp - a format for each matrix of weights ---------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Dialect/SpikeQuant/Transforms/WeightPlan.h"

#include "MatrixReader.h"
#include "RemarkLocation.h"
#include "mlir/IR/Remarks.h"
#include "spikequant/Allocation/WeightProblem.h"
#include "spikequant/Calibration/Statistics.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/Contractions.h"
#include "spikequant/Dialect/SpikeQuant/Transforms/WeightSymbols.h"
#include "spikequant/Weights/Rounding.h"
#include "llvm/Support/FormatVariadic.h"

#include <optional>
#include <set>

using namespace mlir;
using namespace mlir::spikequant;
namespace sq = ::spikequant;

/// Rows that the error of a format is estimated from.
static constexpr int64_t sampledRows = 48;

std::string mlir::spikequant::getWeightPlanKey(StringRef symbol,
                                               const WeightView &view) {
  return (symbol + view.getBoxName()).str();
}

double mlir::spikequant::getStoredBits(unsigned bits, int64_t group,
                                       int64_t channels, bool symmetric) {
  double common = bits + 32.0 / double(channels);
  if (symmetric)
    return common;
  return common + 16.0 / double(group ? std::min(group, channels) : channels);
}

namespace {

/// A matrix [N, K], or a stack of them as one with all rows.
struct Matrix {
  std::string key, input;
  Location loc;
  WeightsOp weights;
  WeightView view;
  std::vector<float> values;
  std::vector<float> importance; ///< Empty: all 1.

  int64_t getChannels() const { return view.getSize(view.getRank() - 1); }
  int64_t getRows() const { return values.size() / getChannels(); }
  sq::MatrixView getView() const {
    return sq::MatrixView::rowMajor(values.data(), getRows(), getChannels());
  }
};

class WeightPlanner {
public:
  WeightPlanner(ModuleOp module, const llvm::StringSet<> &heads,
                const WeightBudget &budget)
      : module(module), heads(heads), budget(budget), reader(module) {}

  FailureOr<WeightPlan> run();

private:
  LogicalResult open();
  void collect();
  LogicalResult read(Matrix &matrix);
  LogicalResult addImportance(Matrix &matrix);
  FailureOr<sq::WeightSite> makeSite(const Matrix &matrix);
  double getFactor(const Matrix &matrix, double energy) const;
  WeightPlan makePlan(const sq::WeightProblem &problem,
                      const sq::WeightSolution &solution);

  ModuleOp module;
  const llvm::StringSet<> &heads;
  const WeightBudget &budget;
  MatrixReader reader;
  std::shared_ptr<const sq::CalibrationData> calibration;
  std::vector<Matrix> matrices;
  llvm::StringMap<double> squares; ///< |W|^2 of all readers, by input.
};

} // namespace

LogicalResult WeightPlanner::open() {
  if (!budget.weights.empty())
    if (llvm::Error error = reader.open(budget.weights))
      return emitError(module.getLoc()) << llvm::toString(std::move(error));
  if (budget.calibration.empty())
    return success();
  auto loaded = sq::loadSharedCalibration(budget.calibration);
  if (!loaded)
    return emitError(module.getLoc()) << llvm::toString(loaded.takeError());
  calibration = std::move(*loaded);
  return success();
}

/// Sites share their encode site's name only within a function.
void WeightPlanner::collect() {
  std::set<std::string> known;
  for (auto function : module.getOps<func::FuncOp>()) {
    RowForms forms;
    std::vector<std::string> inputs;
    for (Site site : getNamedSites(function)) {
      auto [number, isNew] = forms.insert(site.activation);
      if (isNew)
        inputs.push_back(getEncodeSiteName(site.op));
      std::string key = getWeightPlanKey(site.getSymbol(), site.codes);
      if (!heads.contains(site.getSymbol()) && known.insert(key).second)
        matrices.push_back({key,
                            inputs[number],
                            site.op.getLoc(),
                            lookupWeights(module, site.getSymbol()),
                            site.codes,
                            {},
                            {}});
    }
  }
  // The answer must not depend on the order of graphs.
  llvm::sort(matrices,
             [](const Matrix &a, const Matrix &b) { return a.key < b.key; });
}

LogicalResult WeightPlanner::read(Matrix &matrix) {
  auto values = reader.read(matrix.weights, matrix.view);
  if (!values)
    return emitError(matrix.loc)
           << "a budget of weight bits: " << llvm::toString(values.takeError());
  matrix.values = std::move(*values);
  return success();
}

LogicalResult WeightPlanner::addImportance(Matrix &matrix) {
  if (!calibration)
    return success();
  const sq::SiteStatistics *site = calibration->findSite(matrix.input);
  if (!site || site->getChannels() != matrix.getChannels())
    return emitError(matrix.loc)
           << "calibration file '" << budget.calibration << "' has no site '"
           << matrix.input << "' of " << matrix.getChannels()
           << " channels; calibrate this model again";
  for (uint32_t c = 0; c < site->getChannels(); ++c)
    matrix.importance.push_back(float(site->getMeanSquare(c)));
  return success();
}

/// What an error of the outputs costs per unit of their square.
double WeightPlanner::getFactor(const Matrix &matrix, double energy) const {
  const sq::SiteStatistics *site =
      calibration ? calibration->findSite(matrix.input) : nullptr;
  std::optional<double> sensitivity;
  if (site)
    sensitivity = site->getSensitivity();
  double square = squares.lookup(matrix.input);
  if (sensitivity && square > 0)
    return *sensitivity * double(matrix.getChannels()) / square;
  return energy > 0 ? 1.0 / energy : 0.0;
}

FailureOr<sq::WeightSite> WeightPlanner::makeSite(const Matrix &matrix) {
  int64_t channels = matrix.getChannels();
  sq::WeightSite site{matrix.key, int64_t(matrix.values.size()), {}};
  for (unsigned bits : {2, 3, 4, 5, 6, 8})
    for (int64_t group : {16, 32, 64, 128, 0}) {
      if (group >= channels)
        continue; // As one group for the row.
      sq::RoundingOptions options;
      options.bits = int32_t(bits);
      options.group = group ? group : channels;
      auto estimate =
          sq::estimateFormatError(matrix.getView(), options, matrix.importance,
                                  matrix.key, sampledRows);
      if (!estimate)
        return emitError(matrix.loc) << llvm::toString(estimate.takeError());
      double factor = getFactor(matrix, estimate->energy);
      site.options.push_back({int32_t(bits), group,
                              getStoredBits(bits, group, channels),
                              factor * estimate->error});
    }
  return site;
}

WeightPlan WeightPlanner::makePlan(const sq::WeightProblem &problem,
                                   const sq::WeightSolution &solution) {
  WeightPlan plan;
  for (auto [matrix, site, choice] :
       llvm::zip_equal(matrices, problem.sites, solution.choices)) {
    const sq::WeightOption &option = site.options[choice];
    plan[matrix.key] = {unsigned(option.bits), unsigned(option.group)};
    std::string group = option.group
                            ? llvm::formatv("groups of {0}", option.group).str()
                            : "one group per row";
    std::string why = llvm::formatv(
        "{0} bits, {1}: {2:f2} stored bits per weight, predicted loss {3:e3}",
        option.bits, group, option.storedBits, option.loss);
    remark::passed(getRemarkLocation(matrix.loc),
                   remark::RemarkOpts::name("weight-format")
                       .category("spikequant-quantize"))
        << remark::add("weights '{0}': {1}", matrix.key, why);
  }
  return plan;
}

FailureOr<WeightPlan> WeightPlanner::run() {
  if (failed(open()))
    return failure();
  collect();
  for (Matrix &matrix : matrices) {
    if (failed(read(matrix)) || failed(addImportance(matrix)))
      return failure();
    for (float value : matrix.values)
      squares[matrix.input] += double(value) * double(value);
  }
  sq::WeightProblem problem;
  problem.meanBits = budget.meanBits;
  for (const Matrix &matrix : matrices) {
    FailureOr<sq::WeightSite> site = makeSite(matrix);
    if (failed(site))
      return failure();
    problem.sites.push_back(std::move(*site));
  }
  if (problem.sites.empty())
    return WeightPlan();
  auto solution = sq::solve(problem);
  if (!solution)
    return emitError(module.getLoc()) << "choosing weight formats: "
                                      << llvm::toString(solution.takeError());
  return makePlan(problem, *solution);
}

FailureOr<WeightPlan>
mlir::spikequant::planWeights(ModuleOp module, const llvm::StringSet<> &heads,
                              const WeightBudget &budget) {
  return WeightPlanner(module, heads, budget).run();
}
