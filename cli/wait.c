/* gitmoor wait: until a commit is live and healthy, for whoever releases. First the source must
 * have it, then each application must have been held against it: a commit that changes nothing of
 * an application leaves no trace in its status, unless an annotation asks for one
 * (differ/observed.h). */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/follow.h"
#include "cli/landed.h"
#include "cli/options.h"
#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

/* A round ends after so long, and the next one looks at the source anew: something newer may be
 * there, and somebody else may have asked for another revision. */
#define ROUND_MINIMUM_MS 2000
#define ROUND_MAXIMUM_MS 15000
/* What is refused may pass when a definition comes, or a webhook; after so many rounds (14 s)
 * nobody believes that any more. */
#define REFUSED_ROUNDS 3
/* However long those before it have taken, each application is looked at. */
#define LOOK_MS 2000

struct wait_verb {
    struct cluster cluster;
    const char *revision; /* or NULL: the newest */
    int64_t until;        /* monotonic ms */
    struct map requests;  /* of fetches: "NAMESPACE/NAME" of a source, in its kind; owned */
};

/* One application that is waited for. */
struct awaited {
    struct wait_verb *verb;
    int64_t until; /* monotonic ms */
    const char *name;
    char *prefix; /* of messages: "web: " */
    struct cluster_target source;
    char *source_namespace, *source_name;
    struct progress_request *request; /* for its source, or NULL: nobody had to ask, or might */
    bool seen;      /* the source had the revision that is asked for; what comes later has it too */
    char *revision; /* that is to be live; NULL: not known yet */
    bool refused;   /* as it was looked at last */
};

static void awaited_release(struct awaited *awaited)
{
    free(awaited->prefix);
    free(awaited->source_namespace);
    free(awaited->source_name);
    free(awaited->revision);
}
#define AUTO_AWAITED __attribute__((cleanup(awaited_release)))

static void say(const struct awaited *awaited, const char *message)
{
    fprintf(stderr, "gitmoor wait: %s%s\n", awaited->prefix, message);
}

/* ---- The source ---- */

static void set_source(struct awaited *awaited, const cJSON *application)
{
    const char *helm = json_string_path(application, "spec.source.helmRepository");
    const char *name = helm ? helm : json_string_path(application, "spec.source.repository");
    const char *namespace_ = json_string_path(application, "spec.source.namespace");
    awaited->source_name = mem_string(text_or_empty(name));
    awaited->source_namespace =
        mem_string(namespace_ ? namespace_ : awaited->verb->cluster.namespace_);
    awaited->source = (struct cluster_target){helm ? &cluster_charts : &cluster_repositories,
                                              awaited->source_name};
}

static const char *wanted_of(const struct awaited *awaited)
{
    return awaited->seen ? NULL : awaited->verb->revision;
}

/* Has the source fetched, once for all applications of it. Who may not ask waits for its interval,
 * which will do if it is known what is to come. */
static bool ask_source(struct awaited *awaited, struct error *ret_error)
{
    struct error error = {0};
    struct wait_verb *verb = awaited->verb;
    struct cluster there = verb->cluster;
    there.namespace_ = awaited->source_namespace;
    AUTO_FREE char *key = mem_format("%s %s/%s", awaited->source.kind->plural,
                                     awaited->source_namespace, awaited->source_name);
    awaited->request = map_get(&verb->requests, key);
    if (awaited->request) {
        return true;
    }
    struct progress_request *request = NEW(struct progress_request);
    if (cluster_request(&there, &awaited->source, request, NULL, &error)) {
        map_set(&verb->requests, key, request);
        awaited->request = request;
        return true;
    }
    progress_request_release(request);
    free(request);
    if (error.code == ERROR_DENIED && verb->revision) {
        say(awaited, error.message);
        say(awaited, "so its next fetch is waited for");
        return true;
    }
    *ret_error = error;
    return error_prefix(ret_error, "%s, by its spec.source", awaited->name);
}

