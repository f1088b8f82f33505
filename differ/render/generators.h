/* The programs that the operator allows to render what Gitmoor does not know: HCL, Jsonnet, CUE, …
 * They stand in a file of the process's settings, and an Application names one of them; nothing
 * that a repository holds can add to them or change how they are called.
 *
 *   generators:
 *   - name: hcl                                  as spec.render.generator.name has it
 *     command: [/usr/local/bin/hcl-render, -q]   an absolute path, and arguments
 *     paths: [/usr/lib/hcl]                      more that it may read and execute; optional */
#ifndef GITMOOR_DIFFER_RENDER_GENERATORS_H
#define GITMOOR_DIFFER_RENDER_GENERATORS_H

#include "common/data/json.h"

/* The list of a file, each with name, command and paths; errors name file and line. */
bool generators_read(const char *file, cJSON **ret, struct error *error);
bool generators_parse(const char *text, size_t size, const char *file, cJSON **ret,
                      struct error *error);

/* NULL: none has that name. */
const cJSON *generators_find(const cJSON *generators, const char *name);
/* "cue, hcl", to be freed; "none" if there are none. */
char *generators_names(const cJSON *generators);

/* The files that a sandbox must leave executable for them, in the list's strings, ended by NULL; to
 * be freed. `more` come first. */
const char **generators_executables(const cJSON *generators, const char *const *more);

#endif
