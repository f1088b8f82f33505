/* An AdmissionReview as the API server sends it, and what the rules ask of it. A view: all strings
 * and nodes point into the parsed tree. */
#ifndef GITMOOR_ADMISSION_REQUEST_H
#define GITMOOR_ADMISSION_REQUEST_H

#include "common/data/json.h"

enum operation { OPERATION_CREATE, OPERATION_UPDATE, OPERATION_DELETE, OPERATION_CONNECT };

struct request {
    const char *uid;
    enum operation operation;
    const char *group; /* of the object's kind; "" for core */
    const char *kind;
    const char *resource;    /* plural */
    const char *subresource; /* "" for the object itself */
    const char *namespace_;  /* "" for cluster-scoped objects, Namespaces included */
    const char *name;        /* "" where the server chooses it */
    const char *user;
    const cJSON *groups;       /* or NULL */
    const cJSON *extra;        /* or NULL */
    const char *field_manager; /* request.options.fieldManager, or "" */
    bool dry_run;
    const cJSON *object; /* NULL for DELETE */
    const cJSON *old;    /* NULL for CREATE */
};

/* Reads the review (the whole document). Refuses other kinds and versions than admission.k8s.io/v1,
 * and reviews without uid, operation, kind, user or the objects that the operation implies. */
bool request_from_json(const cJSON *review, struct request *ret, struct error *error);

const char *operation_name(enum operation operation); /* "CREATE", … */

/* Whether the user is `user`. A pattern that ends in '*' matches as a prefix. */
bool request_user_matches(const struct request *request, const char *pattern);
bool request_user_in_group(const struct request *request, const char *group);
/* Whether userInfo.extra[key] contains the value. */
bool request_has_extra(const struct request *request, const char *key, const char *value);

/* The break-glass reason that stands on the object that the request is about: as it leaves it, or
 * for a deletion as it is. NULL if there is none but blanks. */
const char *request_reason(const struct request *request);

/* Whether it writes one, and is not break-glass: it would be taken for that of whoever breaks the
 * glass next. Anybody may remove one. */
bool request_writes_reason(const struct request *request);

#endif
