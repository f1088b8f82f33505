/* gitmoor reconcile: writes the annotation that asks for it, and waits, if told so, by a watch. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/follow.h"
#include "cli/options.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

static enum progress reconcile_judge(const cJSON *object, struct buf *message, void *request)
{
    const char *text;
    enum progress progress = progress_judge(object, request, &text);
    buf_append_string(message, text);
    return progress;
}

/* Until the object is ready or has failed, or the time is over. */
static int reconcile_wait_for(struct cluster *cluster, const struct cluster_target *target,
                              struct progress_request *request, int64_t timeout_ms)
{
    struct follow follow = {.cluster = cluster,
                            .kind = target->kind,
                            .namespace_ = cluster->namespace_,
                            .name = target->name,
                            .prefix = "",
                            .judge = reconcile_judge,
                            .context = request};
    enum progress progress = follow_until(&follow, clock_monotonic_ms() + timeout_ms);
    if (progress == PROGRESS_WORKING) {
        fprintf(stderr, "gitmoor reconcile: not ready in time; it goes on without us\n");
    }
    free(follow.said);
    return progress == PROGRESS_READY ? CLI_OK : CLI_NO;
}

static int reconcile_ask(struct cluster *cluster, const struct cluster_target *target, bool wait,
                         int64_t timeout_ms, struct progress_request *request)
{
    struct error error = {0};
    AUTO_JSON cJSON *object = NULL;
    if (!cluster_open(cluster, &error)) {
        return cli_fail("reconcile", CLI_USAGE, &error);
    }
    if (!cluster_request(cluster, target, request, &object, &error)) {
        return cluster_fail("reconcile", &error);
    }
    AUTO_FREE char *what = cluster_describe(cluster, target);
    if (json_bool(json_object(object, "spec"), "suspend", false)) {
        fprintf(stderr, "gitmoor reconcile: %s is suspended; gitmoor resume lets it go on\n", what);
        return CLI_NO;
    }
    fprintf(stderr, "%s is to be reconciled\n", what);
    return wait ? reconcile_wait_for(cluster, target, request, timeout_ms) : CLI_OK;
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
    struct progress_request request = {0};
    status = reconcile_ask(&cluster, &target, wait, timeout_ms, &request);
    progress_request_release(&request);
    cluster_close(&cluster);
    return status;
}
