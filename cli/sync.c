/* gitmoor sync: has a revision applied that waits for a sync window. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

struct sync_verb {
    struct cluster cluster;
    const char *revision; /* or NULL: the one that waits */
};

static int sync_run(const char *name, const cJSON *application, void *context)
{
    struct sync_verb *verb = context;
    struct error error = {0};
    const char *waits = json_string_path(application, "status.syncWindow.revision");
    if (!waits) {
        error_set(&error, ERROR_INVALID, "nothing of application %s waits for a sync window", name);
        return cli_fail("sync", CLI_NO, &error);
    }
    if (verb->revision && !text_equal(verb->revision, waits)) {
        error_set(&error, ERROR_INVALID, "%s waits, not %s: look at it anew", waits,
                  verb->revision);
        return cli_fail("sync", CLI_NO, &error);
    }
    const struct cluster_target target = {&cluster_applications, name};
    if (!cluster_annotate(&verb->cluster, &target, GITMOOR_SYNC_ANNOTATION, waits, NULL, &error)) {
        return cluster_fail("sync", &error);
    }
    fprintf(stderr, "%s: %s is applied outside of the sync windows\n", name, waits);
    return CLI_OK;
}

int cli_sync(int argc, char **argv)
{
    struct sync_verb verb = {0};
    const struct option table[] = {
        {"revision", 0, OPTION_TEXT, &verb.revision, "REVISION",
         "Only if this one waits, as status tells it: what you have looked at."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "sync APPLICATION [--revision REVISION] [OPTIONS]",
        "Has a revision applied that waits for a sync window: that one, and no other.",
        "0: asked for; 1: it does not exist, nothing of it waits, or the cluster refused; 2: the\n"
        "command line or the kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    return cluster_run_on_application("sync", &verb.cluster, operands[0], sync_run, &verb);
}
