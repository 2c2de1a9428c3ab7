//===- CAPI.cpp - calibration collector for C and ctypes ------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "spikequant/Calibration/CAPI.h"

#include "CAPIErrors.h"

#include "spikequant/Calibration/GramMatrix.h"
#include "spikequant/Calibration/Statistics.h"
#include "spikequant/Runtime/spikequant.h"

#include "llvm/ADT/StringSet.h"

#include <limits>
#include <memory>

using namespace llvm;
using namespace spikequant;

// NOLINTNEXTLINE(readability-identifier-naming)
struct sq_calibration {
  std::vector<SiteStatistics> sites;
  std::vector<GramMatrix> grams; ///< One per site, or none.
  int64_t rowLimit = -1;
  std::string error;
};

/// Errors of functions without a collector.
static std::string &threadError() {
  static thread_local std::string error;
  return error;
}

/// Keeps the first error: later ones are usually its consequences.
static int32_t report(sq_calibration *collector, Error error) {
  std::string message = toString(std::move(error));
  std::string &slot = collector ? collector->error : threadError();
  if (!collector || slot.empty())
    slot = std::move(message);
  return 1;
}

int32_t reportThreadError(Error error) {
  return report(nullptr, std::move(error));
}

static Error createSites(sq_calibration &collector, int32_t count,
                         const char *const *names, const int64_t *channels) {
  if (count < 1 || !names || !channels)
    return createStringError("a collector needs at least one site");
  StringSet<> seen;
  for (int32_t i = 0; i < count; ++i) {
    StringRef name = names[i] ? names[i] : "";
    if (name.empty() || !seen.insert(name).second)
      return createStringError("site %d: the name '%s' is empty or occurs "
                               "twice",
                               i, name.str().c_str());
    if (channels[i] < 1 || channels[i] > std::numeric_limits<int32_t>::max())
      return createStringError("site '%s': %lld channels", name.str().c_str(),
                               (long long)channels[i]);
    collector.sites.emplace_back(name.str(), uint32_t(channels[i]));
  }
  return Error::success();
}

sq_calibration *sq_calibration_create(int32_t count, const char *const *names,
                                      const int64_t *channels) {
  auto collector = std::make_unique<sq_calibration>();
  if (Error error = createSites(*collector, count, names, channels)) {
    report(nullptr, std::move(error));
    return nullptr;
  }
  return collector.release();
}

void sq_calibration_destroy(sq_calibration *collector) { delete collector; }

void sq_calibration_set_rows(sq_calibration *collector, int64_t rows) {
  collector->rowLimit = rows;
}

static Error collectGrams(sq_calibration &collector) {
  for (const SiteStatistics &site : collector.sites) {
    if (site.getRows() != 0)
      return createStringError("Gram matrices miss what was observed before");
    if (site.getChannels() > gram::maxChannels)
      return createStringError("site '%s': %u channels are too many for a Gram "
                               "matrix",
                               site.getName().c_str(), site.getChannels());
  }
  collector.grams.clear();
  for (const SiteStatistics &site : collector.sites)
    collector.grams.emplace_back(site.getName(), site.getChannels());
  return Error::success();
}

int32_t sq_calibration_collect_grams(sq_calibration *collector) {
  Error error = collectGrams(*collector);
  return error ? report(collector, std::move(error)) : 0;
}

/// Rows of `site.getChannels()` values that are real tokens.
static Expected<uint64_t> countRows(const SiteStatistics &site,
                                    int64_t rowLimit, int32_t rank,
                                    const int64_t *shape) {
  if (rank < 1 || shape[rank - 1] != int64_t(site.getChannels()))
    return createStringError(
        "site '%s': observed a value of rank %d with %lld channels, not %u",
        site.getName().c_str(), rank,
        rank < 1 ? 0LL : (long long)shape[rank - 1], site.getChannels());
  int64_t outer = rank == 1 ? 1 : shape[0];
  if (rowLimit >= 0)
    outer = std::min(outer, rowLimit);
  int64_t rows = outer;
  for (int32_t axis = 1; axis < rank - 1; ++axis)
    rows *= shape[axis];
  return uint64_t(std::max<int64_t>(rows, 0));
}

static Error observe(sq_calibration &collector, int32_t index, const void *data,
                     int32_t elementType, int32_t rank, const int64_t *shape) {
  if (index < 0 || size_t(index) >= collector.sites.size())
    return createStringError("observed site %d of %zu", index,
                             collector.sites.size());
  SiteStatistics &site = collector.sites[size_t(index)];
  if (elementType != SQ_F32)
    return createStringError("site '%s': calibration takes f32 values; observe "
                             "the float program",
                             site.getName().c_str());
  Expected<uint64_t> rows = countRows(site, collector.rowLimit, rank, shape);
  if (!rows)
    return rows.takeError();
  auto *values = static_cast<const float *>(data);
  if (!collector.grams.empty())
    if (Error error = collector.grams[size_t(index)].accumulate(values, *rows))
      return error;
  return site.accumulate(values, *rows);
}

