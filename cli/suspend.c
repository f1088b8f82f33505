/* gitmoor suspend and gitmoor resume: set spec.suspend. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "common/base/memory.h"

static int suspend_run(const char *verb, struct cluster *cluster, const char *operand, bool suspend)
{
    struct cluster_target target;
    struct error error = {0};
    if (!cluster_parse_target(operand, &target, &error) || !cluster_open(cluster, &error)) {
        return cli_fail(verb, CLI_USAGE, &error);
    }
    cJSON *patch = json_new_object();
    json_add_bool(json_add_object(patch, "spec"), "suspend", suspend);
    if (!cluster_patch(cluster, &target, patch, NULL, &error)) {
        return cluster_fail(verb, &error);
    }
    AUTO_FREE char *what = cluster_describe(cluster, &target);
    fprintf(stderr, "%s %s\n", what, suspend ? "is suspended" : "goes on");
    return CLI_OK;
}

static int suspend_verb(int argc, char **argv, const char *usage, const char *summary, bool suspend)
{
    struct cluster cluster = {0};
    const struct option table[] = {CLUSTER_OPTIONS(cluster), {0}};
    const struct option_set set = {
        usage,
        summary,
        "0: done; 1: it does not exist, or the cluster refused; 2: the command line or the\n"
        "kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    status = suspend_run(argv[0], &cluster, operands[0], suspend);
    cluster_close(&cluster);
    return status;
}

int cli_suspend(int argc, char **argv)
{
    return suspend_verb(argc, argv, "suspend APPLICATION | repository/NAME | chart/NAME [OPTIONS]",
                        "Stops it: nothing is applied, repaired or fetched until it is resumed.\n"
                        "Admission goes on refusing edits.",
                        true);
}

int cli_resume(int argc, char **argv)
{
    return suspend_verb(argc, argv, "resume APPLICATION | repository/NAME | chart/NAME [OPTIONS]",
                        "Lets it go on.", false);
}
