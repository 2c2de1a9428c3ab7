//===- CAPIErrors.h - errors of C functions without a collector ----------===//
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef SPIKEQUANT_LIB_CALIBRATION_CAPIERRORS_H
#define SPIKEQUANT_LIB_CALIBRATION_CAPIERRORS_H

#include "llvm/Support/Error.h"

#include <cstdint>

/// What sq_calibration_error(NULL) tells this thread from now on. Returns 1.
int32_t reportThreadError(llvm::Error error);

#endif // SPIKEQUANT_LIB_CALIBRATION_CAPIERRORS_H
