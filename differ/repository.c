#include "differ/repository.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"
#include "differ/builds.h"
#include "differ/charts.h"
#include "differ/pack.h"
#include "differ/rollback.h"
#include "differ/run.h"
#include "differ/start.h"
#include "differ/whole.h"

#include <event2/event.h>
#include <string.h>

#define RETRY_MINIMUM_MS 1000
#define RETRY_MAXIMUM_MS 60000

/* Looks at once, of all repositories: each may need memory for a pack, and the processor. */
#define LOOKS_MAXIMUM 4

/* ---- Life ---- */

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    repository_step(context);
}

struct repository *repository_get(struct differ *differ, const char *key)
{
    struct repository *repository = map_get(&differ->repositories, key);
    if (!repository) {
        repository = NEW(struct repository);
        repository->differ = differ;
        repository->key = mem_string(key);
        repository->timer = evtimer_new(differ->loop, on_timer, repository);
        map_set(&differ->repositories, key, repository);
    }
    return repository;
}

void repository_free(void *value)
{
    struct repository *repository = value;
    run_free(repository->look);
    if (repository->pack_fetching) {
        bus_blob_cancel(repository->differ->bus, repository);
    }
    event_free(repository->timer);
    pack_drop(repository);
    free(repository->key);
    free(repository->uid);
    free(repository->commit);
    free(repository->revision);
    free(repository->looked);
    free(repository->pack_wanted);
    free(repository->whole_commit);
    free(repository->whole_revision);
    free(repository->trouble);
    free(repository);
}

/* Whether the application renders from it, and may. */
static bool is_of(const struct repository *repository, const struct application *application)
{
    const char *namespace_ = application->spec.source_namespace;
    size_t size = strlen(namespace_);
    return !application->source_denied && strncmp(repository->key, namespace_, size) == 0 &&
           repository->key[size] == '/' &&
           text_equal(repository->key + size + 1, application->spec.repository);
}

static void each_application(struct repository *repository,
                             void (*visit)(struct application *application, void *context),
                             void *context)
{
    struct differ *differ = repository->differ;
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if (is_of(repository, application)) {
            visit(application, context);
        }
    }
}

static void wake_one(struct application *application, void *context)
{
    (void)context;
    application_wake(application);
}

static void forget_build(struct application *application, void *context)
{
    (void)context;
    builds_forget(application);
}

/* Nothing is built from it any more. */
static void forget_whole(struct repository *repository)
{
    free(repository->whole_commit);
    free(repository->whole_revision);
    repository->whole_commit = repository->whole_revision = NULL;
}

void repository_set_whole(struct repository *repository, const struct run *look)
{
    forget_whole(repository);
    repository->whole_commit = mem_string(look->commit);
    repository->whole_revision = mem_string(look->revision);
    repository->whole_sequence = look->sequence;
}

static void forget_looked(struct repository *repository)
{
    free(repository->looked);
    repository->looked = NULL;
}

/* Whatever is known of it, or being found out, is another repository's. */
static void forget_content(struct repository *repository)
{
    forget_looked(repository);
    forget_whole(repository);
    each_application(repository, forget_build, NULL);
    if (repository->look) {
        repository->look->is_newest = false;
    }
}

static void tell_missing(const struct repository *repository, const struct run *run)
{
    log_info("objects are missing, asking for all of them", "repository", repository->key, "error",
             run->failure.message);
}

void repository_lacks_objects(struct repository *repository, const struct run *build)
{
    tell_missing(repository, build);
    repository->objects_missing = true;
    forget_whole(repository);
    forget_looked(repository);
}

/* ---- Trouble ---- */

void repository_set_trouble(struct repository *repository, const char *message)
{
    free(repository->trouble);
    repository->trouble = mem_string(message);
    if (!message) {
        repository->failures = 0;
        return;
    }
    log_warn("repository cannot be rendered", "repository", repository->key, "error", message);
    int64_t wait = clock_backoff_ms(RETRY_MINIMUM_MS, repository->failures++, RETRY_MAXIMUM_MS);
    struct timeval after = {.tv_sec = wait / 1000, .tv_usec = wait % 1000 * 1000};
    evtimer_add(repository->timer, &after);
    each_application(repository, wake_one, NULL);
}

bool repository_is_backing_off(const struct repository *repository)
{
    return repository->trouble && evtimer_pending(repository->timer, NULL);
}

void repository_try_at_once(struct repository *repository)
{
    if (repository_is_backing_off(repository)) {
        evtimer_del(repository->timer);
        repository_step(repository);
    }
}

const char *repository_trouble(const struct repository *repository, bool is_waited_for)
{
    bool is_behind = !text_equal(repository->looked, repository->commit);
    /* One failure passes by itself more often than not: a process restarted, a blob was lost. */
    return is_waited_for || (is_behind && repository->failures > 1) ? repository->trouble : NULL;
}

