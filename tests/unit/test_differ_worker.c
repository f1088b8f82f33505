#include "differ/worker.h"

#include "common/base/map.h"
#include "common/data/json.h"
#include "differ/render/odb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "differ_repository.h"

#define MAP(name) "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " name "\n"

/* ---- Asking ---- */

struct ask {
    const char *commit;
    bool with_pack;
    const char *applications; /* JSON */
};

struct answer {
    char *text;
    size_t size;
    cJSON *lines[64];
    size_t count;
};

static void answer_release(struct answer *answer)
{
    for (size_t i = 0; i < answer->count; i++) {
        json_free(answer->lines[i]);
    }
    free(answer->text);
}
#define AUTO_ANSWER __attribute__((cleanup(answer_release)))

static void ask_text(const char *request, struct answer *answer)
{
    struct error error = {0};
    *answer = (struct answer){0};
    FILE *out = open_memstream(&answer->text, &answer->size);
    assert_true(worker_run(request, strlen(request), out, &error));
    fclose(out);
    for (char *line = answer->text; *line && answer->count < COUNT(answer->lines);) {
        size_t length = strcspn(line, "\n");
        assert_int_equal(line[length], '\n'); /* the last line is ended too */
        assert_true(json_parse(line, length, NULL, &answer->lines[answer->count++], &error));
        line += length + 1;
    }
}

/* `more`: fields of the request, each with a comma after it. */
static void ask_more(const struct ask *it, const char *more, struct answer *answer)
{
    AUTO_FREE char *pack = mem_format("\"pack\":\"%s\",", upstream.pack);
    AUTO_FREE char *request =
        mem_format("{\"repository\":\"%s\",%s%s\"commit\":\"%s\",\"revision\":\"main@sha1:%s\","
                   "\"applications\":%s}",
                   upstream.database, it->with_pack ? pack : "", more, it->commit, it->commit,
                   it->applications);
    ask_text(request, answer);
}

static void ask(const struct ask *it, struct answer *answer)
{
    ask_more(it, "", answer);
}

static void assert_refused(const struct answer *answer, const char *reason)
{
    if (answer->count != 1 || json_bool(answer->lines[0], "ok", true) ||
        strcmp(json_string(answer->lines[0], "reason"), reason) != 0 ||
        !*json_string(answer->lines[0], "message")) {
        fail_msg("not refused for %s: %s", reason, answer->text);
    }
}

/* ---- Tests ---- */

static const struct tree_file files[] = {
    {"one/b.yaml", MAP("b"), false},
    {"one/a.yaml", "# head\n" MAP("a"), false},
    {"two/c.yaml", MAP("c"), false},
    {"bad/d.yaml", MAP("d") "---\nreplicas: 1\n", false},
};

static void each_application_is_answered_in_turn(void **state)
{
    (void)state;
    AUTO_ANSWER struct answer answer;
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    ask(&(struct ask){commit, true,
                      "[{\"key\":\"s/one\",\"path\":\"one\",\"renderKey\":\"\"},"
                      "{\"key\":\"s/bad\",\"path\":\"bad\",\"renderKey\":\"\"},"
                      "{\"key\":\"s/none\",\"path\":\"none\",\"renderKey\":\"\"}]"},
        &answer);
    assert_int_equal(answer.count, 10);
    assert_true(json_bool(answer.lines[0], "ok", false));
    assert_string_equal(json_string(answer.lines[0], "commit"), commit);
    assert_string_equal(json_string(answer.lines[1], "application"), "s/one");
    assert_int_equal(strlen(json_string(answer.lines[1], "renderKey")), 64);
    assert_int_equal(json_int(answer.lines[1], "objects", -1), 2);
    assert_int_equal(json_size(json_array(answer.lines[1], "errors")), 0);
    assert_string_equal(json_string(answer.lines[2], "file"), "one/a.yaml");
    assert_int_equal(json_int(answer.lines[2], "line", -1), 2);
    assert_string_equal(json_string_path(answer.lines[3], "metadata.name"), "a");
    assert_string_equal(json_string(answer.lines[4], "file"), "one/b.yaml");
    /* One that fails does not fail the others, and its good objects are there. */
    const cJSON *error = json_first(json_array(answer.lines[6], "errors"));
    assert_int_equal(json_int(answer.lines[6], "objects", -1), 1);
    assert_string_equal(json_string(error, "file"), "bad/d.yaml");
    assert_int_equal(json_int(error, "line", -1), 6);
    assert_string_equal(json_string_path(answer.lines[8], "metadata.name"), "d");
    assert_string_equal(json_string(answer.lines[9], "application"), "s/none");
    assert_int_equal(json_size(json_array(answer.lines[9], "errors")), 1);
}

