#include "cli/options.h"

#include "cli/cli.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/manual.h"
#include "common/run/terminal.h"

#include <string.h>

#define HELP_COLUMN 30 /* where --help tells what an option does */

struct options_walk {
    const struct option_set *set;
    int argc;
    char **argv;
    int at;
    const char **operands;
    size_t operand_count;
    bool only_operands; /* after "--" */
    bool help;
};

static const struct option *options_find(const struct option_set *set, const char *name,
                                         size_t length, char letter)
{
    for (const struct option *option = set->table; option->name; option++) {
        if (letter ? option->letter == letter
                   : strlen(option->name) == length && memcmp(option->name, name, length) == 0) {
            return option;
        }
    }
    return NULL;
}

static void options_add(struct option_list *list, const char *value)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = value;
}

static bool options_set_flag(const struct option *option, const char *value, struct error *error)
{
    if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0) {
        return error_set(error, ERROR_INVALID, "--%s is true or false, not %s", option->name,
                         value);
    }
    *(bool *)option->target = !value || strcmp(value, "true") == 0;
    return true;
}

static bool options_set_choice(const struct option *option, const char *value, struct error *error)
{
    unsigned at = 0;
    for (const char *word = option->argument; word; at++) {
        size_t length = strcspn(word, "|");
        if (strlen(value) == length && memcmp(value, word, length) == 0) {
            *(unsigned *)option->target = at;
            return true;
        }
        word = word[length] ? word + length + 1 : NULL;
    }
    return error_set(error, ERROR_INVALID, "--%s is %s, not %s", option->name, option->argument,
                     value);
}

/* `value` is what stood after "=" or directly after a letter, or NULL. */
static bool options_set(struct options_walk *walk, const struct option *option, const char *value,
                        struct error *error)
{
    if (option->type == OPTION_FLAG) {
        return options_set_flag(option, value, error);
    }
    if (!value && walk->at >= walk->argc) {
        return error_set(error, ERROR_INVALID, "--%s needs a value: %s", option->name,
                         option->argument);
    }
    value = value ? value : walk->argv[walk->at++];
    if (option->type == OPTION_TEXT) {
        *(const char **)option->target = value;
        return true;
    }
    if (option->type == OPTION_CHOICE) {
        return options_set_choice(option, value, error);
    }
    options_add(option->target, value);
    while (option->type == OPTION_LIST_ALL && walk->at < walk->argc &&
           walk->argv[walk->at][0] != '-') {
        options_add(option->target, walk->argv[walk->at++]);
    }
    return true;
}

static bool options_take_long(struct options_walk *walk, const char *text, struct error *error)
{
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    if (strcmp(text, "help") == 0) {
        walk->help = true;
        return true;
    }
    const struct option *option = options_find(walk->set, text, length, '\0');
    if (!option) {
        return error_set(error, ERROR_INVALID, "there is no option --%.*s", (int)length, text);
    }
    return options_set(walk, option, equals ? equals + 1 : NULL, error);
}

/* One or more letters: -A, -n shop, -nshop, -An shop. */
static bool options_take_letters(struct options_walk *walk, const char *text, struct error *error)
{
    for (; *text; text++) {
        if (*text == 'h') {
            walk->help = true;
            return true;
        }
        const struct option *option = options_find(walk->set, NULL, 0, *text);
        if (!option) {
            return error_set(error, ERROR_INVALID, "there is no option -%c", *text);
        }
        if (option->type != OPTION_FLAG) {
            const char *value = text[1] == '=' ? text + 2 : text + 1;
            return options_set(walk, option, *value ? value : NULL, error);
        }
        *(bool *)option->target = true;
    }
    return true;
}

static bool options_take(struct options_walk *walk, struct error *error)
{
    const char *text = walk->argv[walk->at++];
    if (walk->only_operands || text[0] != '-' || text[1] == '\0') {
        walk->operands[walk->operand_count++] = text;
        return true;
    }
    if (strcmp(text, "--") == 0) {
        walk->only_operands = true;
        return true;
    }
    return text[1] == '-' ? options_take_long(walk, text + 2, error)
                          : options_take_letters(walk, text + 1, error);
}

bool options_parse(const struct option_set *set, int argc, char **argv, const char ***ret_operands,
                   size_t *ret_count, bool *ret_help, struct error *error)
{
    struct options_walk walk = {.set = set, .argc = argc, .argv = argv, .at = 1};
    walk.operands = mem_new((size_t)argc + 1, sizeof(*walk.operands));
    while (walk.at < argc && !walk.help) {
        if (!options_take(&walk, error)) {
            free(walk.operands);
            return false;
        }
    }
    *ret_operands = walk.operands;
    *ret_count = walk.operand_count;
    *ret_help = walk.help;
    return true;
}

/* "-n, --namespace NAMESPACE"; `otherwise` stands for a letter that there is not. */
static char *options_describe(const struct option *option, const char *otherwise)
{
    AUTO_FREE char *letter =
        option->letter ? mem_format("-%c, ", option->letter) : mem_string(otherwise);
    return mem_format("%s--%s%s%s", letter, option->name, option->argument ? " " : "",
                      text_or_empty(option->argument));
}