void sq_calibration_observe(void *user, int32_t site, const void *data,
                            int32_t elementType, int32_t rank,
                            const int64_t *shape) {
  auto *collector = static_cast<sq_calibration *>(user);
  if (Error error = observe(*collector, site, data, elementType, rank, shape))
    report(collector, std::move(error));
}

int64_t sq_calibration_rows(const sq_calibration *collector, int32_t site) {
  if (site < 0 || size_t(site) >= collector->sites.size())
    return -1;
  return int64_t(collector->sites[size_t(site)].getRows());
}

static Error setSensitivity(sq_calibration &collector, int32_t site,
                            double sensitivity, int64_t rows) {
  if (site < 0 || size_t(site) >= collector.sites.size())
    return createStringError("sensitivity of site %d of %zu", site,
                             collector.sites.size());
  return collector.sites[size_t(site)].setSensitivity(
      sensitivity, uint64_t(std::max<int64_t>(rows, 0)));
}

int32_t sq_calibration_set_sensitivity(sq_calibration *collector, int32_t site,
                                       double sensitivity, int64_t rows) {
  Error error = setSensitivity(*collector, site, sensitivity, rows);
  return error ? report(collector, std::move(error)) : 0;
}

static Error save(const sq_calibration &collector, const char *path) {
  if (!collector.error.empty())
    return createStringError(collector.error);
  CalibrationData data;
  for (const SiteStatistics &site : collector.sites)
    if (Error error = data.addSite(site))
      return error;
  return saveCalibration(data, path);
}

int32_t sq_calibration_save(sq_calibration *collector, const char *path) {
  Error error = save(*collector, path);
  return error ? report(collector, std::move(error)) : 0;
}

static Error saveGramMatrices(const sq_calibration &collector,
                              const char *path) {
  if (!collector.error.empty())
    return createStringError(collector.error);
  if (collector.grams.empty())
    return createStringError("no Gram matrices were collected");
  std::vector<GramFile::Site> sites;
  for (const GramMatrix &gram : collector.grams)
    sites.push_back({gram.getName(), gram.view()});
  return saveGrams(sites, path);
}

int32_t sq_calibration_save_grams(sq_calibration *collector, const char *path) {
  Error error = saveGramMatrices(*collector, path);
  return error ? report(collector, std::move(error)) : 0;
}

static Error load(sq_calibration &collector, const char *path) {
  if (!collector.grams.empty())
    return createStringError("%s: cannot be added to a collector of Gram "
                             "matrices; merge the files",
                             path);
  Expected<CalibrationData> data = loadCalibration(path);
  if (!data)
    return data.takeError();
  std::vector<SiteStatistics> merged = collector.sites;
  for (SiteStatistics &site : merged) {
    const SiteStatistics *other = data->findSite(site.getName());
    if (!other)
      return createStringError("%s: site '%s' is missing; was the file made "
                               "from the same model?",
                               path, site.getName().c_str());
    if (Error error = site.merge(*other))
      return error;
  }
  if (data->getSites().size() != merged.size())
    return createStringError("%s: %zu sites, but the model has %zu", path,
                             data->getSites().size(), merged.size());
  collector.sites = std::move(merged);
  return Error::success();
}

int32_t sq_calibration_load(sq_calibration *collector, const char *path) {
  Error error = load(*collector, path);
  return error ? report(collector, std::move(error)) : 0;
}

static Error mergeFiles(ArrayRef<const char *> paths, const char *output) {
  Expected<CalibrationData> total = loadCalibrations(paths);
  return total ? saveCalibration(*total, output) : total.takeError();
}

int32_t sq_calibration_merge_files(int32_t count, const char *const *paths,
                                   const char *output) {
  Error error = count < 1 ? createStringError("no calibration files to merge")
                          : mergeFiles(ArrayRef(paths, size_t(count)), output);
  return error ? report(nullptr, std::move(error)) : 0;
}

int32_t sq_calibration_merge_gram_files(int32_t count, const char *const *paths,
                                        const char *output) {
  Error error =
      count < 1 ? createStringError("no Gram files to merge")
                : mergeGramFiles(std::vector<std::string>(paths, paths + count),
                                 output);
  return error ? report(nullptr, std::move(error)) : 0;
}

const char *sq_calibration_error(const sq_calibration *collector) {
  return (collector ? collector->error : threadError()).c_str();
}
