/* The file of the tenancy settings: read at start, read anew when it changes, kept when it breaks.
 */
#include "common/run/tenancy_file.h"

#include "common/base/memory.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct seen {
    unsigned changes, troubles;
    char trouble[ERROR_MESSAGE_SIZE];
};

static char path[64];

static void on_changed(void *context)
{
    struct seen *seen = context;
    seen->changes++;
}

static void on_trouble(const struct error *error, void *context)
{
    struct seen *seen = context;
    seen->troubles++;
    snprintf(seen->trouble, sizeof seen->trouble, "%s", error->message);
}

/* Renamed into place, as a mounted file is: another inode each time. */
static void write_settings(const char *text)
{
    char fresh[80];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(rename(fresh, path), 0);
}

static bool allows(const struct tenancy_file *file, const char *namespace_)
{
    struct error error;
    return tenancy_check_url(tenancy_file_get(file), namespace_, "https://example.org/x", &error);
}

static double gauge(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    metrics_write(&text);
    const char *line = strstr(text.data, "\ngitmoor_tenancy_current ");
    double value = line ? strtod(line + strlen("\ngitmoor_tenancy_current "), NULL) : -1;
    buf_release(&text);
    return value;
}

static void a_change_is_taken_and_a_broken_one_is_not(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct seen seen = {0};
    struct error error;
    const struct tenancy_file_options options = {
        .base = base, .path = path, .changed = on_changed, .trouble = on_trouble, .context = &seen};
    struct tenancy_file *file = NULL;
    assert_false(tenancy_file_open(&options, &file, &error)); /* there is none */
    write_settings("rules:\n- namespaces: [a\n");
    assert_false(tenancy_file_open(&options, &file, &error));
    write_settings("rules: [{namespaces: [a]}]\n");
    assert_true(tenancy_file_open(&options, &file, &error));
    assert_true(allows(file, "a") && !allows(file, "b") && gauge() == 1);

    write_settings("rules: [{namespaces: [b]}]\n");
    while (seen.changes == 0) {
        event_base_loop(base, EVLOOP_ONCE); /* by the timer */
    }
    assert_true(!allows(file, "a") && allows(file, "b"));

    write_settings("rules:\n- namespace: [a]\n");
    tenancy_file_poll(file);
    tenancy_file_poll(file);
    assert_int_equal(seen.troubles, 1); /* told once */
    assert_non_null(strstr(seen.trouble, ":2: unknown field \"namespace\""));
    assert_true(allows(file, "b") && gauge() == 0);

    assert_int_equal(unlink(path), 0);
    tenancy_file_poll(file);
    assert_int_equal(seen.troubles, 2);
    assert_true(allows(file, "b"));

    write_settings("rules: [{namespaces: [a, b]}]\n");
    tenancy_file_poll(file);
    assert_int_equal(seen.changes, 2);
    assert_true(allows(file, "a") && gauge() == 1);
    tenancy_file_free(file);
    event_base_free(base);
}

static void without_a_file_there_are_no_settings(void **state)
{
    (void)state;
    const struct tenancy_file_options options = {.path = ""};
    struct tenancy_file *file;
    struct error error;
    assert_true(tenancy_file_open(&options, &file, &error));
    assert_null(tenancy_file_get(file));
    tenancy_file_free(file);
    assert_null(tenancy_file_get(NULL));
}

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/test-tenancy-%d.yaml", (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_taken_and_a_broken_one_is_not),
        cmocka_unit_test(without_a_file_there_are_no_settings),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
