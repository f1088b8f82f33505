/* Unit tests of common/kube/watch.c and store.c, with a scripted API server. */
#include "common/base/text.h"
#include "common/kube/watch.h"
#include "kube_server.h"

#define A1 "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"1\"}}"
#define A3 "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"3\"}}"
#define B2                                                                                         \
    "{\"metadata\":{\"name\":\"b\",\"resourceVersion\":\"2\",\"managedFields\":[{\"manager\":"     \
    "\"x\"}]}}"
#define LIST(version, items)                                                                       \
    "{\"metadata\":{\"resourceVersion\":\"" version "\"},\"items\":[" items "]}"
#define PAGE(next, items) "{\"metadata\":{\"continue\":\"" next "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define GONE "{\"kind\":\"Status\",\"code\":410,\"message\":\"too old\"}"

enum free_at { FREE_NEVER, FREE_IN_EVENT, FREE_IN_SYNCED, FREE_IN_TROUBLE };

struct seen {
    struct server *server;
    struct kube_watch *watch;
    struct kube_store *store;
    struct buf log;
    enum free_at free_at;
    const char *until; /* done when the log contains it */
    bool done;
};

static void log_line(struct seen *seen, const char *format, ...)
{
    va_list arguments;
    char line[4096];
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    buf_append_string(&seen->log, line);
    buf_append_char(&seen->log, '\n');
    seen->done = seen->done || strstr(seen->log.data, seen->until) != NULL;
}

static void free_if(struct seen *seen, enum free_at here)
{
    if (seen->free_at == here) {
        kube_watch_free(seen->watch);
        kube_store_free(seen->store);
        seen->watch = NULL;
        seen->store = NULL;
    }
}

static void on_event(const struct kube_event *event, void *context)
{
    struct seen *seen = context;
    log_line(seen, "%s %s %s %s/%s %llu%s",
             event->type == KUBE_EVENT_PRESENT ? "present" : "deleted",
             json_string_path(event->object, "metadata.name"), event->resource_version,
             json_string(event->object, "apiVersion"), json_string(event->object, "kind"),
             (unsigned long long)event->epoch, event->listed ? " listed" : "");
    free_if(seen, FREE_IN_EVENT);
}

static void on_synced(uint64_t epoch, void *context)
{
    struct seen *seen = context;
    log_line(seen, "synced %llu", (unsigned long long)epoch);
    free_if(seen, FREE_IN_SYNCED);
}

static void on_trouble(const struct error *error, void *context)
{
    struct seen *seen = context;
    log_line(seen, "%s", error ? error->message : "recovered");
    free_if(seen, FREE_IN_TROUBLE);
}

/* Follows the script until the log contains `until`, and returns the log. */
static char *watch(const struct step *steps, const char *until, enum free_at free_at)
{
    struct server server;
    struct seen seen = {.server = &server, .until = until, .free_at = free_at};
    server_start(&server, steps);
    buf_init(&seen.log, 65536);
    struct kube_watch_options options = {.path = "/things",
                                         .api_version = "t/v1",
                                         .kind = "Thing",
                                         .label_selector = "a=b,c",
                                         .event = on_event,
                                         .synced = on_synced,
                                         .trouble = on_trouble,
                                         .context = &seen};
    seen.watch = kube_watch_new(server.client, &options);
    server_run(&server, &seen.done);
    /* Nothing more may come of a watch that is gone. */
    event_base_loop(server.base, EVLOOP_NONBLOCK);
    kube_watch_free(seen.watch);
    server_stop(&server);
    char *log = buf_detach(&seen.log);
    buf_release(&seen.log);
    return log;
}

static void check(const struct step *steps, const char *until, enum free_at free_at,
                  const char *expected)
{
    AUTO_FREE char *log = watch(steps, until, free_at);
    assert_string_equal(log, expected);
}

static void test_pages_then_events_then_on_after_the_end(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"/things?limit=500&labelSelector=a%3Db%2Cc", 200, PAGE("x/y", A1), false},
        {"&continue=x%2Fy", 200, LIST("5", B2), false},
        {"resourceVersion=5&labelSelector=a%3Db%2Cc", 200,
         EVENT("MODIFIED", A3) EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"9\"}}"),
         false},
        {"resourceVersion=9&", 200, EVENT("DELETED", B2), true},
        {0}};
    check(steps, "deleted", FREE_NEVER,
          "present a 1 t/v1/Thing 1 listed\npresent b 2 t/v1/Thing 1 listed\nsynced 1\n"
          "present a 3 t/v1/Thing 1\ndeleted b 2 t/v1/Thing 1\n");
}

