/* What the server's requests are answered with: the review, its metrics, its report. */
#ifndef GITMOOR_ADMISSION_WEBHOOK_H
#define GITMOOR_ADMISSION_WEBHOOK_H

#include "admission/verdict.h"
#include "common/bus/bus.h"

struct webhook {
    struct verdict_settings rules;
    const struct application_set *applications;
    struct bus_peer *differ; /* or NULL */
};

/* A server's `handle`, with a struct webhook as its context. */
int webhook_handle(const char *path, const char *body, size_t size, struct buf *ret_body,
                   void *context);

#endif
