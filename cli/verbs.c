/* The table of verbs. */
#include "cli/cli.h"

#include <stdio.h>

const struct cli_verb cli_verbs[] = {
    {"get", "List repositories and applications.", cli_get},
    {"check", "Tell whether an installation works.", cli_check},
    {"status", "Tell all about one application.", cli_status},
    {"reconcile", "Have an application or a repository reconciled now.", cli_reconcile},
    {"wait", "Wait until a commit is live and healthy.", cli_wait},
    {"suspend", "Stop reconciling an application or a repository.", cli_suspend},
    {"resume", "Go on reconciling it.", cli_resume},
    {"diff", "Show what a reconcile would change in the cluster.", cli_diff},
    {"explain", "Tell what an application is rendered from.", cli_explain},
    {"adopt", "Show what an application would take over from others, and let it.", cli_adopt},
    {"approve", "Let a revision go on that is held for what it would delete.", cli_approve},
    {"sync", "Have a revision applied that waits for a sync window.", cli_sync},
    {"history", "List the revisions that were applied.", cli_history},
    {"rollback", "Put an earlier revision in the place of the newest.", cli_rollback},
    {"drift", "List what has drifted from Git, now and lately.", cli_drift},
    {"break-glass", "Suspend the repairs of an application for a time.", cli_break_glass},
    {"render", "Print the objects of a directory, as they would be applied.", cli_render},
    {"health", "Judge the health of objects.", cli_health},
    {"verify", "Verify the signature of a commit or tag.", cli_verify},
    {"completion", "Print what has a shell complete words.", cli_completion},
    {"review", "Judge an AdmissionReview as the webhook would.", cli_review},
    {NULL, NULL, NULL},
};

int cli_fail(const char *verb, int status, const struct error *error)
{
    fprintf(stderr, "gitmoor %s: %s\n", verb, error->message);
    return status;
}
