/* Options of a verb, as kubectl's users write them: `--name value`, `--name=value`, `-n value`,
 * `-nvalue`, flags alone, in any order with the operands; `--` ends them. One table per verb, from
 * which its help comes. (The processes' settings have no short names, and come from the
 * environment too: common/run/settings.h.) */
#ifndef GITMOOR_CLI_OPTIONS_H
#define GITMOOR_CLI_OPTIONS_H

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum option_type {
    OPTION_TEXT,    /* const char ** */
    OPTION_FLAG,    /* bool *; also --name=true, --name=false */
    OPTION_CHOICE,  /* unsigned *: which of the words of `argument`, divided by "|", from 0 */
    OPTION_LIST,    /* struct option_list *: each use adds one */
    OPTION_LIST_ALL /* as OPTION_LIST, and takes every argument up to the next option */
};

struct option_list {
    const char **items;
    size_t count;
};

struct option {
    const char *name; /* without dashes */
    char letter;      /* 0: none */
    enum option_type type;
    void *target;
    const char *argument; /* "FILE": how help calls the value; NULL for a flag */
    const char *help;
};

struct option_set {
    const char *usage;          /* "render [OPTIONS] DIR" */
    const char *summary;        /* what the verb does, a sentence or two */
    const char *exits;          /* what its exit statuses mean */
    const struct option *table; /* ended by a NULL name */
};

/* Texts point into argv. `ret_operands` is allocated for the caller to free, as are the lists'
 * items; it ends with NULL. Sets *ret_help and stops if --help or -h is there. */
bool options_parse(const struct option_set *set, int argc, char **argv, const char ***ret_operands,
                   size_t *ret_count, bool *ret_help, struct error *error);

void options_print_help(const struct option_set *set, FILE *out);
/* The verb's part of the man page, which a verb prints when this is all that it is given. */
#define OPTIONS_MANUAL "--manual"
void options_print_manual(const struct option_set *set, FILE *out);

/* What may stand at a place of the verb's line, a word a line, for a shell to complete: a verb
 * prints it when it is given this, the word before, and the beginning of the word. Options where it
 * begins with a dash; the choices of an option that has some; nothing where it is any value. */
#define OPTIONS_COMPLETE "--complete"
void options_print_words(const struct option_set *set, const char *before, const char *begun,
                         FILE *out);

/* The whole of it, for a verb: prints help or the error. True: go on. False: return *ret_status. */
bool options_start(const struct option_set *set, int argc, char **argv, size_t operands_minimum,
                   size_t operands_maximum, const char ***ret_operands, int *ret_status);

#endif
