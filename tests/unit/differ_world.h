/* A differ without a cluster: repositories whose newest commit is here, and applications of them.
 * What runs as its worker is the test program itself, called as `worker`. */
#ifndef GITMOOR_TESTS_DIFFER_WORLD_H
#define GITMOOR_TESTS_DIFFER_WORLD_H

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/application.h"
#include "differ/builds.h"
#include "differ/kinds.h"
#include "differ/repository.h"
#include "differ/run.h"

#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of the worker that is played: what it is asked for. NULL: that cannot be read. */
static inline cJSON *world_request(void)
{
    AUTO_BUF struct buf text;
    cJSON *request = NULL;
    buf_init(&text, (size_t)1 << 20);
    bool ok = buf_read_fd(&text, STDIN_FILENO, "standard input", NULL) &&
              json_parse(text.data, text.size, NULL, &request, NULL);
    return ok ? request : NULL;
}

struct world {
    struct differ_settings settings;
    struct differ differ;
};

static inline void world_on_queue(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)context;
}

static inline void world_on_changed(struct live_object *live, const char *label,
                                    const cJSON *object, void *context)
{
    (void)live;
    (void)label;
    (void)object;
    (void)context;
}

static inline struct world *world_open(int64_t builds)
{
    struct world *world = NEW(struct world);
    const struct live_handlers handlers = {.changed = world_on_changed};
    struct differ *differ = &world->differ;
    world->settings = (struct differ_settings){.data_dir = "/nonexistent",
                                               .render_timeout = 30000,
                                               .build_timeout = 10000,
                                               .render_output = (int64_t)1 << 20,
                                               .builds = builds};
    differ->settings = &world->settings;
    differ->loop = event_base_new();
    differ->queue_event = event_new(differ->loop, -1, 0, world_on_queue, NULL);
    differ->live = live_new(NULL, &handlers);
    differ->started = true;
    kinds_open(differ);
    builds_open(differ);
    return world;
}

static inline void world_close(struct world *world)
{
    struct differ *differ = &world->differ;
    const struct map_slot *slot;
    builds_close(differ);
    while ((slot = map_first(&differ->applications))) {
        application_free(slot->value);
    }
    map_release(&differ->repositories, repository_free);
    map_release(&differ->applications, NULL);
    map_release(&differ->by_label, NULL);
    map_release(&differ->claims, NULL);
    live_free(differ->live);
    event_free(differ->queue_event);
    kinds_close(differ);
    event_base_free(differ->loop);
    free(world);
}

/* An Application of the repository of that name, in namespace n. */
static inline struct application *world_add(struct world *world, const char *name,
                                            const char *repository, const char *path)
{
    AUTO_FREE char *text = mem_format(
        "{\"metadata\":{\"namespace\":\"n\",\"name\":\"%s\",\"uid\":\"%s\",\"generation\":1},"
        "\"spec\":{\"source\":{\"repository\":\"%s\",\"path\":\"%s\"}}}",
        name, name, repository, path);
    AUTO_JSON cJSON *object = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &object, NULL));
    application_changed(&world->differ, "n", name, object);
    AUTO_FREE char *key = mem_format("n/%s", name);
    return map_get(&world->differ.applications, key);
}

/* A commit of the repository is announced, and its objects are here. */
static inline struct repository *world_commit(struct world *world, const char *name,
                                              const char *commit)
{
    AUTO_FREE char *key = mem_format("n/%s", name);
    AUTO_FREE char *text = mem_format("{\"repository\":\"%s\",\"uid\":\"%s\",\"commit\":\"%s\","
                                      "\"revision\":\"main@sha1:%s\"}",
                                      key, name, commit, commit);
    AUTO_JSON cJSON *body = NULL;
    assert_true(json_parse(text, strlen(text), NULL, &body, NULL));
    assert_true(repository_announced(&world->differ, body));
    struct repository *repository = repository_get(&world->differ, key);
    const struct run look = {.commit = repository->commit,
                             .revision = repository->revision,
                             .sequence = repository->sequence};
    repository_set_whole(repository, &look);
    return repository;
}

/* A look has found that the application is to be built. */
static inline void world_want(struct application *application, const char *key)
{
    application->needs_render = false;
    application->looked = application_repository(application)->sequence;
    builds_want(application, key);
}

#endif
