/* gitmoor reconcile: writes the annotation that asks for it, and waits, if told so, by a watch. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/watch.h"

#include <string.h>

struct reconcile_wait {
    struct cluster *cluster;
    const char *token;
    enum progress progress;
    bool gone;
    char *message; /* said last */
};

static void reconcile_tell(struct reconcile_wait *wait, const char *message)
{
    if (*message && !text_equal(message, wait->message)) {
        free(wait->message);
        wait->message = mem_string(message);
        table_print_text(message, 2, stderr);
        fputc('\n', stderr);
    }
}

static void reconcile_event(const struct kube_event *event, void *context)
{
    struct reconcile_wait *wait = context;
    const char *message;
    if (event->type == KUBE_EVENT_DELETED) {
        wait->gone = true;
        wait->progress = PROGRESS_FAILED;
        reconcile_tell(wait, "it was deleted");
    } else {
        wait->progress = progress_judge(event->object, wait->token, &message);
        reconcile_tell(wait, message);
    }
    if (wait->progress != PROGRESS_WORKING) {
        event_base_loopbreak(wait->cluster->loop);
    }
}

static void reconcile_trouble(const struct error *error, void *context)
{
    reconcile_tell(context, error ? error->message : "watching again");
}

/* Runs the loop until the object is ready or has failed, or the time is over. */
static int reconcile_wait_for(struct cluster *cluster, const struct cluster_target *target,
                              const char *token, int64_t timeout_ms)
{
    struct reconcile_wait wait = {.cluster = cluster, .token = token};
    AUTO_BUF struct buf path;
    AUTO_FREE char *selector = mem_format("metadata.name=%s", target->name);
    buf_init(&path, 4096);
    kube_resource_path(target->kind, cluster->namespace_, NULL, &path);
    const struct kube_watch_options options = {
        .path = path.data,
        .api_version = GITMOOR_API_VERSION,
        .kind = target->kind->kind,
        .field_selector = selector,
        .event = reconcile_event,
        .trouble = reconcile_trouble,
        .context = &wait,
    };
    struct kube_watch *watch = kube_watch_new(cluster->client, &options);
    const struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    event_base_loopexit(cluster->loop, &timeout);
    event_base_dispatch(cluster->loop);
    kube_watch_free(watch);
    if (wait.progress == PROGRESS_WORKING) {
        fprintf(stderr, "gitmoor reconcile: not ready in time; it goes on without us\n");
    }
    free(wait.message);
    return wait.progress == PROGRESS_READY ? CLI_OK : CLI_NO;
}

static int reconcile_run(struct cluster *cluster, const struct cluster_target *target, bool wait,
                         int64_t timeout_ms)
{
    char token[CLOCK_RFC3339_SIZE];
    struct error error = {0};
    AUTO_JSON cJSON *object = NULL;
    if (!cluster_open(cluster, &error)) {
        return cli_fail("reconcile", CLI_USAGE, &error);
    }
    clock_format_micro(clock_wall_ms(), token);
    if (!cluster_annotate(cluster, target, GITMOOR_RECONCILE_ANNOTATION, token, &object, &error)) {
        return cluster_fail("reconcile", &error);
    }
    AUTO_FREE char *what = cluster_describe(cluster, target);
    if (json_bool(json_object(object, "spec"), "suspend", false)) {
        fprintf(stderr, "gitmoor reconcile: %s is suspended; gitmoor resume lets it go on\n", what);
        return CLI_NO;
    }
    fprintf(stderr, "%s is to be reconciled\n", what);
    return wait ? reconcile_wait_for(cluster, target, token, timeout_ms) : CLI_OK;
}

int cli_reconcile(int argc, char **argv)
{
    struct cluster cluster = {0};
    bool wait = false;
    const char *timeout = "5m";
    const struct option table[] = {
        {"wait", 'w', OPTION_FLAG, &wait, NULL, "Wait until it is ready, or has failed."},
        {"timeout", 0, OPTION_TEXT, &timeout, "DURATION", "How long to wait. Default: 5m."},
        CLUSTER_OPTIONS(cluster),
        {0},
    };
    const struct option_set set = {
        "reconcile APPLICATION | repository/NAME | chart/NAME [OPTIONS]",
        "Has an application, or a repository, reconciled now, whatever its interval says.",
        "0: asked for, or with --wait: ready; 1: it does not exist, is suspended, was refused,\n"
        "or with --wait: failed or not ready in time; 2: the command line or the kubeconfig is\n"
        "wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct cluster_target target;
    struct error error = {0};
    int64_t timeout_ms;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    if (!text_parse_duration(timeout, &timeout_ms)) {
        error_set(&error, ERROR_INVALID, "--timeout is a duration such as 30s or 5m, not %s",
                  timeout);
        return cli_fail("reconcile", CLI_USAGE, &error);
    }
    if (!cluster_parse_target(operands[0], &target, &error)) {
        return cli_fail("reconcile", CLI_USAGE, &error);
    }
    status = reconcile_run(&cluster, &target, wait, timeout_ms);
    cluster_close(&cluster);
    return status;
}
