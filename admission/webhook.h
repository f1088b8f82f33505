/* What the server's requests are answered with: the review, its metrics, its report. */
#ifndef GITMOOR_ADMISSION_WEBHOOK_H
#define GITMOOR_ADMISSION_WEBHOOK_H

#include "admission/reasons.h"
#include "admission/verdict.h"
#include "common/run/members.h"

struct webhook {
    struct verdict_settings rules; /* noted_reason is webhook_noted_reason, with this as context */
    struct reasons *reasons;
    const struct application_set *applications;
    struct bus *bus; /* NULL: nothing is reported, as the next */
    struct members *members;
};

const char *webhook_noted_reason(const char *uid, void *context);

/* A server's `handle`, with a struct webhook as its context. */
int webhook_handle(const char *path, const char *body, size_t size, struct buf *ret_body,
                   void *context);

/* A server's `handle_too_large`, with the same context. */
int webhook_handle_too_large(const char *path, const char *beginning, size_t size,
                             struct buf *ret_body, void *context);

#endif
