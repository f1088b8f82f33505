#include "admission/reasons.h"

#include "common/base/memory.h"
#include "common/base/text.h"

struct noted {
    char *uid;
    char *reason;
    int64_t at;
};

struct reasons {
    struct noted noted[REASONS_MAXIMUM]; /* a ring */
    unsigned next;
};

struct reasons *reasons_new(void)
{
    return NEW(struct reasons);
}

void reasons_free(struct reasons *reasons)
{
    if (!reasons) {
        return;
    }
    for (unsigned i = 0; i < REASONS_MAXIMUM; i++) {
        free(reasons->noted[i].uid);
        free(reasons->noted[i].reason);
    }
    free(reasons);
}

/* The slot of the uid, or the oldest one. */
static struct noted *slot_for(struct reasons *reasons, const char *uid)
{
    for (unsigned i = 0; i < REASONS_MAXIMUM; i++) {
        if (text_equal(reasons->noted[i].uid, uid)) {
            return &reasons->noted[i];
        }
    }
    struct noted *oldest = &reasons->noted[reasons->next];
    reasons->next = (reasons->next + 1) % REASONS_MAXIMUM;
    return oldest;
}

void reasons_note(struct reasons *reasons, const char *uid, const char *reason, int64_t now)
{
    struct noted *noted = slot_for(reasons, uid);
    char *kept_uid = mem_string(uid);
    char *kept_reason = mem_string(reason);
    free(noted->uid);
    free(noted->reason);
    *noted = (struct noted){.uid = kept_uid, .reason = kept_reason, .at = now};
}

const char *reasons_find(const struct reasons *reasons, const char *uid, int64_t now)
{
    for (unsigned i = 0; uid && i < REASONS_MAXIMUM; i++) {
        const struct noted *noted = &reasons->noted[i];
        if (text_equal(noted->uid, uid)) {
            return now - noted->at < REASONS_TIME_MS ? noted->reason : NULL;
        }
    }
    return NULL;
}
