#include "differ/start.h"

#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/repository.h"

#include <event2/event.h>

#define START_PATIENCE_MS 10000 /* for repositories whose content does not come */

static bool are_stores_synced(const struct differ *differ)
{
    return kube_store_is_synced(differ->repository_objects) &&
           kube_store_is_synced(differ->helm_repository_objects) &&
           kube_store_is_synced(differ->application_objects);
}

static bool is_waited_for(const struct differ *differ, const struct application *application)
{
    AUTO_FREE char *key = application_source(application);
    const struct repository *repository = map_get(&differ->repositories, key);
    bool hopeless = repository && repository->trouble;
    const cJSON *object = differ_source_object(differ, application->spec.source_namespace,
                                               application->spec.repository);
    /* A repository without a revision in its status has never been fetched. */
    return !application->rendered && !application->source_denied && !hopeless && object &&
           json_string_path(object, "status.revision");
}

static void note_uid(const cJSON *object, void *context)
{
    const char *uid = json_string_path(object, "metadata.uid");
    if (uid) {
        map_set(context, uid, (void *)"");
    }
}

struct cleaning {
    const char *directory;
    struct map uids; /* of the repositories that exist, or that the fetcher knows */
};

static void remove_database(const char *uid, void *context)
{
    const struct cleaning *cleaning = context;
    struct error error;
    AUTO_FREE char *path = mem_format("%s/%s.git", cleaning->directory, uid);
    if (!map_has(&cleaning->uids, uid) && !directory_remove(path, &error)) {
        log_warn("cannot remove the objects of a repository that is gone", "error", error.message);
    }
}

/* Repositories that were deleted have left their objects. */
static void remove_what_is_not_used(struct differ *differ)
{
    struct cleaning cleaning = {.directory = differ->settings->data_dir};
    map_init(&cleaning.uids);
    kube_store_each(differ->repository_objects, note_uid, &cleaning.uids);
    kube_store_each(differ->helm_repository_objects, note_uid, &cleaning.uids);
    for (struct map_slot *slot = map_first(&differ->repositories); slot;
         slot = map_next(&differ->repositories, slot)) {
        const struct repository *announced = slot->value;
        if (announced->uid) {
            map_set(&cleaning.uids, announced->uid, (void *)"");
        }
    }
    directory_each_mirror(cleaning.directory, remove_database, &cleaning);
    map_release(&cleaning.uids, NULL);
}

static void begin(struct differ *differ)
{
    differ->started = true;
    event_del(differ->start_timer);
    process_set_ready(differ->process, "applications", true);
    application_wake_all(differ);
    remove_what_is_not_used(differ);
}

void start_check(struct differ *differ)
{
    if (differ->started || !are_stores_synced(differ) || !differ->discovery ||
        !members_is_ready(differ->members)) {
        return;
    }
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        if (is_waited_for(differ, slot->value)) {
            return;
        }
    }
    begin(differ);
}

static void on_start_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct differ *differ = context;
    bool synced =
        are_stores_synced(differ) && differ->discovery && members_is_ready(differ->members);
    if (synced && !differ->started) {
        log_warn("some repositories do not come: starting without them");
        begin(differ);
        return;
    }
    struct timeval again = {.tv_sec = 1};
    evtimer_add(differ->start_timer, &again);
}

void start_open(struct differ *differ)
{
    struct timeval patience = {.tv_sec = START_PATIENCE_MS / 1000};
    differ->start_timer = evtimer_new(differ->loop, on_start_timer, differ);
    evtimer_add(differ->start_timer, &patience);
}

void start_close(struct differ *differ)
{
    event_free(differ->start_timer);
}
