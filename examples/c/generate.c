/*===- generate.c - greedy generation in C --------------------------------===*\
|*
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|* Usage: generate FOLDER GRAPH COUNT TOKEN [TOKEN ...]
|* Feeds the tokens one by one to a decode graph of a compiled folder and prints
|* COUNT likeliest continuations as token ids, one per line.
|*
|* Build: cc -O1 -I include examples/c/generate.c -o generate -ldl
|*
\*===--------------------------------------------------------------------------===*/

#include "spikequant/Runtime/spikequant.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, const char *detail) {
  fprintf(stderr, "generate: %s: %s\n", what, detail);
  exit(1);
}

static void *allocate(int64_t bytes) {
  /* aligned_alloc wants a multiple of the alignment. */
  size_t size = ((size_t)bytes + 64) / 64 * 64;
  void *memory = aligned_alloc(64, size);
  if (!memory)
    fail("out of memory", "allocate");
  memset(memory, 0, size);
  return memory;
}

/* The functions of one model.so. */
struct library {
  const sq_graph *(*find_graph)(const char *);
  const void *(*map_weights)(const char *, uint64_t *);
  int32_t (*check)(const void *);
  int32_t (*run)(const sq_graph *, const sq_call *);
  const char *(*status_message)(int32_t);
};

static void *symbol(void *handle, const char *name) {
  void *address = dlsym(handle, name);
  if (!address)
    fail(name, "is missing from model.so");
  return address;
}

static struct library load(const char *path) {
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!handle)
    fail("model.so", dlerror());
  struct library library;
  /* POSIX's way around the lack of function pointer conversion in ISO C. */
  *(void **)&library.find_graph = symbol(handle, "sq_find_graph");
  *(void **)&library.map_weights = symbol(handle, "sq_map_weights");
  *(void **)&library.check = symbol(handle, "sq_check");
  *(void **)&library.run = symbol(handle, "sq_run");
  *(void **)&library.status_message = symbol(handle, "sq_status_message");
  return library;
}

/* Buffers of one graph; a state's result is its argument, updated in place. */
static void make_buffers(const sq_graph *graph, void **arguments,
                         void **results) {
  for (int64_t i = 0; i < graph->result_count; ++i)
    results[i] = NULL;
  for (int64_t i = 0; i < graph->argument_count; ++i) {
    arguments[i] = allocate(graph->arguments[i].bytes);
    if (graph->arguments[i].state_result >= 0)
      results[graph->arguments[i].state_result] = arguments[i];
  }
  for (int64_t i = 0; i < graph->result_count; ++i)
    if (!results[i])
      results[i] = allocate(graph->results[i].bytes);
}

static void *argument(const sq_graph *graph, void **arguments,
                      const char *name) {
  for (int64_t i = 0; i < graph->argument_count; ++i)
    if (!strcmp(graph->arguments[i].name, name))
      return arguments[i];
  fail(name, "is no argument of the graph");
  return NULL;
}

/* Tokens that the cache holds: v_cache.0 is [heads, context, width]. */
static int64_t context_size(const sq_graph *graph) {
  for (int64_t i = 0; i < graph->argument_count; ++i)
    if (!strcmp(graph->arguments[i].name, "v_cache.0"))
      return graph->arguments[i].shape[1];
  fail("v_cache.0", "is no argument of the graph");
  return 0;
}

static int32_t parse_token(const char *text, int64_t vocabulary) {
  char *end;
  long token = strtol(text, &end, 10);
  if (end == text || *end || token < 0 || token >= vocabulary)
    fail(text, "is no token of the model");
  return (int32_t)token;
}

static int32_t likeliest(const float *logits, int64_t count) {
  int32_t best = 0;
  for (int64_t i = 1; i < count; ++i)
    if (logits[i] > logits[best])
      best = (int32_t)i;
  return best;
}

int main(int argc, char **argv) {
  long count = argc < 5 ? 0 : strtol(argv[3], NULL, 10);
  if (count < 1)
    fail("usage", "generate FOLDER GRAPH COUNT TOKEN [TOKEN ...]");
  char path[4096];
  snprintf(path, sizeof path, "%s/model.so", argv[1]);
  struct library library = load(path);
  snprintf(path, sizeof path, "%s/weights.sqw", argv[1]);
  sq_call call = {.size = sizeof(sq_call), .threads = 1};
  uint64_t bytes;
  call.weights = library.map_weights(path, &bytes);
  if (!call.weights)
    fail(path, "cannot be mapped");
  int32_t status = library.check(call.weights);
  if (status)
    fail(argv[1], library.status_message(status));
  const sq_graph *graph = library.find_graph(argv[2]);
  if (!graph)
    fail(argv[2], "no such graph");
  void **arguments = calloc((size_t)graph->argument_count, sizeof(void *));
  void **results = calloc((size_t)graph->result_count, sizeof(void *));
  make_buffers(graph, arguments, results);
  call.arguments = arguments;
  call.results = results;
  call.arena = allocate(graph->arena_bytes);
  call.salient = allocate(8 * (graph->site_count + 1));
  int32_t *token = argument(graph, arguments, "tokens");
  int32_t *start = argument(graph, arguments, "start");
  int64_t vocabulary = graph->results[0].bytes / (int64_t)sizeof(float);
  int prompt = argc - 4;
  if (prompt + count - 1 > context_size(graph)) {
    snprintf(path, sizeof path, "the context of %lld tokens is full",
             (long long)context_size(graph));
    fail(argv[2], path);
  }
  for (long position = 0; position < prompt + count - 1; ++position) {
    if (position < prompt)
      *token = parse_token(argv[4 + position], vocabulary);
    *start = (int32_t)position;
    status = library.run(graph, &call);
    if (status)
      fail(argv[2], library.status_message(status));
    if (position + 1 < prompt)
      continue;
    *token = likeliest(results[0], vocabulary);
    printf("%d\n", *token);
  }
  return 0;
}
