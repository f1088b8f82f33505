/* Man pages: what roff would take for its own is text all the same. */
#include "common/run/manual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *written;
static size_t written_size;

static FILE *begin(void)
{
    return open_memstream(&written, &written_size);
}

static void expect(FILE *out, const char *text)
{
    fclose(out);
    assert_string_equal(written, text);
    free(written);
}

static void a_page_names_program_section_and_version(void **state)
{
    (void)state;
    FILE *out = begin();
    manual_begin(out, "gitmoor-differ", 8, "Renders Git.");
    expect(out,
           ".\\\" Written by the program itself, of the tables behind its --help.\n"
           ".TH \"GITMOOR\\-DIFFER\" 8 \"\" \"Gitmoor " GITMOOR_VERSION "\" \"Gitmoor\"\n.ad l\n"
           ".SH \"NAME\"\ngitmoor\\-differ \\- Renders Git.\n");
}

static void what_begins_like_a_request_is_text(void **state)
{
    (void)state;
    FILE *out = begin();
    manual_paragraph(out, ".sourceignore\n.git\n'it' is a.b");
    expect(out, ".PP\n\\&.sourceignore\n\\&.git\n\\(aqit\\(aq is a.b\n");
}

static void quotes_and_escapes_do_not_end_an_argument(void **state)
{
    (void)state;
    FILE *out = begin();
    manual_item(out, "-n, --name \"X\"", "C:\\x `^1.2` ~/.kube");
    expect(out,
           ".TP\n.B \"\\-n, \\-\\-name \\(dqX\\(dq\"\nC:\\ex \\(ga\\(ha1.2\\(ga \\(ti/.kube\n");
}

static void a_reference_is_a_name_and_a_section(void **state)
{
    (void)state;
    FILE *out = begin();
    manual_reference(out, "gitmoor-applier", 8);
    manual_synopsis(out, "gitmoor get");
    expect(out, ".BR \"gitmoor\\-applier\" (8)\n.PP\n.B \"gitmoor get\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_names_program_section_and_version),
        cmocka_unit_test(what_begins_like_a_request_is_text),
        cmocka_unit_test(quotes_and_escapes_do_not_end_an_argument),
        cmocka_unit_test(a_reference_is_a_name_and_a_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