static enum progress judge_source(const cJSON *source, struct buf *message, void *context)
{
    struct awaited *awaited = context;
    enum progress progress =
        landed_in_source(source, wanted_of(awaited), awaited->request, message);
    if (progress == PROGRESS_READY) {
        free(awaited->revision);
        awaited->revision = mem_string(json_string_path(source, "status.revision"));
    }
    return progress;
}

static enum progress wait_for_source(struct awaited *awaited)
{
    struct follow follow = {.cluster = &awaited->verb->cluster,
                            .kind = awaited->source.kind,
                            .namespace_ = awaited->source_namespace,
                            .name = awaited->source_name,
                            .prefix = awaited->prefix,
                            .judge = judge_source,
                            .context = awaited};
    enum progress progress = follow_until(&follow, awaited->until);
    free(follow.said);
    awaited->seen |= progress == PROGRESS_READY;
    return progress;
}

/* ---- The application ---- */

/* Has it tell when it has been held against the revision. Who may not ask is told by what is
 * written for other reasons: always when the commit changes something of it. */
static void ask_application(const struct awaited *awaited, const cJSON *application)
{
    struct cluster *cluster = &awaited->verb->cluster;
    const struct cluster_target target = {&cluster_applications, awaited->name};
    const char *asked =
        json_string(json_get_path(application, "metadata.annotations"), GITMOOR_AWAITED_ANNOTATION);
    struct error error;
    if (!landed_is_observed(application, awaited->revision) &&
        !text_equal(asked, awaited->revision) &&
        !cluster_annotate(cluster, &target, GITMOOR_AWAITED_ANNOTATION, awaited->revision, NULL,
                          &error)) {
        say(awaited, error.message);
        say(awaited, "so a commit that changes nothing of it is waited for in vain");
    }
}

static enum progress judge_application(const cJSON *application, struct buf *message, void *context)
{
    struct awaited *awaited = context;
    awaited->refused = landed_is_refused(application, awaited->revision);
    return landed_in_application(application, awaited->revision, message);
}

static bool read_application(const struct awaited *awaited, cJSON **ret, struct error *error)
{
    struct cluster *cluster = &awaited->verb->cluster;
    return cluster_get(cluster, &cluster_applications, cluster->namespace_, awaited->name, ret,
                       error);
}

static bool start(struct awaited *awaited, struct error *error)
{
    AUTO_JSON cJSON *application = NULL;
    if (!read_application(awaited, &application, error)) {
        return false;
    }
    const char *wanted = awaited->verb->revision;
    awaited->seen = wanted && landed_before(application, wanted);
    set_source(awaited, application);
    return ask_source(awaited, error);
}

/* Until the application is where the source is now, for the time of a round. */
static enum progress run_round(struct awaited *awaited, struct follow *follow, int64_t round_ms,
                               struct error *error)
{
    enum progress progress = wait_for_source(awaited);
    if (progress != PROGRESS_READY) {
        return progress;
    }
    AUTO_JSON cJSON *application = NULL;
    if (!read_application(awaited, &application, error)) {
        return PROGRESS_FAILED;
    }
    ask_application(awaited, application);
    int64_t end = clock_monotonic_ms() + round_ms;
    return follow_until(follow, end < awaited->until ? end : awaited->until);
}

static enum progress wait_for_application(struct awaited *awaited, struct error *error)
{
    const struct cluster *cluster = &awaited->verb->cluster;
    struct follow follow = {.cluster = &awaited->verb->cluster,
                            .kind = &cluster_applications,
                            .namespace_ = cluster->namespace_,
                            .name = awaited->name,
                            .prefix = awaited->prefix,
                            .judge = judge_application,
                            .context = awaited};
    int64_t round_ms = ROUND_MINIMUM_MS;
    unsigned refused = 0; /* rounds in a row */
    enum progress progress;
    do {
        progress = run_round(awaited, &follow, round_ms, error);
        round_ms = round_ms * 2 < ROUND_MAXIMUM_MS ? round_ms * 2 : ROUND_MAXIMUM_MS;
        refused = awaited->refused ? refused + 1 : 0;
        if (progress == PROGRESS_WORKING && refused == REFUSED_ROUNDS) {
            progress = PROGRESS_FAILED;
        }
    } while (progress == PROGRESS_WORKING && clock_monotonic_ms() < awaited->until);
    free(follow.said);
    return progress;
}

