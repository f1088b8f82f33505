/* The files of a packed chart (.tgz), which strangers wrote. libarchive reads it; what is not a
 * regular file below one directory is refused by name. Blocks; used in workers only. */
#ifndef GITMOOR_FETCHER_CHART_UNPACK_H
#define GITMOOR_FETCHER_CHART_UNPACK_H

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* As much as the differ takes of one application, and Helm of one chart. */
#define CHART_FILE_MAXIMUM ((size_t)8 << 20)
#define CHART_TOTAL_MAXIMUM ((size_t)64 << 20)
#define CHART_FILES_MAXIMUM 20000
#define CHART_PATH_MAXIMUM 1024 /* bytes */
#define CHART_NAME_MAXIMUM 255  /* of one part of a path, as of files */
#define CHART_DEPTH_MAXIMUM 64

/* Calls `file` for each, with its path below the chart's directory, which is taken off. Stops and
 * returns false if that returns false, which then has filled the error. ERROR_INVALID: what is
 * wrong with the archive; ERROR_LIMIT: it is too large unpacked. */
bool chart_unpack(const void *data, size_t size,
                  bool (*file)(const char *path, const void *data, size_t size, void *context,
                               struct error *error),
                  void *context, struct error *error);

#endif
