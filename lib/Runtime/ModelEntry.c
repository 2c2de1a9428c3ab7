/*===- ModelEntry.c - what every compiled model exports -------------------===*\
|*
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
\*===---------------------------------------------------------------------===*/

#define _POSIX_C_SOURCE 199309L /* clock_gettime */

#include "spikequant/Runtime/spikequant.h"

#include <omp.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

#define SQ_EXPORT __attribute__((visibility("default")))

/* Made by the compiler. */
extern const sq_model sq_model_table;

SQ_EXPORT const sq_model *sq_get_model(void) { return &sq_model_table; }

SQ_EXPORT const sq_graph *sq_find_graph(const char *name) {
  if (name == NULL)
    return NULL;
  for (int64_t i = 0; i < sq_model_table.graph_count; ++i)
    if (strcmp(sq_model_table.graphs[i].name, name) == 0)
      return &sq_model_table.graphs[i];
  return NULL;
}

/* Whether the processor has the feature; 0 for a name that is not known here.
 */
static int has_feature(const char *name, size_t length) {
#if defined(__x86_64__)
#define SQ_CPU_FEATURE(feature)                                                \
  if (length == sizeof(feature) - 1 && memcmp(name, feature, length) == 0)     \
    return __builtin_cpu_supports(feature) != 0;
#include "spikequant/Runtime/CpuFeatures.def"
#undef SQ_CPU_FEATURE
#elif defined(__aarch64__) && defined(__linux__)
#define SQ_ARM_FEATURE(feature, word, bit)                                     \
  if (length == sizeof(feature) - 1 && memcmp(name, feature, length) == 0)     \
    return getauxval((word) == 1 ? AT_HWCAP : AT_HWCAP2) >> (bit) & 1;
#include "spikequant/Runtime/CpuFeatures.def"
#undef SQ_ARM_FEATURE
#endif
  (void)name;
  (void)length;
  return 0;
}

static int has_all_features(const char *list) {
  while (*list) {
    size_t length = strcspn(list, ",");
    if (length > 0 && !has_feature(list, length))
      return 0;
    list += length + (list[length] == ',');
  }
  return 1;
}

/* Little-endian u64 of the file's header. */
static uint64_t read_u64(const unsigned char *bytes) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i)
    value = value << 8 | bytes[i];
  return value;
}

static int fits_weights(const void *weights) {
  const unsigned char *header = weights;
  return memcmp(header, "SQWEIGHT", 8) == 0 &&
         read_u64(header + 32) == sq_model_table.weights_bytes &&
         read_u64(header + 40) == sq_model_table.weights_checksum;
}

static int is_aligned(const void *address) {
  return ((uintptr_t)address & 63) == 0;
}

SQ_EXPORT int32_t sq_check(const void *weights) {
  if (!has_all_features(sq_model_table.cpu_features))
    return SQ_BAD_CPU;
  if (weights != NULL && !is_aligned(weights))
    return SQ_BAD_ALIGNMENT;
  if (weights != NULL && !fits_weights(weights))
    return SQ_BAD_WEIGHTS;
  return SQ_OK;
}

/* A state result is its argument, updated in place. */
static int has_all_arrays(const sq_graph *graph, const sq_call *call) {
  if ((graph->argument_count > 0 && call->arguments == NULL) ||
      (graph->result_count > 0 && call->results == NULL) ||
      (graph->site_count > 0 && call->salient == NULL))
    return 0;
  for (int64_t i = 0; i < graph->result_count; ++i)
    if (call->results[i] == NULL)
      return 0;
  for (int64_t i = 0; i < graph->argument_count; ++i) {
    int32_t state = graph->arguments[i].state_result;
    if (call->arguments[i] == NULL ||
        (state >= 0 && call->results[state] != call->arguments[i]))
      return 0;
  }
  return 1;
}

static int32_t check_call(const sq_graph *graph, const sq_call *call) {
  if (graph == NULL || call == NULL || call->size != sizeof(sq_call) ||
      call->threads < 1 || call->weights == NULL ||
      (graph->arena_bytes > 0 && call->arena == NULL) ||
      !has_all_arrays(graph, call))
    return SQ_BAD_CALL;
  if (!is_aligned(call->arena))
    return SQ_BAD_ALIGNMENT;
  return sq_check(call->weights);
}

SQ_EXPORT int32_t sq_run(const sq_graph *graph, const sq_call *call) {
  int32_t status = check_call(graph, call);
  if (status != SQ_OK)
    return status;
#pragma omp parallel num_threads((int)call->threads)
  {
#if defined(__x86_64__)
    /* Hosts may flush denormals; results must not depend on that. */
    unsigned control = _mm_getcsr();
    _mm_setcsr(0x1f80);
    graph->body(call);
    _mm_setcsr(control);
#else
    graph->body(call);
#endif
  }
  return SQ_OK;
}

SQ_EXPORT const char *sq_status_message(int32_t status) {
  switch (status) {
  case SQ_OK:
    return "no error";
  case SQ_BAD_CALL:
    return "the call is not complete: a null pointer, a wrong struct size, "
           "fewer than one thread, or a state result that is not its argument";
  case SQ_BAD_CPU:
    return "this processor lacks a feature that the code was compiled for; "
           "compile with another --mcpu";
  case SQ_BAD_WEIGHTS:
    return "the weights file is not the one that the code was compiled with";
  case SQ_BAD_ALIGNMENT:
    return "the weights and the arena must be aligned to 64 bytes";
  }
  return "unknown status";
}

enum { SQ_MOST_KERNELS = 1024 };

static sq_kernel_time kernel_times[SQ_MOST_KERNELS];
static int64_t kernel_count;
static int64_t last_nanoseconds;

SQ_EXPORT int64_t sq_get_kernel_time(int64_t index, sq_kernel_time *time) {
  if (time != NULL && index >= 0 && index < kernel_count)
    *time = kernel_times[index];
  return kernel_count;
}

SQ_EXPORT void sq_reset_kernel_times(void) { kernel_count = 0; }

/* Not the thread's processor time: reading that takes longer than a small
 * kernel. */
static int64_t now_nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* The entry of a name, by its address; null if there are too many. */
static sq_kernel_time *find_kernel_time(const char *name) {
  for (int64_t i = 0; i < kernel_count; ++i)
    if (kernel_times[i].name == name)
      return &kernel_times[i];
  if (kernel_count == SQ_MOST_KERNELS)
    return NULL;
  sq_kernel_time *entry = &kernel_times[kernel_count++];
  *entry = (sq_kernel_time){name, 0, 0};
  return entry;
}

/* Called by generated code, by all threads: a kernel has ended, or with a null
 * pointer, the graph begins. */
void sq_rt_profile(const char *name) {
  if (omp_get_thread_num() != 0)
    return;
  if (name != NULL) {
    sq_kernel_time *entry = find_kernel_time(name);
    if (entry != NULL) {
      entry->nanoseconds += now_nanoseconds() - last_nanoseconds;
      ++entry->calls;
    }
  }
  last_nanoseconds = now_nanoseconds(); /* the search does not count */
}

/* Called by generated code, by one thread at a time. */
void sq_rt_observe(const sq_call *call, int32_t site, const void *data,
                   int32_t element_type, int64_t rows, int64_t columns) {
  int64_t shape[2] = {rows, columns};
  if (call->observe != NULL)
    call->observe(call->observe_user, site, data, element_type, 2, shape);
}