static void test_history_that_is_gone_is_listed_again(void **state)
{
    (void)state;
    static const struct step by_event[] = {{"?limit", 200, LIST("5", A1), false},
                                           {"watch=1", 200, EVENT("ERROR", GONE), true},
                                           {"?limit", 200, LIST("8", B2), false},
                                           {"resourceVersion=8", 200, "", true},
                                           {0}};
    static const struct step by_status[] = {{"?limit", 200, LIST("5", A1), false},
                                            {"watch=1", 410, GONE, false},
                                            {"?limit", 200, LIST("8", B2), false},
                                            {"resourceVersion=8", 200, "", true},
                                            {0}};
    static const struct step between_pages[] = {{"?limit", 200, PAGE("x", A1), false},
                                                {"continue=x", 410, GONE, false},
                                                {"?limit", 200, LIST("8", B2), false},
                                                {"resourceVersion=8", 200, "", true},
                                                {0}};
    const char *expected = "present a 1 t/v1/Thing 1 listed\nsynced 1\n"
                           "present b 2 t/v1/Thing 2 listed\nsynced 2\n";
    check(by_event, "synced 2", FREE_NEVER, expected);
    check(by_status, "synced 2", FREE_NEVER, expected);
    check(between_pages, "synced 2", FREE_NEVER,
          "present a 1 t/v1/Thing 1 listed\npresent b 2 t/v1/Thing 2 listed\nsynced 2\n");
}

static void test_trouble_is_told_once_and_when_it_ends(void **state)
{
    (void)state;
    static const struct step steps[] = {
        {"?limit", 403, "{\"message\":\"forbidden\"}", false},
        {"?limit", 403, "{\"message\":\"forbidden\"}", false},
        {"?limit", 200, "{\"items\":[", false},
        {"?limit", 200, "{\"items\":[]}", false},
        {"?limit", 200, LIST("5", ""), false},
        {"resourceVersion=5", 500, "{\"message\":\"broken\"}", false},
        {"resourceVersion=5", 200, EVENT("ADDED", A1) "nonsense\n", true},
        {"?limit", 200, LIST("6", ""), false},
        {"resourceVersion=6", 200, "", true},
        {0}};
    AUTO_FREE char *log = watch(steps, "synced 6", FREE_NEVER);
    static const char *const lines[] = {"forbidden\nGET /things: the answer is not",
                                        "GET /things: the list has no resourceVersion\nrecovered\n"
                                        "synced 5\nwatching /things: broken\nrecovered\npresent a",
                                        "watching /things: a watch event", "recovered\nsynced 6\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(log, lines[i])) {
            fail_msg("%s is not in %s", lines[i], log);
        }
    }
}

static void test_a_watch_may_be_freed_in_each_of_its_callbacks(void **state)
{
    (void)state;
    static const struct step listed[] = {{"?limit", 200, LIST("5", A1 "," B2), false}, {0}};
    static const struct step synced[] = {{"?limit", 200, LIST("5", ""), false}, {0}};
    static const struct step streamed[] = {
        {"?limit", 200, LIST("5", ""), false},
        {"watch=1", 200, EVENT("ADDED", A1) EVENT("ADDED", B2), true},
        {0}};
    static const struct step refused[] = {{"?limit", 403, "{\"message\":\"no\"}", false}, {0}};
    static const struct step broken[] = {
        {"?limit", 200, LIST("5", ""), false}, {"watch=1", 200, "nonsense\n", true}, {0}};
    check(listed, "present", FREE_IN_EVENT, "present a 1 t/v1/Thing 1 listed\n");
    check(synced, "synced", FREE_IN_SYNCED, "synced 1\n");
    check(streamed, "present", FREE_IN_EVENT, "synced 1\npresent a 1 t/v1/Thing 1\n");
    check(refused, "no", FREE_IN_TROUBLE, "no\n");
    AUTO_FREE char *log = watch(broken, "watch event", FREE_IN_TROUBLE);
    assert_non_null(strstr(log, "watching /things: a watch event"));
}

/* ---- The store ---- */

static void count_object(const cJSON *object, void *context)
{
    assert_non_null(json_string_path(object, "metadata.resourceVersion"));
    ++*(size_t *)context;
}

