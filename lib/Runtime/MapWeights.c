/*===- MapWeights.c - the weights file in large pages ---------------------===*\
|*
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
|*
|*===----------------------------------------------------------------------===*|
|*
|* A decoded token reads every weight once, so the time of a token is the time
|* to read the file's memory, and with pages of 4 KiB that takes up to a third
|* longer than with 2 MiB. sq-compile writes the file so that Linux caches it in
|* large pages, which a map then uses; so does a file that is read from the disk
|* for a map that asks for large pages. A copied file lies in small ones until
|* it leaves the cache: it is made to, once.
|*
\*===----------------------------------------------------------------------===*/

#define _GNU_SOURCE /* madvise */

#include "spikequant/Runtime/spikequant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SQ_EXPORT __attribute__((visibility("default")))

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { LARGE_PAGE = 2 << 20 };

/* Bytes of the map at `address` that large pages hold. */
static uint64_t count_large_bytes(const void *address) {
  FILE *file = fopen("/proc/self/smaps", "re");
  if (file == NULL)
    return 0;
  char line[512];
  unsigned long long kilobytes = 0;
  int found = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    unsigned long long begin, end;
    if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
      found = begin == (uintptr_t)address;
    else if (found && sscanf(line, "FilePmdMapped: %llu", &kilobytes) == 1)
      break;
  }
  fclose(file);
  return kilobytes << 10;
}

/* Null if that does not work. Whatever is not in memory is read now. */
static void *map_whole(int file, uint64_t bytes) {
  void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file, 0);
  if (map == MAP_FAILED)
    return NULL;
  /* Advice only: systems may lack one or the other. */
  madvise(map, bytes, MADV_HUGEPAGE);
  madvise(map, bytes, MADV_POPULATE_READ);
  return map;
}

static int lies_in_large_pages(const void *map, uint64_t bytes) {
  return count_large_bytes(map) >= bytes / 2;
}

/* Whether the file system takes large pages: tried with the first of them. */
static int can_have_large_pages(int file) {
  posix_fadvise(file, 0, LARGE_PAGE, POSIX_FADV_DONTNEED);
  void *map = map_whole(file, LARGE_PAGE);
  int result = map != NULL && lies_in_large_pages(map, LARGE_PAGE);
  if (map != NULL)
    munmap(map, LARGE_PAGE);
  return result;
}

static const void *map_file(int file, uint64_t bytes) {
  void *map = map_whole(file, bytes);
  if (map == NULL || bytes < 4 * LARGE_PAGE || lies_in_large_pages(map, bytes))
    return map;
  /* Pages that are mapped, here or elsewhere, would stay. */
  munmap(map, bytes);
  if (can_have_large_pages(file))
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  return map_whole(file, bytes);
}

SQ_EXPORT const void *sq_map_weights(const char *path, uint64_t *bytes) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return NULL;
  struct stat status;
  const void *weights = NULL;
  if (fstat(file, &status) == 0) {
    *bytes = (uint64_t)status.st_size;
    weights = map_file(file, *bytes);
  }
  int error = errno;
  close(file);
  errno = error;
  return weights;
}

SQ_EXPORT void sq_unmap_weights(const void *weights, uint64_t bytes) {
  if (weights != NULL)
    munmap((void *)(uintptr_t)weights, bytes);
}
