#include "cli/options.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct options_case {
    const char *sentence;
    const char *line; /* arguments after the verb, divided by blanks */
    bool fails;
    /* "text|flag|list|keys|operands", lists joined by commas; "#N " in front: the choice */
    const char *expected;
};

static const struct options_case cases[] = {
    {"nothing is nothing", "", false, "|0|||"},
    {"a value follows its option", "--text a", false, "a|0|||"},
    {"a value stands after an equals sign", "--text=a=b", false, "a=b|0|||"},
    {"a value may be empty", "--text=", false, "|0|||"},
    {"a value may begin with a dash", "--text -x", false, "-x|0|||"},
    {"a letter takes the next argument", "-t a", false, "a|0|||"},
    {"a letter takes what stands right behind it", "-ta", false, "a|0|||"},
    {"a letter takes what stands after an equals sign", "-t=a", false, "a|0|||"},
    {"a flag stands alone", "--flag", false, "|1|||"},
    {"a flag can be denied", "--flag --flag=false", false, "|0|||"},
    {"letters of flags can be joined with another", "-ft a", false, "a|1|||"},
    {"options and operands mix", "x --text a y -f z", false, "a|1|||x,y,z"},
    {"two dashes end the options", "--flag -- --text -f", false, "|1|||--text,-f"},
    {"a lone dash is an operand", "-", false, "|0|||-"},
    {"a list grows with each use", "--list a --list b", false, "|0|a,b||"},
    {"a greedy list takes all up to the next option", "--keys a b --text c d", false, "c|0||a,b|d"},
    {"a greedy list can be used again", "--keys a --keys b c", false, "|0||a,b,c|"},
    {"the last value counts", "--text a --text b", false, "b|0|||"},
    {"a choice is one of its words", "--choice three", false, "#2 |0|||"},
    {"a choice can be put back to the first", "-c two -c=one", false, "|0|||"},
    {"another word than the choices is refused, and they are told", "-c four", true,
     "one|two|three"},
    {"a choice cannot be shortened", "-c thr", true, "not thr"},
    {"two choices at once are refused", "-c one|two", true, "not one|two"},
    {"an unknown option is refused", "--none", true, "--none"},
    {"an unknown letter is refused", "-x", true, "-x"},
    {"an abbreviated option is unknown", "--tex a", true, "--tex"},
    {"a missing value is refused", "--text", true, "FILE"},
    {"a flag with another value is refused", "--flag=perhaps", true, "perhaps"},
};

static void join(struct buf *out, const char **items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_format(out, "%s%s", i ? "," : "", items[i]);
    }
}

static bool parse(const char *line, struct buf *out, struct error *error)
{
    const char *text = NULL;
    bool flag = false;
    unsigned choice = 0;
    struct option_list list = {0};
    struct option_list keys = {0};
    const struct option table[] = {
        {"text", 't', OPTION_TEXT, &text, "FILE", "A text."},
        {"flag", 'f', OPTION_FLAG, &flag, NULL, "A flag."},
        {"choice", 'c', OPTION_CHOICE, &choice, "one|two|three", "A choice."},
        {"list", 0, OPTION_LIST, &list, "ITEM", "A list."},
        {"keys", 0, OPTION_LIST_ALL, &keys, "KEY", "A greedy list."},
        {0},
    };
    const struct option_set set = {"verb", "Does.", "0", table};
    AUTO_FREE char *copy = mem_string(line);
    char *argv[16] = {(char[]){"verb"}};
    int argc = 1;
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    AUTO_FREE const char **operands = NULL;
    size_t count = 0;
    bool help = false;
    bool ok = options_parse(&set, argc, argv, &operands, &count, &help, error);
    if (ok && choice) {
        buf_append_format(out, "#%u ", choice);
    }
    if (ok) {
        buf_append_format(out, "%s|%d|", text_or_empty(text), flag);
        join(out, list.items, list.count);
        buf_append_char(out, '|');
        join(out, keys.items, keys.count);
        buf_append_char(out, '|');
        join(out, operands, count);
        assert_null(operands[count]);
        assert_false(help);
    }
    free(list.items);
    free(keys.items);
    return ok;
}