static void a_path_that_does_not_exist_is_named_with_the_revision(void **state)
{
    (void)state;
    AUTO_ANSWER struct answer answer;
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    ask(&(struct ask){commit, true, "[{\"key\":\"s/none\",\"path\":\"no/ne\",\"renderKey\":\"\"}]"},
        &answer);
    assert_int_equal(answer.count, 2);
    const char *message = json_string(json_first(json_array(answer.lines[1], "errors")), "message");
    assert_non_null(strstr(message, "no/ne"));
    assert_non_null(strstr(message, commit));
    assert_int_equal(strlen(json_string(answer.lines[1], "renderKey")), 64);
}

static char *key_in(const struct answer *answer, size_t line)
{
    return mem_string(json_string(answer->lines[line], "renderKey"));
}

static void of_a_thousand_applications_only_the_changed_one_is_parsed(void **state)
{
    (void)state;
    enum { MANY = 1000, CHANGED = 417 };
    static char paths[MANY][32];
    static char contents[MANY][96];
    static struct tree_file many[MANY];
    char before[41];
    char after[41];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(paths[i], sizeof(paths[i]), "apps/a%zu/m.yaml", i);
        snprintf(contents[i], sizeof(contents[i]), MAP("m%zu"), i);
        many[i] = (struct tree_file){paths[i], contents[i], false};
    }
    upstream_commit(&upstream, many, MANY, NULL, before);
    upstream_pack(&upstream, before, NULL, NULL);
    AUTO_BUF struct buf list;
    buf_init(&list, 1000000);
    for (size_t i = 0; i < MANY; i++) {
        buf_append_format(&list, "%c{\"key\":\"s/a%zu\",\"path\":\"apps/a%zu\",\"renderKey\":\"\"}",
                          i ? ',' : '[', i, i);
    }
    buf_append_string(&list, "]");
    struct answer first;
    ask(&(struct ask){before, true, list.data}, &first);
    buf_clear(&list);
    /* Three lines an application; their keys go into the next request. */
    char *line = strchr(first.text, '\n') + 1;
    for (size_t i = 0; i < MANY; i++) {
        char *key = strstr(line, "\"renderKey\":\"");
        buf_append_format(&list,
                          "%c{\"key\":\"s/a%zu\",\"path\":\"apps/a%zu\",\"renderKey\":\"%.64s\"}",
                          i ? ',' : '[', i, i, key + strlen("\"renderKey\":\""));
        for (int skip = 0; skip < 3; skip++) {
            line = strchr(line, '\n') + 1;
        }
    }
    assert_int_equal(*line, '\0');
    buf_append_string(&list, "]");
    answer_release(&first);
    snprintf(contents[CHANGED], sizeof(contents[CHANGED]), MAP("changed"));
    upstream_commit(&upstream, many, MANY, before, after);
    upstream_pack(&upstream, after, before, NULL);
    struct answer second;
    ask(&(struct ask){after, true, list.data}, &second);
    size_t unchanged = 0;
    for (char *at = second.text; (at = strstr(at, "\"unchanged\":true")); at++) {
        unchanged++;
    }
    assert_int_equal(unchanged, MANY - 1);
    assert_non_null(strstr(second.text, "\"name\":\"changed\""));
    answer_release(&second);
}

static void a_key_that_is_known_is_answered_unchanged(void **state)
{
    (void)state;
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    AUTO_ANSWER struct answer first;
    ask(&(struct ask){commit, true, "[{\"key\":\"s/bad\",\"path\":\"bad\",\"renderKey\":\"\"}]"},
        &first);
    AUTO_FREE char *key = key_in(&first, 1);
    AUTO_FREE char *applications =
        mem_format("[{\"key\":\"s/bad\",\"path\":\"bad\",\"renderKey\":\"%s\"}]", key);
    AUTO_ANSWER struct answer second;
    ask(&(struct ask){commit, false, applications}, &second);
    assert_int_equal(second.count, 2);
    assert_true(json_bool(second.lines[1], "unchanged", false));
    assert_string_equal(json_string(second.lines[1], "renderKey"), key);
}

static void a_commit_that_is_not_here_is_asked_for(void **state)
{
    (void)state;
    char held[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, held);
    upstream_pack(&upstream, held, NULL, NULL);
    AUTO_ANSWER struct answer first;
    ask(&(struct ask){held, true, "[]"}, &first);
    assert_int_equal(first.count, 1);
    AUTO_ANSWER struct answer answer;
    ask(&(struct ask){"0123456789012345678901234567890123456789", false, "[]"}, &answer);
    assert_refused(&answer, "missing-objects");
    /* That says nothing about the commit that is here. */
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ""), 1);
}

