/* Settings of a program: one table of rows, from which flags, environment, --help and the man page
 * come. A row's value lands in the caller's struct. Order: default, then environment, then flag. */
#ifndef GITMOOR_RUN_SETTINGS_H
#define GITMOOR_RUN_SETTINGS_H

#include "common/base/error.h"

#include <stddef.h>
#include <stdio.h>

enum setting_type {
    SETTING_STRING,   /* const char *; owned by the settings, lives for ever */
    SETTING_INT,      /* int64_t */
    SETTING_SIZE,     /* int64_t bytes; "64Mi", "1Gi", "512Ki" or plain */
    SETTING_DURATION, /* int64_t milliseconds; "30s", "1m" */
    SETTING_BOOL      /* bool; flag alone, or =true/=false */
};

struct setting {
    const char *name; /* flag without dashes: "data-dir"; environment GITMOOR_DATA_DIR */
    enum setting_type type;
    size_t offset;         /* offsetof in the caller's struct */
    const char *otherwise; /* default as text; NULL: none (NULL, 0, false) */
    const char *argument;  /* "DIR": what --help prints for the value; NULL for a bool */
    const char *help;      /* one sentence */
    bool required;
};

/* Parses `--name value`, `--name=value`, `--bool`; argv[0] is the program and is skipped. Flags may
 * stand before, between and after the operands; "--" ends them. On return `argv` holds the operands
 * alone, in their order, and `argc` their number. Handles --help, --manual and --version itself:
 * prints and exits 0. An unknown flag or a bad value is an error that names it and what would be
 * right. The table ends with a NULL name. */
bool settings_parse(const struct setting *table, const char *program, const char *summary,
                    int *argc, char ***argv, void *target, struct error *error);

void settings_print_help(const struct setting *table, const char *program, const char *summary,
                         FILE *out);
void settings_print_manual(const struct setting *table, const char *program, const char *summary,
                           FILE *out);

#endif