/* ---- Announcements ---- */

bool repository_announced(struct differ *differ, const cJSON *body)
{
    const char *key = json_string(body, "repository");
    const char *uid = json_string(body, "uid");
    const char *commit = json_string(body, "commit");
    const char *revision = json_string(body, "revision");
    if (!key || !uid || !commit || !revision || !strchr(key, '/') || strchr(uid, '/') ||
        strchr(commit, '/') || *uid == '.' || *commit == '.') {
        return false; /* uid and commit become file names */
    }
    struct repository *repository = repository_get(differ, key);
    if (text_equal(repository->commit, commit) && text_equal(repository->uid, uid)) {
        return true;
    }
    log_info("revision announced", "repository", key, "revision", revision);
    if (!text_equal(repository->uid, uid)) {
        forget_content(repository);
        repository->objects_missing = false;
    }
    repository->sequence++;
    pack_forget(repository);
    free(repository->uid);
    free(repository->commit);
    free(repository->revision);
    repository->uid = mem_string(uid);
    repository->commit = mem_string(commit);
    repository->revision = mem_string(revision);
    repository_step(repository);
    return true;
}

void repository_gone(struct differ *differ, const char *key, const char *uid)
{
    struct repository *repository = map_get(&differ->repositories, key);
    if (!repository || !text_equal(repository->uid, uid)) {
        return; /* one of the same name has been announced already */
    }
    pack_forget(repository);
    repository_set_trouble(repository, NULL);
    forget_content(repository);
    char **const names[] = {&repository->uid, &repository->commit, &repository->revision};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        free(*names[i]);
        *names[i] = NULL;
    }
}

void repository_fetcher_restarted(struct repository *repository)
{
    pack_unask(repository);
    repository_step(repository);
}

void repository_fetchers_changed(struct repository *repository)
{
    bool moved = repository->fetcher !=
                 members_owner(repository->differ->members, "fetcher", repository->key);
    if (moved && (repository->pack_asked || repository_is_backing_off(repository))) {
        pack_unask(repository);
        evtimer_del(repository->timer);
        repository_step(repository);
    }
}

void repository_peer_gone(struct repository *repository, const struct bus_peer *peer)
{
    if (repository->fetcher == peer) {
        repository->fetcher = NULL;
        repository->pack_asked = false; /* a pack under way ends with an error of its own */
        repository_step(repository);
    }
}

/* ---- Looks ---- */

struct request {
    cJSON *applications;
    const char *revision;
    bool all; /* the whole repository is looked at: a new commit */
    size_t count;
};

/* What a chart takes from the cluster is there. Else that is told, or waited for. */
static bool has_values(const struct request *request, struct application *application)
{
    enum charts_values_state values = charts_values_state(application);
    if (values == CHARTS_VALUES_WRONG) {
        charts_tell_problem(application, request->revision);
    }
    application->needs_render |= values != CHARTS_VALUES_HERE; /* when they come */
    return values == CHARTS_VALUES_HERE;
}

static void request_one(struct application *application, void *context)
{
    struct request *request = context;
    if ((request->all || application->needs_render) && has_values(request, application)) {
        run_add_application(request->applications, application,
                            application->needs_render ? NULL : application->render_key);
        request->count++;
        application->looking = true;
        application->forced = application->needs_render;
        application->needs_render = false;
    }
}

static void count_one(struct application *application, void *context)
{
    (void)application;
    ++*(size_t *)context;
}

/* Who was not answered is to be asked for again, and as firmly. */
static void end_looking(struct application *application, void *context)
{
    (void)context;
    application->needs_render |= application->looking && application->forced;
    application->looking = false;
}

static void judge_look(struct repository *repository, const struct run *look)
{
    bool missing_again = look->objects_missing && repository->objects_missing;
    repository->objects_missing = look->objects_missing;
    if (!look->failure.code) {
        if (look->is_newest) {
            free(repository->looked);
            repository->looked = mem_string(look->commit);
        }
        repository_set_trouble(repository, NULL);
    } else if (look->objects_missing && !missing_again) {
        tell_missing(repository, look);
    } else {
        repository_set_trouble(repository, look->failure.message);
    }
}

static struct repository *longest_waiting(const struct differ *differ)
{
    struct repository *next = NULL;
    for (struct map_slot *slot = map_first(&differ->repositories); slot;
         slot = map_next(&differ->repositories, slot)) {
        struct repository *repository = slot->value;
        if (repository->turn > 0 && (!next || repository->turn < next->turn)) {
            next = repository;
        }
    }
    return next;
}

/* A look has ended. Until all that may be are under way: whoever has waited may have nothing to
 * look at any more, and nobody else would wake those behind it. */
