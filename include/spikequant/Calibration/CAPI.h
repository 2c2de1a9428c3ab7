/*===- CAPI.h - calibration collector for C and ctypes -------------------===*\
|*                                                                            *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
|*===----------------------------------------------------------------------===*|
|*                                                                            *|
|* Collects the values that an instrumented program hands to its observer     *|
|* callback. One collector is used by one thread at a time (the program calls *|
|* back from `omp.single`). Functions that return int give 0 for success;     *|
|* otherwise sq_calibration_error tells why.                                  *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/

#ifndef SPIKEQUANT_CALIBRATION_CAPI_H
#define SPIKEQUANT_CALIBRATION_CAPI_H

#include <stdint.h>

#if defined(_WIN32)
#define SQ_CALIBRATION_API __declspec(dllexport)
#else
#define SQ_CALIBRATION_API __attribute__((visibility("default")))
#endif

/* NOLINTBEGIN(readability-identifier-naming): C names. */
#ifdef __cplusplus
extern "C" {
#endif

typedef struct sq_calibration sq_calibration;

/* A collector of `count` sites; site i has names[i] and channels[i] channels.
   Names are copied. Null on bad arguments (duplicate or empty names, zero
   channels); sq_calibration_error(NULL) then tells why (per thread). */
SQ_CALIBRATION_API sq_calibration *
sq_calibration_create(int32_t count, const char *const *names,
                      const int64_t *channels);
SQ_CALIBRATION_API void sq_calibration_destroy(sq_calibration *collector);

/* Also collects the Gram matrix of every site (GramMatrix.h), 4 channels^2
   bytes each. To be called before the first observation. 0, or 1 if a site is
   too wide. */
SQ_CALIBRATION_API int32_t
sq_calibration_collect_grams(sq_calibration *collector);

/* Only the first `rows` entries of axis 0 of what follows are real tokens, the
   rest is padding; negative: all of them (the initial state). Values of rank 1
   are one row, real unless `rows` is 0. */
SQ_CALIBRATION_API void sq_calibration_set_rows(sq_calibration *collector,
                                                int64_t rows);

/* The observer callback (`sq_observe_fn`): `user` is the collector. The last
   axis is the channel axis; the data is dense and row-major. Only f32 is taken
   (elementType 0). An error is remembered, and sq_calibration_save refuses. */
SQ_CALIBRATION_API void
sq_calibration_observe(void *user, int32_t site, const void *data,
                       int32_t elementType, int32_t rank, const int64_t *shape);

/* Vectors seen so far by site `site`, or -1. */
SQ_CALIBRATION_API int64_t sq_calibration_rows(const sq_calibration *collector,
                                               int32_t site);

/* How much site `site` matters: the increase of the loss (nats per token) per
   unit of squared error, summed over the channels, that a token has at its
   input; 0 to 2^30, measured on `rows` (1 to 2^32 - 1) tokens. Kept in the
   calibration file; merging averages by rows, exactly. The last call counts. */
SQ_CALIBRATION_API int32_t sq_calibration_set_sensitivity(
    sq_calibration *collector, int32_t site, double sensitivity, int64_t rows);

/* Writes the calibration file, atomically. */
SQ_CALIBRATION_API int32_t sq_calibration_save(sq_calibration *collector,
                                               const char *path);

/* Writes the file of Gram matrices, atomically. */
SQ_CALIBRATION_API int32_t sq_calibration_save_grams(sq_calibration *collector,
                                                     const char *path);

/* Adds the statistics of a file to the collector; both must have the same
   sites. Nothing is changed on failure. */
SQ_CALIBRATION_API int32_t sq_calibration_load(sq_calibration *collector,
                                               const char *path);

/* Merges `count` files into `output`; the order of the files does not matter.
   Errors: sq_calibration_error(NULL). */
SQ_CALIBRATION_API int32_t sq_calibration_merge_files(int32_t count,
                                                      const char *const *paths,
                                                      const char *output);

/* The same for files of Gram matrices. */
SQ_CALIBRATION_API int32_t sq_calibration_merge_gram_files(
    int32_t count, const char *const *paths, const char *output);

/* What files of statistics are worth. */
typedef struct sq_calibration_review {
  /* Mean bits per value, events included, of steps and bits that are chosen
     from some files: on those files, and on others (0 without others). */
  double in_sample_bits;
  double held_out_bits;
  /* Of all files. */
  int64_t nan_values;
  int64_t infinite_values;
} sq_calibration_review;

/* Chooses steps and bits for a mean of `bits` from the sum of the files `fit`,
   and counts what they cost on the sum of the files `held` (none: heldCount is
   0). Errors: sq_calibration_error(NULL). */
SQ_CALIBRATION_API int32_t sq_calibration_review_files(
    int32_t fitCount, const char *const *fit, int32_t heldCount,
    const char *const *held, double bits, sq_calibration_review *result);

/* The first error since creation (or of the calling thread's last failed
   function without a collector, for NULL); "" if none. Valid until the next
   call on the same collector. */
SQ_CALIBRATION_API const char *
sq_calibration_error(const sq_calibration *collector);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(readability-identifier-naming) */

#endif /* SPIKEQUANT_CALIBRATION_CAPI_H */
