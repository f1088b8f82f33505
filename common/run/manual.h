/* Man pages, in the macros of man(7), written from the tables that --help is printed from: by each
 * program itself, when it is built. Texts are plain; what roff would take for its own is escaped.
 */
#ifndef GITMOOR_RUN_MANUAL_H
#define GITMOOR_RUN_MANUAL_H

#include <stdio.h>

/* The head, up to and with NAME: "gitmoor-differ", 8, "Renders Git, …". */
void manual_begin(FILE *out, const char *name, int section, const char *summary);

void manual_heading(FILE *out, const char *title);    /* "EXIT STATUS" */
void manual_subheading(FILE *out, const char *title); /* "diff" */
void manual_paragraph(FILE *out, const char *text);
/* A command as it is typed. */
void manual_synopsis(FILE *out, const char *command);
/* What is explained, and the text below it. */
void manual_item(FILE *out, const char *term, const char *text);
/* "name(8)" */
void manual_reference(FILE *out, const char *name, int section);

#endif
