/* What became of a plan, as lines of JSON (ARCHITECTURE.md, "Result"). */
#ifndef GITMOOR_APPLIER_RESULT_H
#define GITMOOR_APPLIER_RESULT_H

#include "common/base/buf.h"
#include "common/base/digest.h"
#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESULT_TEXT_MAXIMUM ((size_t)256 << 20)

enum result_outcome { RESULT_APPLIED, RESULT_INVALID, RESULT_FAILED, RESULT_CANCELLED };
const char *result_outcome_name(enum result_outcome outcome);

/* What the server made of one operation. */
struct result_success {
    const char *uid;              /* NULL: not told, as for most deletes */
    const char *resource_version; /* the same */
    struct digest fingerprint;    /* zero: none */
    bool gone;                    /* a delete of what was not there */
    const char *managers; /* of a dry-run plan: who else has written the object; NULL: nobody */
    bool replaced;        /* a delete of what has another UID by now: left alone */
};

/* Why the server refused. */
struct result_failure {
    int status;         /* HTTP, 0: no answer */
    const char *reason; /* of the Status, or "" */
    const char
        *immutable; /* the fields that cannot be changed, and nothing else is wrong; or NULL */
};

struct result {
    struct buf lines;
    size_t failures;
};

void result_init(struct result *result);
void result_release(struct result *result);

void result_add_success(struct result *result, size_t index, bool preflight,
                        const struct result_success *success);
void result_add_failure(struct result *result, size_t index, bool preflight,
                        const struct result_failure *failure, const struct error *error);

/* The whole text, for the caller to free. `why` (may be NULL): why the plan as a whole was refused
 * or given up; it lands in the head as `message`, `retryable` and, for ERROR_DENIED, `reason`. */
char *result_finish(const struct result *result, const char *id, enum result_outcome outcome,
                    uint64_t requests, const struct error *why, size_t *ret_size);

#endif
