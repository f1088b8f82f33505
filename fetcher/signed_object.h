/* The signature of a commit or an annotated tag, and what it signs, out of the raw object. */
#ifndef GITMOOR_FETCHER_SIGNED_OBJECT_H
#define GITMOOR_FETCHER_SIGNED_OBJECT_H

#include "common/base/buf.h"

#include <stdint.h>

enum signature_format { SIGNATURE_NONE, SIGNATURE_OPENPGP, SIGNATURE_SSH, SIGNATURE_OTHER };

struct signed_object {
    struct buf payload;   /* the object without its signature */
    struct buf signature; /* in armour; empty for SIGNATURE_NONE */
    enum signature_format format;
    int64_t date; /* of the committer or tagger, seconds since 1970; INT64_MIN if not there */
};

/* Splits as git does: a commit has its signature in the header gpgsig (several such headers make
 * one text), a tag at its end. Headers gpgsig-sha256 are no part of the payload. */
void signed_object_split(const char *raw, size_t size, bool is_tag, struct signed_object *ret);
void signed_object_release(struct signed_object *object);

#endif
