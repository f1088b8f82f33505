#include "common/run/settings.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/manual.h"
#include "common/run/terminal.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ENVIRONMENT_PREFIX "GITMOOR_"
#define NAME_MAXIMUM 64

/* "data-dir" becomes GITMOOR_DATA_DIR. */
static void environment_name(const char *flag, char ret_name[NAME_MAXIMUM])
{
    snprintf(ret_name, NAME_MAXIMUM, "%s%s", ENVIRONMENT_PREFIX, flag);
    for (char *c = ret_name; *c; c++) {
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    }
}

static const struct size_unit {
    const char *suffix;
    int64_t bytes;
} size_units[] = {
    {"Ki", (int64_t)1 << 10},
    {"Mi", (int64_t)1 << 20},
    {"Gi", (int64_t)1 << 30},
    {"", 1},
};

static bool parse_size(const char *text, int64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    int64_t value;
    AUTO_FREE char *number = mem_string_n(text, digits);
    if (!text_parse_int(number, &value)) {
        return false;
    }
    for (size_t i = 0; i < sizeof size_units / sizeof size_units[0]; i++) {
        if (strcmp(text + digits, size_units[i].suffix) == 0) {
            return !__builtin_mul_overflow(value, size_units[i].bytes, ret);
        }
    }
    return false;
}

static bool parse_bool(const char *text, bool *ret)
{
    bool yes = strcmp(text, "true") == 0;
    if (!yes && strcmp(text, "false") != 0) {
        return false;
    }
    *ret = yes;
    return true;
}

/* Stores the value in the caller's struct. `source` is what the user wrote it in. */
static bool store(const struct setting *row, const char *source, const char *value, void *target,
                  struct error *error)
{
    void *field = (char *)target + row->offset;
    const char *wanted = NULL;
    switch (row->type) {
    case SETTING_STRING:
        *(const char **)field = value;
        break;
    case SETTING_INT:
        wanted = text_parse_int(value, field) ? NULL : "a whole number";
        break;
    case SETTING_SIZE:
        wanted = parse_size(value, field) ? NULL : "a size such as 64Mi, 512Ki or 1048576";
        break;
    case SETTING_DURATION:
        wanted = text_parse_duration(value, field) ? NULL : "a duration such as 30s, 5m or 1h30m";
        break;
    case SETTING_BOOL:
        wanted = parse_bool(value, field) ? NULL : "true or false";
        break;
    }
    if (wanted) {
        return error_set(error, ERROR_INVALID, "%s: \"%s\" is not %s", source, value, wanted);
    }
    return true;
}

static void store_nothing(const struct setting *row, void *target)
{
    void *field = (char *)target + row->offset;
    switch (row->type) {
    case SETTING_STRING:
        *(const char **)field = NULL;
        break;
    case SETTING_BOOL:
        *(bool *)field = false;
        break;
    default:
        *(int64_t *)field = 0;
    }
}

/* Defaults, then the environment. Marks in `given` which rows have a value from the user. */
static bool store_defaults(const struct setting *table, void *target, bool *given,
                           struct error *error)
{
    for (size_t i = 0; table[i].name; i++) {
        const struct setting *row = &table[i];
        char name[NAME_MAXIMUM];
        environment_name(row->name, name);
        const char *value = getenv(name);
        store_nothing(row, target);
        given[i] = value;
        if (!value && row->otherwise && !store(row, row->name, row->otherwise, target, error)) {
            error->code = ERROR_INTERNAL; /* the table's own default does not parse */
            return false;
        }
        if (value && !store(row, name, value, target, error)) {
            return false;
        }
    }
    return true;
}

static const struct setting *find_row(const struct setting *table, const char *name, size_t size)
{
    for (; table->name; table++) {
        if (strlen(table->name) == size && memcmp(table->name, name, size) == 0) {
            return table;
        }
    }
    return NULL;
}

struct cursor {
    const struct setting *table;
    const char *program;
    char **argv;
    int argc;
    int next; /* the argument to read next */
};

/* Reads the flag at cursor->next and its value. */
static bool read_flag(struct cursor *cursor, void *target, bool *given, struct error *error)
{
    const char *argument = cursor->argv[cursor->next++];
    const char *name = argument + 2;
    size_t size = strcspn(name, "=");
    const struct setting *row = find_row(cursor->table, name, size);
    if (!row) {
        return error_set(error, ERROR_INVALID, "unknown flag %.*s; see %s --help", (int)size + 2,
                         argument, cursor->program);
    }
    char source[NAME_MAXIMUM];
    snprintf(source, sizeof source, "--%s", row->name);
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    if (!value && row->type == SETTING_BOOL) {
        value = "true";
    }
    if (!value && cursor->next < cursor->argc) {
        value = cursor->argv[cursor->next++];
    }
    if (!value) {
        return error_set(error, ERROR_INVALID, "%s needs a value: %s %s", source, source,
                         text_or_empty(row->argument));
    }
    given[row - cursor->table] = true;
    return store(row, source, value, target, error);
}

/* Flags may stand before, between and after operands; "--" ends them. Operands are moved to the
 * end of argv, in their order. */
