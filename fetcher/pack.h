/* Packs: what the differ needs of one commit, less what it holds already. Runs in a worker. */
#ifndef GITMOOR_FETCHER_PACK_H
#define GITMOOR_FETCHER_PACK_H

#include "common/base/error.h"
#include "fetcher/reason.h"

#include <stddef.h>
#include <stdint.h>

struct pack_request {
    const char *directory;   /* of the mirror */
    const char *want;        /* commit, 40 hex digits */
    const char *const *have; /* commits whose trees the differ holds */
    size_t have_count;
    uint64_t size_maximum; /* bytes of the pack */
};

/* Writes a Git pack of the commit `want`, its trees and its blobs, to `write`: all but what stands
 * at the same path in the tree of a `have`. No commit between is in it, and no delta against an
 * object that is not, so that the differ can index it beside the haves and nothing else. A have
 * that the mirror lacks is passed over. Cost: the trees that differ, not the repository.
 *
 * `write` returns false to give up, with the error filled. False from pack_write: the reason and
 * the error say why; nothing may have been written, or a part. */
bool pack_write(const struct pack_request *request,
                bool (*write)(const void *data, size_t size, void *context, struct error *error),
                void *context, enum fetch_reason *ret_reason, struct error *error);

#endif
