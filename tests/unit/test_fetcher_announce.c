/* The fetcher's side of the link to the differ: a real repository, real workers (this program
 * again), and a differ that is a bus of the test. Only the API server is missing: nothing is at its
 * port. */
#include "bus_world.h"

#include "common/base/directory.h"
#include "common/data/json.h"
#include "common/kube/status.h"
#include "common/run/log.h"
#include "fetcher/announce.h"

#include "fetcher/worker.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct scene {
    struct world world; /* one: the fetcher; two: the differ */
    struct fetcher_settings settings;
    char data_dir[128], source[128];
    struct fetcher fetcher;
    uint64_t revisions, packs;
    cJSON *last; /* the last hint */
    char head[64];
};

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...)
{
    char command[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool on_differ_hint(struct bus_peer *peer, const char *kind, const char *body, size_t size,
                           void *context)
{
    (void)peer;
    struct scene *scene = context;
    struct error error;
    json_free(scene->last);
    scene->last = NULL;
    assert_true(json_parse(body, size, NULL, &scene->last, &error));
    scene->revisions += strcmp(kind, "revision") == 0;
    scene->packs += strcmp(kind, "pack") == 0;
    return true;
}

static void commit(struct scene *scene, const char *file, const char *content)
{
    assert_int_equal(shell("cd %s && echo '%s' >%s && git add . && git -c user.name=a -c "
                           "user.email=a@b commit -q -m m",
                           scene->source, content, file),
                     0);
    AUTO_FREE char *command = mem_format("git -C %s rev-parse HEAD", scene->source);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(scene->head, sizeof scene->head, pipe));
    pclose(pipe);
    scene->head[strcspn(scene->head, "\n")] = '\0';
}

static void open_buses(struct scene *scene)
{
    struct error error;
    const struct bus_options fetcher = {.instance = "fetcher",
                                        .inbox = scene->world.one.inbox,
                                        .handlers = {.hint = announcer_take_hint,
                                                     .peer_up = announcer_peer_up,
                                                     .context = &scene->fetcher}};
    const struct bus_options differ = {.instance = "differ",
                                       .inbox = scene->world.two.inbox,
                                       .handlers = {.hint = on_differ_hint, .context = scene}};
    scene->fetcher.bus = bus_new(scene->world.base, &fetcher, &error);
    scene->world.two.bus = bus_new(scene->world.base, &differ, &error);
    assert_non_null(scene->fetcher.bus);
    assert_non_null(scene->world.two.bus);
    const struct members_options members = {
        .settings = &scene->settings.common,
        .bus = scene->fetcher.bus,
        .role = "fetcher",
        .links = {{"differ", BUS_FETCHER_DIFFER, scene->world.two.inbox}},
        .count = 1};
    scene->fetcher.members = members_new(&members, &error);
    assert_non_null(scene->fetcher.members);
    scene->world.two.peer =
        bus_peer_add(scene->world.two.bus, BUS_FETCHER_DIFFER, scene->world.one.inbox, &error);
    assert_non_null(scene->world.two.peer);
}

static int set_up(void **state)
{
    struct scene *scene = NEW(struct scene);
    struct world *world = &scene->world;
    world->base = event_base_new();
    snprintf(world->directory, sizeof world->directory, "/tmp/gitmoor-fetch-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    snprintf(world->one.inbox, sizeof world->one.inbox, "ipc://%s/b/one", world->directory);
    snprintf(world->two.inbox, sizeof world->two.inbox, "ipc://%s/b/two", world->directory);
    snprintf(scene->data_dir, sizeof scene->data_dir, "%s/data", world->directory);
    snprintf(scene->source, sizeof scene->source, "%s/source", world->directory);
    assert_int_equal(mkdir(scene->data_dir, 0700), 0);
    assert_int_equal(shell("git -c init.defaultBranch=main init -q %s", scene->source), 0);
    commit(scene, "a.yaml", "a: 1");

    scene->settings = (struct fetcher_settings){.data_dir = scene->data_dir,
                                                .allow_file_urls = true,
                                                .max_repository_size = 64 << 20,
                                                .fetch_concurrency = 2};
    struct error error;
    struct kube_config *config = NEW(struct kube_config);
    config->server = mem_string("http://127.0.0.1:1");
    config->namespace_ = mem_string("default");
    const struct kube_client_options options = {.user_agent = "test"};
    struct fetcher *fetcher = &scene->fetcher;
    *fetcher = (struct fetcher){.settings = &scene->settings, .base = world->base};
    map_init(&fetcher->repositories);
    fetcher->client = kube_client_new(world->base, config, &options, &error);
    assert_non_null(fetcher->client);
    fetcher->events = kube_event_recorder_new(fetcher->client, "gitmoor-fetcher", "test");
    const struct kube_store_options store = {
        .watch = {.path = "/none", .api_version = "v1", .kind = "None"}};
    for (size_t i = 0; i < SOURCE_KINDS; i++) {
        fetcher->watches[i] = (struct source_watch){fetcher, &source_kinds[i],
                                                    kube_store_new(fetcher->client, &store)};
    }
    open_buses(scene);
    fetcher->announcer = announcer_new(fetcher);
    fetcher->pool = pool_new(world->base, &(struct pool_options){.children = 2});
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    scene->fetcher.process = NULL;
    fetcher_close(&scene->fetcher);
    bus_free(scene->world.two.bus);
    forget_fetch(&scene->world.two);
    json_free(scene->last);
    event_base_free(scene->world.base);
    int status = shell("rm -rf '%s'", scene->world.directory);
    free(scene);
    return status;
}

/* What the API would tell of the GitRepository shop/shop. */
static void observe(struct scene *scene, int generation, const char *requested_at)
{
    AUTO_FREE char *text = mem_format(
        "{\"metadata\":{\"namespace\":\"shop\",\"name\":\"shop\",\"uid\":\"u-1\",\"generation\":%d,"
        "\"annotations\":{\"gitmoor.io/reconcile-requested-at\":\"%s\"}},"
        "\"spec\":{\"url\":\"file://%s\",\"interval\":\"1h\"}}",
        generation, requested_at, scene->source);
    struct error error;
    cJSON *object AUTO_JSON = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &object, &error));
    repository_observe(&scene->fetcher, &source_kinds[SOURCE_GIT], object);
}