static bool read_arguments(struct cursor *cursor, const char *summary, void *target, bool *given,
                           int *ret_operands, struct error *error)
{
    AUTO_FREE char **operands = mem_new((size_t)cursor->argc, sizeof *operands);
    int count = 0;
    while (cursor->next < cursor->argc) {
        char *argument = cursor->argv[cursor->next];
        if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
            settings_print_help(cursor->table, cursor->program, summary, stdout);
            exit(0);
        }
        if (strcmp(argument, "--manual") == 0) {
            settings_print_manual(cursor->table, cursor->program, summary, stdout);
            exit(0);
        }
        if (strcmp(argument, "--version") == 0) {
            printf("%s %s\n", cursor->program, GITMOOR_VERSION);
            exit(0);
        }
        if (strcmp(argument, "--") == 0) {
            cursor->next++;
            while (cursor->next < cursor->argc) {
                operands[count++] = cursor->argv[cursor->next++];
            }
        } else if (text_has_prefix(argument, "--")) {
            if (!read_flag(cursor, target, given, error)) {
                return false;
            }
        } else if (argument[0] == '-' && argument[1] != '\0') {
            return error_set(error, ERROR_INVALID, "unknown flag %s; see %s --help", argument,
                             cursor->program);
        } else {
            operands[count++] = argument;
            cursor->next++;
        }
    }
    if (count > 0) {
        memcpy(cursor->argv + cursor->argc - count, operands, (size_t)count * sizeof *operands);
    }
    *ret_operands = count;
    return true;
}

bool settings_parse(const struct setting *table, const char *program, const char *summary,
                    int *argc, char ***argv, void *target, struct error *error)
{
    struct error ignored;
    error = error ? error : &ignored;
    size_t rows = 0;
    while (table[rows].name) {
        rows++;
    }
    AUTO_FREE bool *given = mem_new(rows, sizeof *given);
    if (!store_defaults(table, target, given, error)) {
        return false;
    }
    struct cursor cursor = {
        .table = table, .program = program, .argv = *argv, .argc = *argc, .next = 1};
    int operands = 0;
    if (!read_arguments(&cursor, summary, target, given, &operands, error)) {
        return false;
    }
    for (size_t i = 0; i < rows; i++) {
        if (table[i].required && !given[i] && !table[i].otherwise) {
            char name[NAME_MAXIMUM];
            environment_name(table[i].name, name);
            return error_set(error, ERROR_INVALID, "--%s %s is needed (or %s): %s", table[i].name,
                             text_or_empty(table[i].argument), name, table[i].help);
        }
    }
    *argv += *argc - operands;
    *argc = operands;
    return true;
}

void settings_print_help(const struct setting *table, const char *program, const char *summary,
                         FILE *out)
{
    int width = terminal_width(out);
    fprintf(out, "%s: %s\n\nFlags (each may also be given in the environment, as shown):\n",
            program, summary);
    for (const struct setting *row = table; row->name; row++) {
        char name[NAME_MAXIMUM];
        environment_name(row->name, name);
        fprintf(out, "  --%s%s%s   (%s", row->name, row->argument ? " " : "",
                text_or_empty(row->argument), name);
        if (row->otherwise && row->type != SETTING_BOOL) {
            fprintf(out, "; default: %s", *row->otherwise ? row->otherwise : "empty");
        }
        fprintf(out, "%s)\n      ", row->required && !row->otherwise ? "; needed" : "");
        terminal_print(out, row->help, 6, 6, width);
    }
    fprintf(out, "  --help\n      Print this and exit.\n"
                 "  --manual\n      Print this as a man page and exit.\n"
                 "  --version\n      Print the version and exit.\n");
}

static void print_item(FILE *out, const struct setting *row)
{
    char environment[NAME_MAXIMUM];
    environment_name(row->name, environment);
    bool has_default = row->otherwise && row->type != SETTING_BOOL;
    AUTO_FREE char *otherwise =
        has_default ? mem_format(" Default: %s.", *row->otherwise ? row->otherwise : "empty")
                    : mem_string(row->required ? " It is needed." : "");
    AUTO_FREE char *term =
        mem_format("--%s%s%s", row->name, row->argument ? " " : "", text_or_empty(row->argument));
    AUTO_FREE char *text =
        mem_format("%s%s\nIn the environment: %s.", row->help, otherwise, environment);
    manual_item(out, term, text);
}

void settings_print_manual(const struct setting *table, const char *program, const char *summary,
                           FILE *out)
{
    AUTO_FREE char *synopsis = mem_format("%s [FLAGS]", program);
    manual_begin(out, program, 8, summary);
    manual_heading(out, "SYNOPSIS");
    manual_synopsis(out, synopsis);
    manual_heading(out, "DESCRIPTION");
    manual_paragraph(out, summary);
    manual_paragraph(out, "It is one of the four processes of Gitmoor, which moors a Kubernetes "
                          "cluster to Git. It runs until SIGTERM, and tells its state at "
                          "/metrics, /healthz and /readyz of --listen.");
    manual_heading(out, "FLAGS");
    manual_paragraph(out, "Each may also be given in the environment; a flag counts more.");
    for (const struct setting *row = table; row->name; row++) {
        print_item(out, row);
    }
    manual_item(out, "--help", "Print the flags and exit.");
    manual_item(out, "--manual", "Print this page and exit.");
    manual_item(out, "--version", "Print the version and exit.");
    manual_heading(out, "EXIT STATUS");
    manual_paragraph(out, "0 after SIGTERM; 1 if it cannot start or go on, which standard error "
                          "explains.");
    manual_heading(out, "SEE ALSO");
    manual_reference(out, "gitmoor", 1);
}
