/* A chart of a Helm repository, fetched as Git is: the highest version in the range becomes a
 * commit of the mirror that holds its files, so that all that comes after (packs, render keys,
 * rollback, history) is the same. Runs in a worker: it blocks, and it reads what strangers sent.
 *
 * The revision is "1.4.2@sha1:<commit>". The commit tells the chart's name, version and digest, and
 * the same chart makes the same commit. Where that version with that digest is here already, only
 * the index (or the registry's manifest) is asked for. */
#ifndef GITMOOR_FETCHER_CHART_H
#define GITMOOR_FETCHER_CHART_H

#include "fetcher/fetch.h"

/* As fetch_run; request->chart is set. */
bool chart_run(const struct fetch_request *request, struct fetch_result *ret,
               enum fetch_reason *ret_reason, struct error *error);

/* Whether the URL is that of a chart repository: https://HOST/PATH, or oci://HOST/PATH. */
bool chart_check_url(const char *url, enum fetch_reason *ret_reason, struct error *error);

#endif