static void a_pack_that_lacks_a_file_is_noticed_before_anything_is_answered(void **state)
{
    (void)state;
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, "b.yaml");
    AUTO_ANSWER struct answer answer;
    ask(&(struct ask){commit, true,
                      "[{\"key\":\"s/two\",\"path\":\"two\",\"renderKey\":\"\"},"
                      "{\"key\":\"s/one\",\"path\":\"one\",\"renderKey\":\"\"}]"},
        &answer);
    assert_refused(&answer, "missing-objects");
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ""), 0);
    upstream_pack(&upstream, commit, NULL, NULL); /* and mended by a whole pack */
    AUTO_ANSWER struct answer again;
    ask(&(struct ask){commit, true, "[{\"key\":\"s/one\",\"path\":\"one\",\"renderKey\":\"\"}]"},
        &again);
    assert_int_equal(again.count, 6);
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ""), 1);
}

static void a_pack_that_lacks_a_tree_is_noticed(void **state)
{
    (void)state;
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, "one");
    AUTO_ANSWER struct answer answer;
    ask(&(struct ask){commit, true, "[{\"key\":\"s/one\",\"path\":\"one\",\"renderKey\":\"\"}]"},
        &answer);
    assert_refused(&answer, "missing-objects");
}

static void an_invalid_pack_is_refused_and_nothing_is_claimed_any_more(void **state)
{
    (void)state;
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    AUTO_ANSWER struct answer first;
    ask(&(struct ask){commit, true, "[]"}, &first);
    FILE *out = fopen(upstream.pack, "w");
    fputs("PACK and nothing", out);
    fclose(out);
    AUTO_ANSWER struct answer answer;
    ask(&(struct ask){commit, true, "[]"}, &answer);
    assert_refused(&answer, "invalid-pack");
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, ""), 0);
}

static void a_pack_that_cannot_be_read_is_the_systems_fault(void **state)
{
    (void)state;
    AUTO_ANSWER struct answer answer;
    strcpy(upstream.pack, "/nonexistent/pack");
    ask(&(struct ask){"0123456789012345678901234567890123456789", true, "[]"}, &answer);
    assert_refused(&answer, "system");
}

static void a_malformed_request_is_refused(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"repository\":\"/tmp/x\",\"commit\":\"abc\"}",
        "{\"repository\":\"\",\"commit\":\"a\",\"applications\":[]}",
        "{\"repository\":\"/tmp/x\",\"commit\":\"a\",\"applications\":[3]}",
        "{\"repository\":\"/tmp/x\",\"commit\":\"a\",\"applications\":[{\"key\":\"a\"}]}"};
    for (size_t i = 0; i < COUNT(requests); i++) {
        AUTO_ANSWER struct answer answer;
        ask_text(requests[i], &answer);
        assert_refused(&answer, "invalid-request");
    }
    AUTO_ANSWER struct answer answer;
    ask(&(struct ask){"main", false, "[]"}, &answer);
    assert_refused(&answer, "invalid-request");
}

static const struct tree_file with_overlay[] = {
    {"one/a.yaml", MAP("a"), false},
    {"overlay/kustomization.yaml", "resources: [b.yaml]\n", false},
    {"overlay/b.yaml", MAP("b"), false},
};

#define OVERLAY "{\"key\":\"s/overlay\",\"path\":\"overlay\",\"renderKey\":\"\"}"
#define ONE "{\"key\":\"s/one\",\"path\":\"one\",\"renderKey\":\"\"}"

