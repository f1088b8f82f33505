/* The chart of a HelmRepository, fetched from where the fetcher has it, by the fetcher's own code
 * (fetcher/chart.h) and with the credentials of its Secrets, which whoever asks must be allowed to
 * read. It stands in a directory of its own, as a commit, until it is released.
 *
 * It is fetched and unpacked by a child, this very program called with PULL_WORKER, in the sandbox
 * of the fetcher's workers (fetcher/worker.h): what a stranger has packed is not opened in a
 * process that holds a kubeconfig. */
#ifndef GITMOOR_CLI_PULL_H
#define GITMOOR_CLI_PULL_H

#include "cli/cluster.h"
#include "differ/render/source.h"
#include "differ/spec.h"

#define PULL_WORKER "--fetch" /* no verb of anybody else's */

struct pull {
    struct source *source;
    char *revision;  /* "1.4.2@sha1:…" */
    char *directory; /* of the mirror */
};

/* Whether the Application renders a chart of a HelmRepository. */
bool pull_is_needed(const struct application_spec *spec);

/* `wanted`: a revision, which must be had as it was; a version, or a range of them; NULL: what is
 * in force, by the HelmRepository's status. */
bool pull_chart(struct cluster *cluster, const struct application_spec *spec, const char *wanted,
                struct pull *ret, struct error *error);
/* Also of one that is all zero. */
void pull_release(struct pull *pull);

#endif
