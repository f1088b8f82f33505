/* Substitution: `${variable}` in the strings of an object, with defaults and functions as Flux's
 * postBuild and a shell have them. Strict: a variable that is not set, and has no default, is an
 * error; so is what is no expression.
 *
 *   ${v}                                the value
 *   ${v:-d} ${v:=d}   ${v-d} ${v=d}     d if it is not set or empty; if it is not set
 *   ${#v}                               its length
 *   ${v:offset} ${v:offset:length}      a part; negative (after a blank): counted from its end
 *   ${v/a/b} ${v//a/b}                  b for the first a, for every a; texts, no patterns
 *   ${v/#a/b} ${v/%a/b}                 at its start, at its end
 *   ${v#p} ${v##p} ${v%p} ${v%%p}       without what the pattern matches (pattern.h) at its start,
 *                                       at its end; the fewest characters, the most
 *   ${v^} ${v^^} ${v,} ${v,,}           case of the first letter, of all (ASCII)
 *   $${v}                               the text ${v}
 *
 * Defaults and arguments may hold expressions; values are not looked at again. Lengths count
 * characters. `$v` without braces is text. No message holds a value. */
#ifndef GITMOOR_DIFFER_RENDER_SUBSTITUTE_H
#define GITMOOR_DIFFER_RENDER_SUBSTITUTE_H

#include "common/base/buf.h"
#include "common/base/error.h"
#include "common/data/json.h"

#define SUBSTITUTE_LABEL "gitmoor.io/substitute" /* label or annotation; "disabled" */

/* Appends the text with all expressions evaluated. `variables`: an object of strings. The buffer's
 * maximum bounds the result. */
bool substitute_text(const char *text, const cJSON *variables, struct buf *out,
                     struct error *error);

/* All strings of an object that yaml_parse read, save for keys, apiVersion and kind; one that stood
 * without quotes is typed anew, unless Kubernetes has text there anyway (metadata, data, env, …).
 * Nothing if the object says so by label or annotation. Each problem is told, with its line (0: not
 * known). What it makes of strings is taken from the budget, in bytes. False if there was a
 * problem. */
bool substitute_object(cJSON *object, const cJSON *variables, size_t *budget,
                       void (*problem)(unsigned line, const char *message, void *context),
                       void *context);

#endif