/* ---- The verb ---- */

static int wait_for_one(struct wait_verb *verb, const char *operand)
{
    int64_t soonest = clock_monotonic_ms() + LOOK_MS;
    struct awaited awaited AUTO_AWAITED = {.verb = verb,
                                           .until = verb->until > soonest ? verb->until : soonest};
    struct error error = {0};
    if (!cluster_parse_application(operand, &awaited.name, &error)) {
        return cli_fail("wait", CLI_USAGE, &error);
    }
    awaited.prefix = mem_format("%s: ", awaited.name);
    if (!start(&awaited, &error)) {
        return cluster_fail("wait", &error);
    }
    enum progress progress = wait_for_application(&awaited, &error);
    if (error.code) {
        return cluster_fail("wait", &error);
    }
    if (progress == PROGRESS_READY) {
        printf("%s/%s is live and healthy at %s\n", verb->cluster.namespace_, awaited.name,
               awaited.revision);
        return CLI_OK;
    }
    say(&awaited, progress == PROGRESS_FAILED
                      ? "it has failed, as said above; gitmoor status tells all of it"
                      : "not live and healthy in time; it goes on without us");
    return CLI_NO;
}

/* All of the namespace. */
static int wait_for_all(struct wait_verb *verb)
{
    struct error error = {0};
    AUTO_JSON cJSON *list = NULL;
    const char *namespace_ = verb->cluster.namespace_;
    int result = CLI_OK;
    if (!cluster_get(&verb->cluster, &cluster_applications, namespace_, NULL, &list, &error)) {
        return cluster_fail("wait", &error);
    }
    const cJSON *items = json_array(list, "items");
    if (!json_first(items)) {
        error_set(&error, ERROR_NOT_FOUND, "there is no application in namespace %s", namespace_);
        return cli_fail("wait", CLI_NO, &error);
    }
    for (const cJSON *item = json_first(items); item; item = item->next) {
        int status = wait_for_one(verb, text_or_empty(json_string_path(item, "metadata.name")));
        result = status > result ? status : result;
    }
    return result;
}

static int wait_run(struct wait_verb *verb, const char **names)
{
    struct error error = {0};
    int result = CLI_OK;
    if (!cluster_open(&verb->cluster, &error)) {
        return cli_fail("wait", CLI_USAGE, &error);
    }
    if (!names[0]) {
        return wait_for_all(verb);
    }
    for (; *names; names++) {
        int status = wait_for_one(verb, *names);
        result = status > result ? status : result;
    }
    return result;
}

static void request_free(void *value)
{
    progress_request_release(value);
    free(value);
}

int cli_wait(int argc, char **argv)
{
    struct wait_verb verb = {0};
    const char *timeout = "5m";
    const struct option table[] = {
        {"revision", 0, OPTION_TEXT, &verb.revision, "REVISION",
         "A commit, or its beginning, or a revision as status tells it. Default: the newest, after "
         "a fetch."},
        {"timeout", 0, OPTION_TEXT, &timeout, "DURATION", "How long to wait. Default: 5m."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "wait [APPLICATION...] [OPTIONS]",
        "Waits until a commit is live and healthy in the applications, or in all of the namespace. "
        "Has their repositories fetched, whatever the interval says.",
        "0: it is; 1: it has failed, is suspended or was rolled back, is not there in time, or the "
        "application does not exist; 2: the command line or the kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int64_t timeout_ms;
    int status;
    if (!options_start(&set, argc, argv, 0, SIZE_MAX, &operands, &status)) {
        return status;
    }
    if (!text_parse_duration(timeout, &timeout_ms)) {
        error_set(&error, ERROR_INVALID, "--timeout is a duration such as 30s or 5m, not %s",
                  timeout);
        return cli_fail("wait", CLI_USAGE, &error);
    }
    map_init(&verb.requests);
    verb.until = clock_monotonic_ms() + timeout_ms;
    status = wait_run(&verb, operands);
    map_release(&verb.requests, request_free);
    cluster_close(&verb.cluster);
    return status;
}