/* "  --name VALUE   what it does", the latter in a column of its own. */
static void options_print_row(const char *name, const char *help, int width, FILE *out)
{
    int at = fprintf(out, "  %-*s  ", HELP_COLUMN - 4, name);
    if (at > HELP_COLUMN) {
        fprintf(out, "\n%*s", HELP_COLUMN, "");
    }
    terminal_print(out, help, HELP_COLUMN, HELP_COLUMN, width);
}

void options_print_help(const struct option_set *set, FILE *out)
{
    int width = terminal_width(out);
    AUTO_FREE char *usage = mem_format("Usage: gitmoor %s", set->usage);
    AUTO_FREE char *exits = mem_format("Exit status: %s", set->exits);
    terminal_print(out, usage, 0, 4, width);
    fputc('\n', out);
    terminal_print(out, set->summary, 0, 0, width);
    fprintf(out, "\nOptions:\n");
    for (const struct option *option = set->table; option->name; option++) {
        AUTO_FREE char *name = options_describe(option, "    ");
        options_print_row(name, option->help, width, out);
    }
    options_print_row("-h, --help", "Print this.", width, out);
    fputc('\n', out);
    terminal_print(out, exits, 0, 0, width);
}

void options_print_manual(const struct option_set *set, FILE *out)
{
    AUTO_FREE char *usage = mem_format("gitmoor %s", set->usage);
    AUTO_FREE char *exits = mem_format("Exit status: %s", set->exits);
    manual_synopsis(out, usage);
    manual_paragraph(out, set->summary);
    for (const struct option *option = set->table; option->name; option++) {
        AUTO_FREE char *name = options_describe(option, "");
        manual_item(out, name, option->help);
    }
    manual_paragraph(out, exits);
}

/* The option that the word is, if it takes the next one as its value; or NULL. */
static const struct option *options_find_open(const struct option_set *set, const char *word)
{
    const struct option *option = NULL;
    if (text_has_prefix(word, "--") && !strchr(word, '=')) {
        option = options_find(set, word + 2, strlen(word + 2), '\0');
    } else if (word[0] == '-' && word[1] && !word[2]) {
        option = options_find(set, NULL, 0, word[1]);
    }
    return option && option->type != OPTION_FLAG ? option : NULL;
}

static void options_print_choices(const struct option *option, const char *begun, FILE *out)
{
    for (const char *word = option->argument; option->type == OPTION_CHOICE && word;) {
        size_t length = strcspn(word, "|");
        if (strncmp(word, begun, strlen(begun)) == 0 && strlen(begun) <= length) {
            fprintf(out, "%.*s\n", (int)length, word);
        }
        word = word[length] ? word + length + 1 : NULL;
    }
}

void options_print_words(const struct option_set *set, const char *before, const char *begun,
                         FILE *out)
{
    const struct option *open = options_find_open(set, before);
    if (open) {
        options_print_choices(open, begun, out);
        return;
    }
    for (const struct option *option = set->table; *begun == '-' && option->name; option++) {
        AUTO_FREE char *word = mem_format("--%s", option->name);
        if (text_has_prefix(word, begun)) {
            fprintf(out, "%s\n", word);
        }
    }
}

/* The message for a line with too few or too many operands. */
static bool options_check_count(const struct option_set *set, size_t count, size_t minimum,
                                size_t maximum, struct error *error)
{
    return (count >= minimum && count <= maximum) ||
           error_set(error, ERROR_INVALID, "%s; usage: gitmoor %s",
                     count < minimum ? "something is missing on the command line"
                                     : "there is too much on the command line",
                     set->usage);
}

bool options_start(const struct option_set *set, int argc, char **argv, size_t operands_minimum,
                   size_t operands_maximum, const char ***ret_operands, int *ret_status)
{
    struct error error = {0};
    AUTO_FREE const char **operands = NULL;
    size_t count = 0;
    bool help = false;
    if (argc == 2 && strcmp(argv[1], OPTIONS_MANUAL) == 0) {
        options_print_manual(set, stdout);
        *ret_status = CLI_OK;
        return false;
    }
    if (argc == 4 && strcmp(argv[1], OPTIONS_COMPLETE) == 0) {
        options_print_words(set, argv[2], argv[3], stdout);
        *ret_status = CLI_OK;
        return false;
    }
    bool ok = options_parse(set, argc, argv, &operands, &count, &help, &error);
    if (ok && help) {
        options_print_help(set, stdout);
        *ret_status = CLI_OK;
        return false;
    }
    if (!ok || !options_check_count(set, count, operands_minimum, operands_maximum, &error)) {
        *ret_status = cli_fail(argv[0], CLI_USAGE, &error);
        fprintf(stderr, "See gitmoor %s --help.\n", argv[0]);
        return false;
    }
    *ret_operands = operands;
    operands = NULL;
    return true;
}
