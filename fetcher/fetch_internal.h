/* What the two halves of a fetch share. Nobody else includes this. */
#ifndef GITMOOR_FETCHER_FETCH_INTERNAL_H
#define GITMOOR_FETCHER_FETCH_INTERNAL_H

#include "fetcher/fetch.h"
#include "fetcher/mirror.h"
#include "fetcher/transport.h"

/* A fetch under way. The transport is first: libgit2 hands one pointer to all callbacks. */
struct fetch {
    struct transport transport;
    const struct fetch_request *request;
    git_repository *repository;
    git_remote *remote;
    git_fetch_options options;
    bool was_empty; /* the mirror held nothing: no use in trying with a new one */
    uint64_t size_before;
    char name[256]; /* branch, tag or reference, "" for a commit alone */
    bool is_tag;    /* it is that of a tag, which spec.ref names or its range chose */
    git_oid commit;
    git_oid tag; /* the object that the tag names: an annotated tag, or the commit itself */
    enum fetch_reason reason;
    struct error *error;
};

/* Notes why it failed; returns false. */
bool fetch_fail(struct fetch *fetch, enum fetch_reason reason, enum error_code code,
                const char *format, ...) __attribute__((format(printf, 4, 5)));
/* libgit2 has failed: by the transport, which knows better why, or by itself. */
bool fetch_fail_git(struct fetch *fetch);

/* ---- fetch_follow.c ---- */

/* Asks the server where what spec.ref names is, and brings it into the mirror. */
bool fetch_follow(struct fetch *fetch);

#endif
