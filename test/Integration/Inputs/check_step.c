/*===- check_step.c - runs the graph of step.mlir and loops ---------------===*\
|*
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|* Usage: check_step FOLDER THREADS
|*
\*===---------------------------------------------------------------------===*/

#include "spikequant/Runtime/spikequant.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { M = 5, K = 37, N = 19, R = 11, POSITION = 3 };

static float x[M][K], state[R][N], expected_state[R][N], y[M][N],
    expected_y[M][N];

static void make_inputs(void) {
  for (int i = 0; i < M * K; ++i)
    x[i / K][i % K] = (float)((i * 29) % 17 - 8) / 3.0f;
  for (int i = 0; i < R * N; ++i)
    state[i / N][i % N] = (float)((i * 31) % 13) / 7.0f;
  memcpy(expected_state, state, sizeof state);
}

/* One chain of fused multiply-adds per element, k ascending. */
static void compute_expected(void) {
  float product[M][N];
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n) {
      float sum = 0;
      for (int k = 0; k < K; ++k)
        sum = fmaf(x[m][k], (float)(k - 2 * n), sum);
      product[m][n] = expected_state[POSITION + m][n] = sum;
    }
  for (int m = 0; m < M; ++m)
    for (int n = 0; n < N; ++n)
      expected_y[m][n] = product[m][n] + expected_state[m][n];
}

static const void *read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  static char *buffer;
  buffer = aligned_alloc(64, 1 << 20);
  if (!file || !fread(buffer, 1, 1 << 20, file))
    exit(2);
  fclose(file);
  return buffer;
}

int main(int argc, char **argv) {
  char path[4096];
  if (argc != 3)
    return 2;
  snprintf(path, sizeof path, "%s/model.so", argv[1]);
  void *handle = dlopen(path, RTLD_NOW);
  if (!handle) {
    puts(dlerror());
    return 2;
  }
  const sq_graph *(*find)(const char *);
  int32_t (*run)(const sq_graph *, const sq_call *);
  *(void **)&find = dlsym(handle, "sq_find_graph");
  *(void **)&run = dlsym(handle, "sq_run");
  const sq_graph *graph = find("step");
  if (!graph || find("absent"))
    return 2;
  printf("arguments");
  for (int64_t i = 0; i < graph->argument_count; ++i)
    printf(" %s", graph->arguments[i].name);
  printf("\nstate %d\n", graph->arguments[2].state_result);
  make_inputs();
  compute_expected();
  int32_t position = POSITION;
  void *arguments[] = {x, &position, state}, *results[] = {y, state};
  snprintf(path, sizeof path, "%s/weights.sqw", argv[1]);
  sq_call call = {.size = sizeof call, .threads = atoi(argv[2])};
  call.weights = read_file(path);
  call.arena = aligned_alloc(64, (size_t)graph->arena_bytes + 64);
  call.arguments = arguments;
  call.results = results;
  if (run(graph, &call) != SQ_OK)
    return 2;
  puts(!memcmp(y, expected_y, sizeof y) &&
               !memcmp(state, expected_state, sizeof state)
           ? "equal"
           : "different");
  /* Bad calls: no threads, a wrong size, a state that is no result, an arena
     that is not aligned, another weights file. */
  sq_call bad = call;
  bad.threads = 0;
  printf("refused: %d", run(graph, &bad));
  bad = call;
  bad.size = 8;
  printf(" %d", run(graph, &bad));
  void *wrong[] = {y, y};
  bad = call;
  bad.results = wrong;
  printf(" %d", run(graph, &bad));
  bad = call;
  bad.arena = (char *)call.arena + 4;
  printf(" %d", run(graph, &bad));
  ((char *)call.weights)[40] ^= 1;
  printf(" %d\n", run(graph, &call));
  return 0;
}
