/* Unit tests of differ/sync_window.c. */
#include "differ/sync_window.h"

#include "common/base/clock.h"
#include "common/base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static void read_text(const char *text, struct sync_windows *ret)
{
    struct error error;
    AUTO_JSON cJSON *list = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &list, &error));
    sync_windows_read(list, ret);
}

static int64_t instant(const char *text)
{
    int64_t at;
    assert_true(clock_parse_rfc3339(text, &at));
    return at;
}

#define NIGHT "{\"kind\":\"Allow\",\"schedule\":\"0 22 * * 1-5\",\"duration\":\"8h\"}"
#define NIGHT_IN_BERLIN                                                                            \
    "{\"kind\":\"Allow\",\"schedule\":\"0 22 * * 1-5\",\"duration\":\"8h\","                       \
    "\"timeZone\":\"Europe/Berlin\"}"
#define FREEZE "{\"kind\":\"Deny\",\"schedule\":\"0 0 24 12 *\",\"duration\":\"72h\"}"
#define NO_REPAIRS                                                                                 \
    "{\"kind\":\"Deny\",\"schedule\":\"0 9 * * *\",\"duration\":\"1h\",\"drift\":\"Wait\"}"

static void windows_are_open_when_one_allows_and_none_denies(void **state)
{
    (void)state;
    static const struct {
        const char *windows, *at;
        bool revisions, repairs;
        const char *opens; /* next, for revisions; NULL: not asked */
    } cases[] = {
        {"[]", "2026-11-24T12:00:00Z", true, true, NULL},
        {"[" NIGHT "]", "2026-11-24T21:59:59Z", false, true, "2026-11-24T22:00:00Z"},
        {"[" NIGHT "]", "2026-11-24T22:00:00Z", true, true, NULL},
        {"[" NIGHT "]", "2026-11-25T05:59:59Z", true, true, NULL},
        {"[" NIGHT "]", "2026-11-25T06:00:00Z", false, true, "2026-11-25T22:00:00Z"},
        {"[" NIGHT "]", "2026-11-28T05:59:59Z", true, true, NULL}, /* begun on Friday */
        {"[" NIGHT "]", "2026-11-28T12:00:00Z", false, true, "2026-11-30T22:00:00Z"},
        {"[" NIGHT_IN_BERLIN "]", "2026-11-24T20:59:59Z", false, true, "2026-11-24T21:00:00Z"},
        {"[" FREEZE "]", "2026-12-23T12:00:00Z", true, true, NULL},
        {"[" FREEZE "]", "2026-12-25T12:00:00Z", false, true, "2026-12-27T00:00:00Z"},
        {"[" NIGHT "," FREEZE "]", "2026-12-24T23:00:00Z", false, true, "2026-12-28T22:00:00Z"},
        {"[" NO_REPAIRS "]", "2026-11-24T09:30:00Z", false, false, "2026-11-24T10:00:00Z"},
        {"[" NO_REPAIRS "," NIGHT "]", "2026-11-24T12:00:00Z", false, true, "2026-11-24T22:00:00Z"},
        {"[" NO_REPAIRS "," NIGHT "]", "2026-11-24T09:30:00Z", false, false,
         "2026-11-24T22:00:00Z"},
        {"[{\"kind\":\"Deny\",\"schedule\":\"* * * * *\",\"duration\":\"2m\"}]",
         "2026-11-24T12:00:00Z", false, true, "never"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sync_windows windows;
        read_text(cases[i].windows, &windows);
        assert_null(windows.error);
        int64_t at = instant(cases[i].at);
        if (sync_windows_are_open(&windows, SYNC_REVISIONS, at) != cases[i].revisions ||
            sync_windows_are_open(&windows, SYNC_REPAIRS, at) != cases[i].repairs) {
            fail_msg("%s at %s", cases[i].windows, cases[i].at);
        }
        int64_t opens = sync_windows_next_opening(&windows, SYNC_REVISIONS, at);
        int64_t wanted = !cases[i].opens || text_equal(cases[i].opens, "never")
                             ? INT64_MAX
                             : instant(cases[i].opens);
        if (cases[i].opens && opens != wanted) {
            fail_msg("%s at %s opens at %lld", cases[i].windows, cases[i].at, (long long)opens);
        }
        sync_windows_release(&windows);
    }
}

static void a_window_across_a_jump_lasts_as_long_as_it_says(void **state)
{
    (void)state;
    struct sync_windows windows;
    read_text("[" NIGHT_IN_BERLIN "]", &windows);
    /* Friday 23 October 2026 at 22:00 in Berlin is 20:00 UTC; there is no window on Saturday. */
    windows.list[0].cron.weekdays = 0x7f;
    /* Saturday 22:00 CEST; the clock is put back in that night: eight hours later it is 5:00 CET */
    assert_true(sync_windows_are_open(&windows, SYNC_REVISIONS, instant("2026-10-25T03:59:59Z")));
    assert_false(sync_windows_are_open(&windows, SYNC_REVISIONS, instant("2026-10-25T04:00:00Z")));
    /* put forward: it ends at 7:00 CEST */
    assert_true(sync_windows_are_open(&windows, SYNC_REVISIONS, instant("2026-03-29T04:59:59Z")));
    assert_false(sync_windows_are_open(&windows, SYNC_REVISIONS, instant("2026-03-29T05:00:00Z")));
    sync_windows_release(&windows);
}

static void what_cannot_be_understood_is_named_and_nothing_is_open(void **state)
{
    (void)state;
    static const struct {
        const char *windows, *word;
    } cases[] = {
        {"[{\"kind\":\"Allow\",\"schedule\":\"61 * * * *\",\"duration\":\"1h\"}]",
         "schedule: minute"},
        {"[" NIGHT ",{\"kind\":\"Allow\",\"schedule\":\"0 * * * *\",\"duration\":\"1h\","
         "\"timeZone\":\"Europe/Atlantis\"}]",
         "[1]: timeZone"},
        {"[{\"kind\":\"Allow\",\"schedule\":\"0 * * * *\",\"duration\":\"1s\"}]", "duration"},
        {"[{\"kind\":\"Maybe\",\"schedule\":\"0 * * * *\",\"duration\":\"1h\"}]", "Maybe"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sync_windows windows;
        read_text(cases[i].windows, &windows);
        assert_non_null(windows.error);
        if (!strstr(windows.error, cases[i].word)) {
            fail_msg("%s", windows.error);
        }
        int64_t at = instant("2026-11-24T23:00:00Z");
        assert_false(sync_windows_are_open(&windows, SYNC_REVISIONS, at));
        assert_true(sync_windows_are_open(&windows, SYNC_REPAIRS, at));
        assert_true(sync_windows_next_opening(&windows, SYNC_REVISIONS, at) == INT64_MAX);
        sync_windows_release(&windows);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_open_when_one_allows_and_none_denies),
        cmocka_unit_test(a_window_across_a_jump_lasts_as_long_as_it_says),
        cmocka_unit_test(what_cannot_be_understood_is_named_and_nothing_is_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
