/*===- CountsCAPI.h - packed counts for C and ctypes ----------------------===*\
|*                                                                            *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* PackedCounts.h. Arrays have 1 to 8 dimensions and at most 2^31 counts; the *|
|* last dimension is the channels.                                            *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef SPIKEQUANT_KERNEL_COUNTSCAPI_H
#define SPIKEQUANT_KERNEL_COUNTSCAPI_H

#include <stdint.h>

#if defined(_WIN32)
#define SQ_COUNTS_API __declspec(dllexport)
#else
#define SQ_COUNTS_API __attribute__((visibility("default")))
#endif

/* NOLINTBEGIN(readability-identifier-naming): C names. */
#ifdef __cplusplus
extern "C" {
#endif

typedef struct sq_counts sq_counts;

/* Packs counts [shape] in `bits` (0 to 8) per channel, or, if that is null, in
   those that cost least. Null if the shape is none. */
SQ_COUNTS_API sq_counts *sq_counts_pack(const int16_t *counts, int32_t rank,
                                        const int64_t *shape,
                                        const uint8_t *bits);
/* Unpacks bytes. Null if they are no packed counts; `*error` then tells why
   (until the next call of this thread). */
SQ_COUNTS_API sq_counts *sq_counts_unpack(const uint8_t *bytes, int64_t size,
                                          const char **error);
SQ_COUNTS_API void sq_counts_destroy(sq_counts *array);

/* Of both kinds. Everything lives as long as the array; bytes are null for an
   unpacked one. */
SQ_COUNTS_API const uint8_t *sq_counts_bytes(const sq_counts *array,
                                             int64_t *size);
SQ_COUNTS_API const int16_t *sq_counts_values(const sq_counts *array,
                                              int32_t *rank, int64_t *shape);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(readability-identifier-naming) */

#endif /* SPIKEQUANT_KERNEL_COUNTSCAPI_H */
