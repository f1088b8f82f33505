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
    const char *list;     /* of what it deletes, likewise */
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

/* That list, and no other that the revision may come to delete. Without one, what may have moved:
 * it is applied already, and nothing else of it is held. */
static int approve(struct approve_verb *verb, const char *name, const char *revision,
                   const char *list)
{
    struct error error = {0};
    const struct cluster_target target = {&cluster_applications, name};
    AUTO_FREE char *value = mem_format("%s%s%s", revision, list ? " " : "", text_or_empty(list));
    if (!cluster_annotate(&verb->cluster, &target, GITMOOR_APPROVED_ANNOTATION, value, NULL,
                          &error)) {
        return cluster_fail("approve", &error);
    }
    fprintf(stderr, "%s: %s is approved\n", name, revision);
    return CLI_OK;
}

static int show(const char *name, int64_t deletes, const char *list)
{
    if (list) {
        fprintf(stderr,
                "%s: %lld objects; gitmoor approve %s --list %s approves these and no others\n",
                name, (long long)deletes, name, list);
    }
    return CLI_OK;
}

static int approve_run(const char *name, const cJSON *application, void *context)
{
    struct approve_verb *verb = context;
    struct error error = {0};
    const cJSON *status = json_object(application, "status");
    const cJSON *ready = status_condition(json_array(status, "conditions"), "Ready");
    const cJSON *held = json_object(status, "held");
    const char *list = json_string(held, "list");
    const char *revision =
        list ? json_string(held, "revision") : json_string(status, "lastAttemptedRevision");
    if (!text_equal(json_string(ready, "reason"), "Held") || !revision) {
        error_set(&error, ERROR_INVALID, "application %s is not held: there is nothing to approve",
                  name);
        return cli_fail("approve", CLI_NO, &error);
    }
    if (verb->revision && !text_equal(verb->revision, revision)) {
        error_set(&error, ERROR_INVALID, "held is %s, not %s: look at it anew", revision,
                  verb->revision);
        return cli_fail("approve", CLI_NO, &error);
    }
    if (verb->list && !text_equal(verb->list, list)) {
        error_set(&error, ERROR_INVALID,
                  "what %s would delete is not the list %s any more: look at it anew", revision,
                  verb->list);
        return cli_fail("approve", CLI_NO, &error);
    }
    print_list(status);
    return verb->show ? show(name, json_int(held, "deletes", 0), list)
                      : approve(verb, name, revision, list);
}

int cli_approve(int argc, char **argv)
{
    struct approve_verb verb = {0};
    const struct option table[] = {
        {"revision", 0, OPTION_TEXT, &verb.revision, "REVISION",
         "Only if this one is held, as status tells it: what you have looked at."},
        {"list", 0, OPTION_TEXT, &verb.list, "LIST",
         "Only if it would delete just that, as --show has named it."},
        {"show", 0, OPTION_FLAG, &verb.show, NULL, "List what would be deleted, approve nothing."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "approve APPLICATION [--revision REVISION] [--list LIST] [--show] [OPTIONS]",
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
