/* An AdmissionReview in, an AdmissionReview out. Pure, as the verdict is. */
#ifndef GITMOOR_ADMISSION_REVIEW_H
#define GITMOOR_ADMISSION_REVIEW_H

#include "admission/verdict.h"

/* The largest review that is read: it holds the object before and after; etcd stores 1.5 MiB of an
 * object, and Go writes each <, > and & in JSON as six characters. */
#define REVIEW_MAXIMUM ((size_t)20 << 20)

/* A parsed review with its verdict; everything in it lives until review_release. */
struct review {
    struct arena arena;
    const cJSON *tree; /* in the arena */
    struct request request;
    struct verdict verdict;
};

/* Reads and judges. False if the text is not a review that can be judged: malformed JSON, another
 * kind or version, something missing. Then there is nothing to release. */
bool review_judge(const char *text, size_t size, const struct verdict_settings *settings,
                  const struct application_set *applications, struct review *ret,
                  struct error *error);
void review_release(struct review *review);

/* The answer: a tree for the caller to free. */
cJSON *review_answer(const struct review *review);

#endif
