/* gitmoor history and gitmoor rollback: which revisions were applied, and putting an earlier one in
 * the place of the newest. The differ does it (differ/rollback.h); Git is not touched. */
#include "differ/rollback.h"
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/revision.h"
#include "cli/table.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

/* ---- history ---- */

static const char *note_of(const cJSON *status, const char *revision, bool is_first)
{
    if (text_equal(json_string_path(status, "rollback.from"), revision)) {
        return "rolled back";
    }
    bool in_force = is_first && text_equal(json_string(status, "lastAppliedRevision"), revision);
    return in_force ? "in force" : "-";
}

static int history_run(const char *name, const cJSON *application, void *context)
{
    (void)name;
    (void)context;
    struct table table AUTO_TABLE;
    const cJSON *status = json_object(application, "status");
    const cJSON *first = json_first(json_array(status, "history"));
    table_init(&table, 6);
    static const char *const head[] = {"REVISION", "AGE", "CHANGED", "PRUNED", "RELEASED", "NOTE"};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++) {
        table_add(&table, head[i]);
    }
    for (const cJSON *entry = first; entry; entry = entry->next) {
        char age[TABLE_AGE_SIZE], changed[24], pruned[24], released[24];
        const char *revision = json_string(entry, "revision");
        table_age(json_string(entry, "appliedAt"), clock_wall_ms(), age);
        snprintf(changed, sizeof changed, "%lld", (long long)json_int(entry, "changed", 0));
        snprintf(pruned, sizeof pruned, "%lld", (long long)json_int(entry, "pruned", 0));
        snprintf(released, sizeof released, "%lld", (long long)json_int(entry, "released", 0));
        table_add(&table, revision);
        table_add(&table, age);
        table_add(&table, changed);
        table_add(&table, pruned);
        table_add(&table, released);
        table_add(&table, note_of(status, revision, entry == first));
    }
    table_print(&table, stdout);
    return CLI_OK;
}

int cli_history(int argc, char **argv)
{
    struct cluster cluster = {0};
    const struct option table[] = {CLUSTER_OPTIONS(cluster), {0}};
    const struct option_set set = {
        "history APPLICATION [OPTIONS]",
        "Lists the last ten revisions that were applied, newest first.",
        "0: listed; 1: it does not exist, or the cluster refused; 2: the command line or the\n"
        "kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    return cluster_run_on_application("history", &cluster, operands[0], history_run, NULL);
}

/* ---- rollback ---- */

struct rollback_verb {
    struct cluster cluster;
    const char *to; /* or NULL */
    bool cancel;
};

/* The revision of the history that is meant: that which `to` names, or else the last healthy one,
 * or the one before. */
static const char *choose(const cJSON *status, const char *to, struct error *error)
{
    const char *now = json_string(status, "lastAppliedRevision");
    const char *healthy = json_string(status, "lastHealthyRevision");
    if (!to && healthy && !text_equal(healthy, now)) {
        return healthy;
    }
    const cJSON *history = json_array(status, "history");
    for (const cJSON *entry = json_first(history); entry; entry = entry->next) {
        const char *revision = json_string(entry, "revision");
        if (revision && (to ? revision_is_meant(revision, to) : !text_equal(revision, now))) {
            return revision;
        }
    }
    if (to) {
        error_set(error, ERROR_NOT_FOUND,
                  "\"%.200s\" is none of the revisions that were applied lately; gitmoor history "
                  "lists them. For an older one, revert in Git",
                  to);
    } else {
        error_set(error, ERROR_NOT_FOUND, "no earlier revision was applied");
    }
    return NULL;
}

static int annotate(struct rollback_verb *verb, const char *name, const char *to)
{
    struct error error = {0};
    char now[CLOCK_RFC3339_SIZE];
    const struct cluster_target target = {&cluster_applications, name};
    clock_format_micro(clock_wall_ms(), now); /* two within a second are two */
    AUTO_FREE char *value = mem_format("%s %s", to, now);
    return cluster_annotate(&verb->cluster, &target, ROLLBACK_ANNOTATION, value, NULL, &error)
               ? CLI_OK
               : cluster_fail("rollback", &error);
}

static int rollback_run(const char *name, const cJSON *application, void *context)
{
    struct rollback_verb *verb = context;
    struct error error = {0};
    const cJSON *status = json_object(application, "status");
    if (verb->cancel) {
        int result = annotate(verb, name, "none");
        if (result == CLI_OK) {
            fprintf(stderr, "%s: the newest revision is applied again\n", name);
        }
        return result;
    }
    const char *to = choose(status, verb->to, &error);
    if (!to) {
        return cli_fail("rollback", CLI_NO, &error);
    }
    int result = annotate(verb, name, to);
    if (result == CLI_OK) {
        fprintf(stderr,
                "%s is rolled back to %s. It stays there until a newer commit changes it, or\n"
                "gitmoor rollback --cancel. To undo the change for good, revert it in Git.\n",
                name, to);
    }
    return result;
}

int cli_rollback(int argc, char **argv)
{
    struct rollback_verb verb = {0};
    const struct option table[] = {
        {"to", 0, OPTION_TEXT, &verb.to, "REVISION",
         "A revision of gitmoor history, or the beginning of its commit. Default: the last healthy "
         "one, or the one before."},
        {"cancel", 0, OPTION_FLAG, &verb.cancel, NULL, "Apply the newest revision again."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "rollback APPLICATION [--to REVISION | --cancel] [OPTIONS]",
        "Puts a revision that was applied before in the place of the newest one, until a newer\n"
        "commit changes the application. Git is not touched.",
        "0: asked for; 1: it or the revision does not exist, or the cluster refused; 2: the "
        "command\n"
        "line or the kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    if (verb.to && verb.cancel) {
        error_set(&error, ERROR_INVALID, "--to and --cancel exclude each other");
        return cli_fail("rollback", CLI_USAGE, &error);
    }
    return cluster_run_on_application("rollback", &verb.cluster, operands[0], rollback_run, &verb);
}
