/* gitmoor approve: lets a revision go on that is held for what it would delete. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/table.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/kube/status.h"

struct approve_verb {
    struct cluster cluster;
    const char *revision; /* or NULL: the one that is held */
    bool show;            /* only */
};

static void print_list(const cJSON *status)
{
    for (const cJSON *item = json_first(json_array(status, "errors")); item; item = item->next) {
        table_print_text(text_or_empty(json_string(item, "object")), 0, stdout);
        fputs(" ", stdout);
        table_print_text(text_or_empty(json_string(item, "message")), 0, stdout);
        putchar('\n');
    }
}

static int approve(struct approve_verb *verb, const char *name, const char *held)
{
    struct error error = {0};
    const struct cluster_target target = {&cluster_applications, name};
    if (!cluster_annotate(&verb->cluster, &target, GITMOOR_APPROVED_ANNOTATION, held, NULL,
                          &error)) {
        return cluster_fail("approve", &error);
    }
    fprintf(stderr, "%s: %s is approved\n", name, held);
    return CLI_OK;
}

static int approve_run(const char *name, const cJSON *application, void *context)
{
    struct approve_verb *verb = context;
    struct error error = {0};
    const cJSON *status = json_object(application, "status");
    const cJSON *ready = status_condition(json_array(status, "conditions"), "Ready");
    const char *held = json_string(status, "lastAttemptedRevision");
    if (!text_equal(json_string(ready, "reason"), "Held") || !held) {
        error_set(&error, ERROR_INVALID, "application %s is not held: there is nothing to approve",
                  name);
        return cli_fail("approve", CLI_NO, &error);
    }
    if (verb->revision && !text_equal(verb->revision, held)) {
        error_set(&error, ERROR_INVALID, "held is %s, not %s: look at it anew", held,
                  verb->revision);
        return cli_fail("approve", CLI_NO, &error);
    }
    print_list(status);
    return verb->show ? CLI_OK : approve(verb, name, held);
}

int cli_approve(int argc, char **argv)
{
    struct approve_verb verb = {0};
    const struct option table[] = {
        {"revision", 0, OPTION_TEXT, &verb.revision, "REVISION",
         "Only if this one is held, as status tells it: what you have looked at."},
        {"show", 0, OPTION_FLAG, &verb.show, NULL, "List what would be deleted, approve nothing."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "approve APPLICATION [--revision REVISION] [--show] [OPTIONS]",
        "Lets a revision go on that is held since it would delete too much, and lists what that "
        "is.",
        "0: approved, or shown; 1: it does not exist, is not held, or the cluster refused; 2: the\n"
        "command line or the kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    return cluster_run_on_application("approve", &verb.cluster, operands[0], approve_run, &verb);
}
