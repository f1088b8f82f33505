/* What the halves of chart.h share. Nobody else includes this. */
#ifndef GITMOOR_FETCHER_CHART_INTERNAL_H
#define GITMOOR_FETCHER_CHART_INTERNAL_H

#include "common/base/digest.h"
#include "fetcher/chart.h"
#include "fetcher/transport_download.h"
#include "fetcher/versions.h"

#define CHART_ARCHIVE_MAXIMUM ((size_t)32 << 20)

/* The version that was chosen, and where it is. */
struct chart_choice {
    char *version;
    char *url;             /* of the archive */
    struct digest archive; /* of the archive; zeroed: not told */
    struct digest digest; /* what spec.digest is held against: of the archive, or, in a registry, of
                           * the manifest */
    char *token;          /* for the registry, or NULL */
};

struct charts {
    struct transport transport;
    const struct fetch_request *request;
    struct semver_range *range;
    struct downloads *downloads;
    char *url; /* of the server, https:// for oci:// */
    /* Of the index that the chart that is here was chosen from; NULL: none, or by other wishes. */
    char *etag;
    char *etag_now;
    bool unchanged; /* the index is still that one: nothing was chosen */
    enum fetch_reason reason;
    struct error *error;
};

/* Notes why it failed; returns false. */
bool chart_fail(struct charts *charts, enum fetch_reason reason, enum error_code code,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
/* The transport failed and knows why. */
bool chart_fail_transport(struct charts *charts);
/* Of those there are, none is in the range. `where`: what has them. */
bool chart_fail_version(struct charts *charts, struct versions *versions, const char *where);

/* ---- chart_index.c: a chart repository's index.yaml ---- */
bool chart_index_choose(struct charts *charts, struct chart_choice *ret);

/* ---- chart_registry.c: an OCI registry ---- */
bool chart_registry_choose(struct charts *charts, struct chart_choice *ret);

#endif