static void ask(struct scene *scene, const char *want, const char *have)
{
    AUTO_FREE char *body =
        mem_format("{\"repository\":\"shop/shop\",\"want\":\"%s\",\"have\":[%s]}", want, have);
    struct error error;
    assert_int_not_equal(bus_send(scene->world.two.peer, "pack-wanted", body, strlen(body), &error),
                         0);
}

static void fetch_blob(struct scene *scene)
{
    struct digest digest;
    forget_fetch(&scene->world.two);
    assert_true(digest_from_hex(json_string(scene->last, "digest"), &digest));
    bus_blob_fetch(scene->world.two.peer, &digest, (size_t)json_int(scene->last, "size", 0), 10000,
                   on_blob, &scene->world.two);
    assert_true(holds(&scene->world, is_fetched, &scene->world.two, PATIENCE_MS));
    assert_non_null(scene->world.two.data);
}

/* Whether git can index the blob, beside what the database has. */
static bool unpack(struct scene *scene)
{
    AUTO_FREE char *path = mem_format("%s/pack", scene->world.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(scene->world.two.data, 1, scene->world.two.size, file);
    fclose(file);
    return shell("cd %s && { test -d db || git init -q --bare db; } && cd db && "
                 "git index-pack --stdin <../pack >/dev/null",
                 scene->world.directory) == 0;
}

static bool database_has_file(struct scene *scene, const char *file)
{
    return shell("git -C %s/db cat-file -e %s:%s", scene->world.directory, scene->head, file) == 0;
}

static void a_new_revision_is_announced(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    AUTO_FREE char *revision = mem_format("main@sha1:%s", scene->head);
    assert_string_equal(json_string(scene->last, "repository"), "shop/shop");
    assert_string_equal(json_string(scene->last, "uid"), "u-1");
    assert_string_equal(json_string(scene->last, "revision"), revision);
    assert_string_equal(json_string(scene->last, "commit"), scene->head);
}

static void the_annotation_makes_it_look_again(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    commit(scene, "a.yaml", "a: 2");
    observe(scene, 1, "now");
    assert_true(reaches(&scene->world, &scene->revisions, 2));
    assert_string_equal(json_string(scene->last, "commit"), scene->head);
}

static void packs_hold_what_the_differ_lacks(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    AUTO_FREE char *first = mem_format("\"%s\"", scene->head);
    ask(scene, scene->head, "");
    assert_true(reaches(&scene->world, &scene->packs, 1));
    assert_null(json_string(scene->last, "error"));
    fetch_blob(scene);
    assert_true(unpack(scene));
    assert_true(database_has_file(scene, "a.yaml"));

    commit(scene, "b.yaml", "b: 1");
    observe(scene, 1, "now");
    assert_true(reaches(&scene->world, &scene->revisions, 2));
    ask(scene, scene->head, first);
    assert_true(reaches(&scene->world, &scene->packs, 2));
    fetch_blob(scene);
    assert_true(unpack(scene));
    assert_true(database_has_file(scene, "a.yaml"));
    assert_true(database_has_file(scene, "b.yaml"));
    /* a commit, a tree, a blob; a.yaml is there */
    assert_memory_equal(scene->world.two.data + 8, "\0\0\0\3", 4);
}

static void a_question_that_comes_twice_costs_no_worker(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    ask(scene, scene->head, "");
    assert_true(reaches(&scene->world, &scene->packs, 1));
    assert_int_equal(shell("rm -rf %s/u-1.git", scene->data_dir), 0);
    ask(scene, scene->head, "");
    assert_true(reaches(&scene->world, &scene->packs, 2));
    assert_null(json_string(scene->last, "error"));
    fetch_blob(scene);
    assert_true(unpack(scene));
}

static void what_cannot_be_packed_is_answered_with_an_error(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    ask(scene, "1111111111111111111111111111111111111111", "");
    assert_true(reaches(&scene->world, &scene->packs, 1));
    assert_string_equal(json_string(scene->last, "want"),
                        "1111111111111111111111111111111111111111");
    assert_non_null(strstr(json_string(scene->last, "error"), "not in the mirror"));
}

static void a_broken_mirror_is_answered_with_an_error_and_mended(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    assert_int_equal(
        shell("cd %s/u-1.git/objects/pack && chmod u+w * && for f in *; do echo broken >$f; done",
              scene->data_dir),
        0);
    struct repository *repository = map_get(&scene->fetcher.repositories, "shop/shop");
    repository->ended_ms = 0; /* as if the last fetch were long ago */
    ask(scene, scene->head, "");
    assert_true(reaches(&scene->world, &scene->packs, 1));
    assert_non_null(json_string(scene->last, "error"));
    for (uint64_t round = 2; round < 100 && json_string(scene->last, "error"); round++) {
        ask(scene, scene->head, "");
        assert_true(reaches(&scene->world, &scene->packs, round));
    }
    assert_null(json_string(scene->last, "error"));
    fetch_blob(scene);
    assert_true(unpack(scene));
}

static void a_repository_that_goes_away_takes_its_mirror_along(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    AUTO_FREE char *mirror = mem_format("%s/u-1.git", scene->data_dir);
    assert_true(directory_exists(mirror));
    repository_remove(&scene->fetcher, "shop/shop");
    assert_false(directory_exists(mirror));
    assert_int_equal(scene->fetcher.repositories.count, 0);
}

static bool take(struct scene *scene, const char *kind, const char *body)
{
    struct bus_peer *peer = bus_peer_of_link(scene->fetcher.bus, BUS_FETCHER_DIFFER);
    return announcer_take_hint(peer, kind, body, strlen(body), &scene->fetcher);
}

static void hints_that_make_no_sense_are_dropped(void **state)
{
    struct scene *scene = *state;
    observe(scene, 1, "");
    assert_true(reaches(&scene->world, &scene->revisions, 1));
    static const char *const bodies[] = {
        "",
        "[]",
        "{}",
        "{\"repository\":\"shop/shop\"}",
        "{\"repository\":\"shop/shop\",\"want\":\"HEAD\"}",
        "{\"repository\":\"shop/shop\",\"want\":\"--upload-pack=touch-x-aaaaaaaaaaaaaaaaaa\"}",
        "{\"repository\":7,\"want\":\"1111111111111111111111111111111111111111\"}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_true(take(scene, "pack-wanted", bodies[i]));
    }
    assert_true(take(scene, "plan", "{}"));
    assert_int_equal(pool_running(scene->fetcher.pool) + pool_waiting(scene->fetcher.pool), 0);
}

static void a_question_about_the_unknown_waits_until_the_list_is_known(void **state)
{
    struct scene *scene = *state;
    assert_false(take(scene, "pack-wanted",
                      "{\"repository\":\"shop/other\",\"want\":"
                      "\"1111111111111111111111111111111111111111\",\"have\":[]}"));
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "worker") == 0) {
        return fetch_worker_main();
    }
    struct error error;
    log_open("test", "error", &error);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_new_revision_is_announced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_annotation_makes_it_look_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(packs_hold_what_the_differ_lacks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_question_that_comes_twice_costs_no_worker, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_packed_is_answered_with_an_error, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_broken_mirror_is_answered_with_an_error_and_mended,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_repository_that_goes_away_takes_its_mirror_along, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(hints_that_make_no_sense_are_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_question_about_the_unknown_waits_until_the_list_is_known,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