static void let_others_look(struct differ *differ)
{
    struct repository *next;
    while (differ->looks < LOOKS_MAXIMUM && (next = longest_waiting(differ))) {
        next->turn = 0;
        repository_step(next);
    }
}

static void on_look(struct run *look)
{
    struct repository *repository = look->repository;
    struct differ *differ = repository->differ;
    repository->look = NULL;
    differ->looks--;
    pack_drop(repository);
    each_application(repository, end_looking, NULL);
    judge_look(repository, look);
    run_free(look);
    let_others_look(differ);
    start_check(differ);
    whole_wake(differ);
    builds_step(differ); /* before the next look: while that lasts, none begins */
    if (!repository_is_backing_off(repository)) {
        repository_step(repository);
    }
}

/* False: too many are under way; it is stepped again when one has ended. */
static bool may_look(struct repository *repository)
{
    struct differ *differ = repository->differ;
    if (differ->looks < LOOKS_MAXIMUM) {
        repository->turn = 0;
        return true;
    }
    if (repository->turn == 0) {
        repository->turn = ++differ->look_turns;
    }
    return false;
}

static void look(struct repository *repository, const struct request *request, const char *commit)
{
    const struct run_options options = {
        .repository = repository,
        .commit = commit,
        .revision = request->revision,
        .sequence = repository->sequence,
        .is_newest = text_equal(commit, repository->commit),
        .applications = request->applications,
        .pack = repository->pack_path,
        .tidy = repository->builds == 0,
        .ended = on_look,
    };
    struct error error;
    repository->look = run_start(&options, &error);
    if (repository->look) {
        repository->differ->looks++;
    } else {
        each_application(repository, end_looking, NULL);
        repository_set_trouble(repository, error.message);
    }
}

/* The newest commit, for all whose files have changed. False: nothing is due. */
static bool look_at_newest(struct repository *repository)
{
    if (!repository->pack_path && !pack_has_commit(repository, repository->commit)) {
        pack_ask(repository, repository->commit);
        return true;
    }
    if (!may_look(repository)) {
        return true;
    }
    struct request request = {
        .applications = json_new_array(),
        .revision = repository->revision,
        .all = !text_equal(repository->looked, repository->commit),
    };
    each_application(repository, request_one, &request);
    if (request.count == 0 && !repository->pack_path) {
        json_free(request.applications);
        return false;
    }
    look(repository, &request, repository->commit);
    return true;
}

struct rolled_back {
    const struct repository *repository;
    const char *commit;        /* if given, of that one; else one whose objects are not here */
    struct application *found; /* whose earlier revision has to be rendered, or NULL */
};

static void find_rolled_back(struct application *application, void *context)
{
    struct rolled_back *rolled_back = context;
    const struct rollback *rollback = application->rollback;
    if (rolled_back->found || !rollback || !rollback->needs_render) {
        return;
    }
    const char *commit = rollback_commit(rollback);
    if (rolled_back->commit ? text_equal(rolled_back->commit, commit)
                            : !pack_has_commit(rolled_back->repository, commit)) {
        rolled_back->found = application;
    }
}

/* An earlier commit, for one application that was rolled back to it: once its objects are here, it
 * is built like what other programs build. */
static void get_rolled_back(struct repository *repository)
{
    struct rolled_back rolled_back = {
        .repository = repository, .commit = repository->pack_path ? repository->pack_wanted : NULL};
    each_application(repository, find_rolled_back, &rolled_back);
    struct application *application = rolled_back.found;
    if (!application) {
        pack_drop(repository); /* nobody wants it any more */
        return;
    }
    const char *commit = rollback_commit(application->rollback);
    if (!repository->pack_path) {
        pack_ask(repository, commit);
    } else if (may_look(repository)) {
        const struct request request = {.applications = json_new_array(),
                                        .revision = application->rollback->to};
        look(repository, &request, commit);
    }
}

/* What its objects are needed for: nothing while they are on their way. */
static void look_if_due(struct repository *repository)
{
    if (!repository->commit || repository->look || repository->pack_fetching ||
        repository->pack_asked || !repository->differ->discovery) {
        if (repository->pack_asked && !evtimer_pending(repository->timer, NULL)) {
            repository->pack_asked = false; /* unanswered for too long: ask again */
            pack_ask(repository, repository->pack_wanted);
        }
        return;
    }
    size_t users = 0;
    each_application(repository, count_one, &users);
    if (users == 0) {
        return; /* nobody renders from it */
    }
    bool is_other_pack =
        repository->pack_path && !text_equal(repository->pack_wanted, repository->commit);
    if (is_other_pack || !look_at_newest(repository)) {
        get_rolled_back(repository);
    }
}

void repository_step(struct repository *repository)
{
    look_if_due(repository);
    builds_step(repository->differ);
}