static void what_other_programs_build_is_deferred_by_a_look(void **state)
{
    (void)state;
    char commit[41];
    upstream_commit(&upstream, with_overlay, COUNT(with_overlay), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    AUTO_ANSWER struct answer look;
    ask(&(struct ask){commit, true, "[" OVERLAY "," ONE "]"}, &look);
    assert_int_equal(look.count, 5);
    assert_true(json_bool(look.lines[1], "deferred", false));
    assert_int_equal(strlen(json_string(look.lines[1], "renderKey")), 64);
    assert_int_equal(json_int(look.lines[2], "objects", -1), 1);
    AUTO_ANSWER struct answer build;
    ask_more(&(struct ask){commit, false, "[" OVERLAY "]"}, "\"build\":\"0\",", &build);
    assert_false(json_bool(build.lines[1], "deferred", false));
    assert_string_equal(json_string(build.lines[1], "renderKey"),
                        json_string(look.lines[1], "renderKey"));
}

static void the_bytes_of_a_part_are_counted(void **state)
{
    (void)state;
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    AUTO_ANSWER struct answer answer;
    ask(&(struct ask){commit, true, "[" ONE "]"}, &answer);
    const char *part = strchr(strchr(answer.text, '\n') + 1, '\n') + 1;
    assert_int_equal(json_int(answer.lines[1], "bytes", -1), strlen(part));
}

static void a_build_begins_with_nothing_after_its_time(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    char commit[41];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    AUTO_BUF struct buf list;
    buf_init(&list, 1000000);
    for (size_t i = 0; i < MANY; i++) {
        buf_append_string(&list, i ? "," ONE : "[" ONE);
    }
    buf_append_string(&list, "]");
    AUTO_ANSWER struct answer answer;
    ask_more(&(struct ask){commit, true, list.data}, "\"limits\":{\"slice\":1},", &answer);
    assert_true(json_bool(answer.lines[0], "ok", false));
    assert_int_equal(answer.count, 6); /* one is begun in any case, and has two objects */
}

static void a_build_leaves_the_repository_to_those_who_write_to_it(void **state)
{
    (void)state;
    char commit[41], command[256];
    upstream_commit(&upstream, files, COUNT(files), NULL, commit);
    upstream_pack(&upstream, commit, NULL, NULL);
    AUTO_ANSWER struct answer look;
    ask(&(struct ask){commit, true, "[]"}, &look);
    snprintf(command, sizeof command,
             "cd %s && touch objects/pack/pack_git2_x && mkdir -p build/1 build/2 && rm "
             "-r " ODB_REF_DIRECTORY,
             upstream.database);
    assert_int_equal(system(command), 0);
    AUTO_ANSWER struct answer build;
    ask_more(&(struct ask){commit, false, "[" ONE "]"}, "\"build\":\"1\",", &build);
    assert_int_equal(json_int(build.lines[1], "objects", -1), 2);
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", "pack_git2_x"), 1);
    assert_int_equal(upstream_count_files(&upstream, ODB_REF_DIRECTORY, commit), 0);
    assert_int_equal(upstream_count_files(&upstream, "build", ""), 1); /* its own is gone */
    AUTO_ANSWER struct answer tidy;
    ask_more(&(struct ask){commit, false, "[]"}, "\"tidy\":true,", &tidy);
    assert_int_equal(upstream_count_files(&upstream, "objects/pack", "pack_git2_x"), 0);
    assert_int_equal(upstream_count_files(&upstream, "build", ""), 0);
}

static void packs_do_not_accumulate(void **state)
{
    (void)state;
    char commits[2][41];
    char text[128];
    for (size_t i = 0; i < ODB_PACKS_MAXIMUM + 5; i++) {
        snprintf(text, sizeof(text), MAP("v%zu"), i);
        const struct tree_file changing[] = {{"one/a.yaml", text, false}};
        AUTO_ANSWER struct answer answer;
        upstream_commit(&upstream, changing, 1, i ? commits[(i + 1) % 2] : NULL, commits[i % 2]);
        upstream_pack(&upstream, commits[i % 2], i ? commits[(i + 1) % 2] : NULL, NULL);
        ask_more(&(struct ask){commits[i % 2], true,
                               "[{\"key\":\"s/one\",\"path\":\"one\",\"renderKey\":\"\"}]"},
                 "\"tidy\":true,", &answer);
        assert_int_equal(answer.count, 4);
    }
    assert_true(upstream_count_files(&upstream, "objects/pack", ".pack") <= 6);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_upstream, close_upstream)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_application_is_answered_in_turn),
        TEST(a_path_that_does_not_exist_is_named_with_the_revision),
        TEST(of_a_thousand_applications_only_the_changed_one_is_parsed),
        TEST(a_key_that_is_known_is_answered_unchanged),
        TEST(a_commit_that_is_not_here_is_asked_for),
        TEST(a_pack_that_lacks_a_file_is_noticed_before_anything_is_answered),
        TEST(a_pack_that_lacks_a_tree_is_noticed),
        TEST(an_invalid_pack_is_refused_and_nothing_is_claimed_any_more),
        TEST(a_pack_that_cannot_be_read_is_the_systems_fault),
        TEST(a_malformed_request_is_refused),
        TEST(what_other_programs_build_is_deferred_by_a_look),
        TEST(the_bytes_of_a_part_are_counted),
        TEST(a_build_begins_with_nothing_after_its_time),
        TEST(a_build_leaves_the_repository_to_those_who_write_to_it),
        TEST(packs_do_not_accumulate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
