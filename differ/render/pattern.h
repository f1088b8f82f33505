/* Patterns of a shell, as ${v#…} and ${v%…} take them: `*` is any text (slashes too), `?` one
 * character, `[a-z]` one of these, `[!a-z]` none of these; a backslash takes the meaning of what
 * follows it. A bracket that nothing closes is itself.
 *
 * Cost: the characters of the text times the parts of the pattern, whatever a stranger writes:
 * every place of the pattern that may have been reached goes along with the text. */
#ifndef GITMOOR_DIFFER_RENDER_PATTERN_H
#define GITMOOR_DIFFER_RENDER_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define PATTERN_MAXIMUM 100 /* parts: a character, a `?`, a `*`, a pair of brackets */

enum pattern_side { PATTERN_START, PATTERN_END };

/* How many bytes at that side of the text match, the fewest or the most; 0 if none do. The text is
 * UTF-8. `ret_work`: the cost. False if the pattern has too many parts. */
bool pattern_match(const char *pattern, const char *text, enum pattern_side side, bool longest,
                   size_t *ret_size, size_t *ret_work);

#endif