static void on_changed(const char *namespace_, const char *name, const cJSON *now,
                       const cJSON *before, void *context)
{
    struct seen *seen = context;
    assert_string_equal(namespace_, "");
    /* Whoever is told may look at the store: the trees told of stay. */
    AUTO_JSON cJSON *copy = kube_store_copy(seen->store, namespace_, name);
    if (now) {
        assert_true(json_equal(copy, now));
    } else {
        assert_null(copy);
    }
    size_t count = 0;
    kube_store_each(seen->store, count_object, &count);
    assert_int_equal(count, kube_store_count(seen->store));
    log_line(seen, "%s %s -> %s", name,
             text_or_empty(json_string_path(before, "metadata.resourceVersion")),
             text_or_empty(json_string_path(now, "metadata.resourceVersion")));
    free_if(seen, FREE_IN_EVENT);
}

static void on_store_synced(void *context)
{
    struct seen *seen = context;
    log_line(seen, "synced, %zu", kube_store_count(seen->store));
    free_if(seen, FREE_IN_SYNCED);
}

static void check_what_is_stored(const struct kube_store *store, bool compact)
{
    assert_true(kube_store_is_synced(store));
    assert_null(kube_store_get(store, NULL, "nobody"));
    assert_null(kube_store_copy(store, NULL, "nobody"));
    assert_int_equal(kube_store_get(store, NULL, "b") != NULL, !compact);
    AUTO_JSON cJSON *copy = kube_store_copy(store, NULL, "b");
    assert_string_equal(json_string_path(copy, "metadata.resourceVersion"), "2");
    assert_null(json_get_path(copy, "metadata.managedFields"));
}

static void check_store_kept(bool compact, const struct step *steps, const char *until,
                             enum free_at free_at, const char *expected)
{
    struct server server;
    struct seen seen = {.server = &server, .until = until, .free_at = free_at};
    server_start(&server, steps);
    buf_init(&seen.log, 65536);
    struct kube_store_options options = {
        .compact = compact,
        .watch = {.path = "/things", .api_version = "t/v1", .kind = "Thing"},
        .changed = on_changed,
        .synced = on_store_synced,
        .trouble = on_trouble,
        .context = &seen};
    seen.store = kube_store_new(server.client, &options);
    server_run(&server, &seen.done);
    event_base_loop(server.base, EVLOOP_NONBLOCK);
    assert_string_equal(seen.log.data, expected);
    if (seen.store) {
        check_what_is_stored(seen.store, compact);
    }
    kube_store_free(seen.store);
    buf_release(&seen.log);
    server_stop(&server);
}

/* Kept as trees and as texts, a store tells the same. */
static void check_store(const struct step *steps, const char *until, enum free_at free_at,
                        const char *expected)
{
    check_store_kept(false, steps, until, free_at, expected);
    check_store_kept(true, steps, until, free_at, expected);
}

static void test_a_store_tells_what_changed_and_what_a_list_no_longer_has(void **state)
{
    (void)state;
    static const struct step steps[] = {{"?limit", 200, LIST("5", A1 "," B2), false},
                                        {"watch=1", 200,
                                         EVENT("MODIFIED", A3) EVENT("MODIFIED", A3)
                                             EVENT("DELETED", B2) EVENT("DELETED", B2)
                                                 EVENT("ERROR", GONE),
                                         true},
                                        {"?limit", 200, LIST("8", B2), false},
                                        {"resourceVersion=8", 200, "", true},
                                        {0}};
    check_store(steps, "synced, 1", FREE_NEVER,
                "a  -> 1\nb  -> 2\nsynced, 2\na 1 -> 3\nb 2 -> \nb  -> 2\na 3 -> \nsynced, 1\n");
}

static void test_a_store_may_be_freed_in_its_callbacks(void **state)
{
    (void)state;
    static const struct step listed[] = {{"?limit", 200, LIST("5", A1 "," B2), false}, {0}};
    static const struct step refused[] = {{"?limit", 403, "{\"message\":\"no\"}", false}, {0}};
    check_store(listed, "a ", FREE_IN_EVENT, "a  -> 1\n");
    check_store(listed, "synced", FREE_IN_SYNCED, "a  -> 1\nb  -> 2\nsynced, 2\n");
    check_store(refused, "no", FREE_IN_TROUBLE, "no\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages_then_events_then_on_after_the_end),
        cmocka_unit_test(test_history_that_is_gone_is_listed_again),
        cmocka_unit_test(test_trouble_is_told_once_and_when_it_ends),
        cmocka_unit_test(test_a_watch_may_be_freed_in_each_of_its_callbacks),
        cmocka_unit_test(test_a_store_tells_what_changed_and_what_a_list_no_longer_has),
        cmocka_unit_test(test_a_store_may_be_freed_in_its_callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