static void command_lines_are_read_as_kubectl_reads_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO_BUF struct buf out;
        struct error error = {0};
        buf_init(&out, 1000);
        bool ok = parse(cases[i].line, &out, &error);
        if (ok == cases[i].fails || (ok && strcmp(out.data, cases[i].expected) != 0) ||
            (!ok && !strstr(error.message, cases[i].expected))) {
            fail_msg("not so: %s: %s %s", cases[i].sentence, out.data, error.message);
        }
    }
}

static void help_is_asked_for_by_name_or_letter(void **state)
{
    (void)state;
    static const char *const lines[] = {"--help", "-h"};
    const struct option table[] = {{0}};
    const struct option_set set = {"verb", "Does.", "0", table};
    for (size_t i = 0; i < 2; i++) {
        AUTO_FREE const char **operands = NULL;
        size_t count;
        bool help = false;
        struct error error = {0};
        AUTO_FREE char *letter = mem_string(lines[i]);
        char *argv[] = {(char[]){"verb"}, letter, NULL};
        assert_true(options_parse(&set, 2, argv, &operands, &count, &help, &error));
        assert_true(help);
    }
}

static void help_tells_every_option(void **state)
{
    (void)state;
    const char *text = NULL;
    const struct option table[] = {{"text", 't', OPTION_TEXT, &text, "FILE", "A text."}, {0}};
    const struct option_set set = {"verb [OPTIONS]", "Does it.", "0: done.", table};
    char *printed = NULL;
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    options_print_help(&set, out);
    fclose(out);
    assert_non_null(strstr(printed, "gitmoor verb [OPTIONS]"));
    assert_non_null(strstr(printed, "-t, --text FILE"));
    assert_non_null(strstr(printed, "A text."));
    assert_non_null(strstr(printed, "0: done."));
    free(printed);
}

struct words_case {
    const char *sentence;
    const char *before, *begun;
    const char *expected; /* joined by newlines, each with one */
};

static const struct words_case words[] = {
    {"a dash begins every option", "verb", "-", "--text\n--choice\n--flag\n"},
    {"what is begun chooses", "verb", "--te", "--text\n"},
    {"an operand is anything", "verb", "x", ""},
    {"so is the value of an option", "--text", "", ""},
    {"the choices of one are words", "--choice", "", "one\ntwo\nthree\n"},
    {"by its letter too", "-c", "t", "two\nthree\n"},
    {"a choice that is written out stays", "-c", "two", "two\n"},
    {"what is longer than a choice is none", "-c", "twofold", ""},
    {"after a flag stands whatever else may", "--flag", "--c", "--choice\n"},
    {"after a value, too", "--text=x", "--c", "--choice\n"},
};

static void the_words_that_may_stand_somewhere_are_told(void **state)
{
    (void)state;
    const char *text = NULL;
    unsigned choice = 0;
    bool flag = false;
    const struct option table[] = {
        {"text", 't', OPTION_TEXT, &text, "FILE", "A text."},
        {"choice", 'c', OPTION_CHOICE, &choice, "one|two|three", "A choice."},
        {"flag", 'f', OPTION_FLAG, &flag, NULL, "A flag."},
        {0},
    };
    const struct option_set set = {"verb", "Does.", "0", table};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        AUTO_FREE char *printed = NULL;
        size_t size;
        FILE *out = open_memstream(&printed, &size);
        options_print_words(&set, words[i].before, words[i].begun, out);
        fclose(out);
        if (strcmp(printed, words[i].expected) != 0) {
            fail_msg("%s: got \"%s\"", words[i].sentence, printed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_lines_are_read_as_kubectl_reads_them),
        cmocka_unit_test(help_is_asked_for_by_name_or_letter),
        cmocka_unit_test(help_tells_every_option),
        cmocka_unit_test(the_words_that_may_stand_somewhere_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
