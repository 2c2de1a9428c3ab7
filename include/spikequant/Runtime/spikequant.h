/*===- spikequant.h - C interface of a compiled model
------------------------===*\
|*
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|* A compiled folder holds `model.so` and `weights.sqw`. `model.so` exports the
|* functions below. It allocates nothing and keeps no state: the caller owns
every
|* buffer, so one mapped weights file can serve any number of contexts, each
used
|* by one caller at a time.
|*
\*===--------------------------------------------------------------------------===*/

#ifndef SPIKEQUANT_RUNTIME_SPIKEQUANT_H
#define SPIKEQUANT_RUNTIME_SPIKEQUANT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SQ_ABI_VERSION 2

/* Element types of arrays that cross the interface. */
enum sq_element_type {
  SQ_F32 = 0,
  SQ_I16 = 1,
  SQ_I64 = 2,
  SQ_I32 = 3,
  SQ_I8 = 4,
  SQ_I1 = 5,
  SQ_F64 = 6,
  SQ_F16 = 7,
  SQ_BF16 = 8,
  SQ_U8 = 9,
  SQ_U16 = 10,
  SQ_U32 = 11,
  SQ_U64 = 12
};

/* Results of sq_run. */
enum sq_status {
  SQ_OK = 0,
  SQ_BAD_CALL = 1, /* a null pointer, a wrong struct size, threads < 1 */
  SQ_BAD_CPU = 2,  /* the processor lacks a feature the code was built for */
  SQ_BAD_WEIGHTS =
      3, /* the weights file is not the one the code was built with */
  SQ_BAD_ALIGNMENT = 4 /* arena not aligned to 64 bytes */
};

/* Called from inside a run with an array that the program was built to show:
 * `site` indexes the graph's sites; the data is row-major and valid during the
 * call only. Calls come from one thread at a time. */
typedef void (*sq_observe_fn)(void *user, int32_t site, const void *data,
                              int32_t element_type, int32_t rank,
                              const int64_t *shape);

/* One argument or result: row-major, dense. */
typedef struct sq_array {
  const char *name;
  int32_t element_type;
  int32_t rank;
  const int64_t *shape;
  int64_t bytes;
  /* Arguments: index of the result that is this state's next value, or -1. Pass
   * the same pointer for both: it is updated in place. Results: -1. */
  int32_t state_result;
} sq_array;

/* One run of one graph. */
typedef struct sq_call {
  uint64_t size;          /* sizeof(sq_call) */
  int64_t threads;        /* at least 1 */
  const void *weights;    /* weights.sqw, whole, 64-byte aligned */
  void *arena;            /* sq_graph.arena_bytes, 64-byte aligned */
  void *const *arguments; /* one pointer per argument that is no weight */
  void *const *results;   /* one pointer per result */
  int64_t *salient;       /* [site_count] counters that are added to */
  sq_observe_fn observe;  /* may be null */
  void *observe_user;
} sq_call;

typedef struct sq_graph {
  const char *name;
  void (*body)(
      const sq_call *); /* run by every thread of one parallel region */
  int64_t arena_bytes;
  int64_t argument_count;
  const sq_array *arguments;
  int64_t result_count;
  const sq_array *results;
  int64_t site_count;
  const char *const *sites;
} sq_graph;

typedef struct sq_model {
  int64_t abi_version;
  int64_t graph_count;
  const sq_graph *graphs;
  uint64_t weights_checksum; /* of weights.sqw; see docs/PackedWeights.md */
  uint64_t weights_bytes;
  const char *cpu_features; /* comma separated, as the compiler names them */
} sq_model;

/* The table of the model. */
const sq_model *sq_get_model(void);

/* The graph of that name, or null. */
const sq_graph *sq_find_graph(const char *name);

/* Whether this processor and this weights file fit the code: SQ_OK or an error.
 * `weights` may be null to check the processor only. */
int32_t sq_check(const void *weights);

/* Maps weights.sqw for reading, its size to `bytes`; null if that does not
 * work, and errno says why. Nothing is checked. On Linux the map is made of
 * large pages: decoding is a tenth to a third faster. For that, a file that was
 * copied is read from the disk again, once. */
const void *sq_map_weights(const char *path, uint64_t *bytes);

/* Gives the memory back. No graph may run with it. */
void sq_unmap_weights(const void *weights, uint64_t bytes);

/* Runs a graph. Results are bit-identical for any number of threads. */
int32_t sq_run(const sq_graph *graph, const sq_call *call);

/* Time of a kernel over all calls so far, in a program compiled with --profile:
 * from the end of the kernel before it to the end of its own barrier, as the
 * first thread sees it. */
typedef struct sq_kernel_time {
  const char *name;
  int64_t calls;
  int64_t nanoseconds;
} sq_kernel_time;

/* Number of kernels that were measured (0 without --profile). Fills `time` if
 * `index` is one of them. Not while a graph runs. */
int64_t sq_get_kernel_time(int64_t index, sq_kernel_time *time);

/* Forgets all measured times. */
void sq_reset_kernel_times(void);

/* A sentence about a status. */
const char *sq_status_message(int32_t status);

#ifdef __cplusplus
}
#endif

#endif /* SPIKEQUANT_RUNTIME_SPIKEQUANT_H */
