/* Words for a POSIX shell, so that a command that is printed can be run as it stands. */
#ifndef GITMOOR_CLI_QUOTE_H
#define GITMOOR_CLI_QUOTE_H

#include "common/base/buf.h"

/* Appends the word, in quotes if it needs them. Control characters become '?'. */
void quote_shell(struct buf *out, const char *word);

/* Appends " --name=WORD"; nothing if `word` is NULL. */
void quote_option(struct buf *out, const char *name, const char *word);

#endif
