//===- ReviewCAPI.cpp - what a calibration is worth ----------------------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CAPIErrors.h"

#include "spikequant/Allocation/HeldOut.h"
#include "spikequant/Calibration/CAPI.h"
#include "spikequant/Calibration/Statistics.h"

using namespace llvm;
using namespace spikequant;

static void addNumberless(const CalibrationData &data,
                          sq_calibration_review &review) {
  for (const SiteStatistics &site : data.getSites())
    for (uint32_t channel = 0; channel < site.getChannels(); ++channel) {
      review.nan_values += site.getCount(channel, magnitude::nanBin);
      review.infinite_values += site.getCount(channel, magnitude::infinityBin);
    }
}

static Error review(ArrayRef<const char *> fitPaths,
                    ArrayRef<const char *> heldPaths, double bits,
                    sq_calibration_review &result) {
  Expected<CalibrationData> fit = loadCalibrations(fitPaths);
  if (!fit)
    return fit.takeError();
  Expected<CalibrationData> held = loadCalibrations(heldPaths);
  if (!held)
    return held.takeError();
  result = {};
  addNumberless(*fit, result);
  addNumberless(*held, result);
  if (heldPaths.empty())
    return Error::success();
  AllocationOptions options;
  options.meanBits = bits;
  Expected<HeldOutBits> compared = compareHeldOut(*fit, *held, options);
  if (!compared)
    return compared.takeError();
  result.in_sample_bits = compared->inSample;
  result.held_out_bits = compared->heldOut;
  return Error::success();
}

int32_t sq_calibration_review_files(int32_t fitCount, const char *const *fit,
                                    int32_t heldCount, const char *const *held,
                                    double bits,
                                    sq_calibration_review *result) {
  Error error = fitCount < 1 || heldCount < 0
                    ? createStringError("no calibration files to review")
                    : review(ArrayRef(fit, size_t(fitCount)),
                             ArrayRef(held, size_t(heldCount)), bits, *result);
  return error ? reportThreadError(std::move(error)) : 0;
}
