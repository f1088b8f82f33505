/* Manifests on disk or in Git, rendered as the differ renders them: what `render` and `diff` share.
 */
#ifndef GITMOOR_CLI_MANIFESTS_H
#define GITMOOR_CLI_MANIFESTS_H

#include "differ/render/render.h"

#include <limits.h>

#define GENERATORS_HELP                                                                            \
    "The programs that spec.render.generator may name, as the differ's setting has them."

/* What `directory` is below `root`, both absolute and without links; NULL if it is not below. */
const char *manifests_below(const char *root, const char *directory);

/* The containment root: what is asked for (or NULL), or the enclosing Git work tree, or the current
 * directory, or, for a directory that is in none of them, that directory itself. */
bool manifests_find_root(const char *asked, const char *directory, char ret_root[PATH_MAX],
                         struct error *error);

/* Scan and render, with a directory to build in where another program does it. */
bool manifests_render(struct source *source, const struct render_options *options,
                      const struct render_sink *sink, struct error *error);

#endif
