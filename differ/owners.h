/* Who owns the fields of a live object, and who should: the managedFields as they have to be
 * written before an apply does what Git means.
 *
 * Taken over: what people have added with kubectl and its kin, what is left of a tool that used to
 * manage the object, or, for an application that wants its objects exactly as in Git, what anybody
 * but the allowed managers has added. Their entries are merged into ours, as client-go's csaupgrade
 * does it; the apply that follows then removes what Git does not declare, and the server keeps what
 * an entry of anybody else holds.
 *
 * Given up: fields that are to be left alone and that we own, since Git once declared them. They
 * leave our entry first: an apply that merely omits them would delete them from the object, and an
 * omitted `replicas` would be 1. */
#ifndef GITMOOR_DIFFER_OWNERS_H
#define GITMOOR_DIFFER_OWNERS_H

#include "common/data/json.h"
#include "differ/managers.h"

struct owners_rules {
    const struct managers *people;  /* whose fields are taken over */
    const struct managers *taken;   /* whose too; or NULL */
    const struct managers *allowed; /* not NULL: everybody's are, save for theirs */
    const char *const *left;        /* JSON pointers of fields that are left alone */
    size_t left_count;
    const char *api_version; /* not NULL: all entries are to be of this version */
};

/* Moved to another version: when a new version of a custom resource brings a field with a default,
 * the server cannot convert the object for the entries of the old one any more, and refuses every
 * apply until all of them are of a version that has the field (kustomize-controller 1.8.4). */

/* What keeps its owner whatever the rules say: finalizers, status, words of people to Gitmoor
 * (annotations gitmoor.io/…), the mark of `kubectl rollout restart`, and what the server allots and
 * does not let anybody take back. docs/drift.md lists them. */

/* The managedFields to write, as JSON text for the caller to free; NULL if they are right as they
 * are, or if the object has no entry of ours. `ret_first` tells that nothing may be applied before:
 * fields are given up, or entries moved. */
char *owners_edit(const cJSON *live, const struct owners_rules *rules, bool *ret_first);

#endif
