/* Text for people: wrapped to the width of the terminal that it is printed on. */
#ifndef GITMOOR_RUN_TERMINAL_H
#define GITMOOR_RUN_TERMINAL_H

#include <stdio.h>

/* Columns of the terminal; 80 if `out` is none, or does not tell, at least 40. */
int terminal_width(FILE *out);

/* Prints text, of which `column` columns of its first line are taken, and a newline. Lines are
 * broken between words before column `width`; those that follow begin at `indent`. Newlines in the
 * text are blanks; a word that is longer than a line stands alone. Characters count, not bytes. */
void terminal_print(FILE *out, const char *text, int column, int indent, int width);

#endif
