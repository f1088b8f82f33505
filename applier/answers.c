#include "applier/answers.h"

#include "common/base/clock.h"
#include "common/base/map.h"
#include "common/base/memory.h"

#include <event2/event.h>
#include <string.h>
#include <sys/queue.h>

#define EXPIRE_EVERY_SECONDS 5

struct kept {
    TAILQ_ENTRY(kept) age; /* oldest first */
    struct answer answer;
    char *id;
    char *body;
    struct digest blob; /* zero: none */
    size_t bytes;
    int64_t since_ms;
};

struct answers {
    struct bus *bus;
    struct map by_id;
    TAILQ_HEAD(, kept) by_age;
    size_t bytes;
    struct event *timer;
};

static void drop(struct answers *answers, struct kept *kept)
{
    map_remove(&answers->by_id, kept->id);
    TAILQ_REMOVE(&answers->by_age, kept, age);
    answers->bytes -= kept->bytes;
    if (answers->bus && !digest_is_zero(&kept->blob)) {
        bus_blob_drop(answers->bus, &kept->blob);
    }
    free(kept->id);
    free(kept->body);
    free(kept);
}

void answers_expire(struct answers *answers, int64_t now_ms)
{
    struct kept *oldest;
    while ((oldest = TAILQ_FIRST(&answers->by_age)) &&
           now_ms - oldest->since_ms > ANSWERS_AGE_MAXIMUM_MS) {
        drop(answers, oldest);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct answers *answers = context;
    answers_expire(answers, clock_monotonic_ms());
}

struct answers *answers_new(struct event_base *base, struct bus *bus)
{
    struct answers *answers = NEW(struct answers);
    answers->bus = bus;
    TAILQ_INIT(&answers->by_age);
    answers->timer = event_new(base, -1, EV_PERSIST, on_timer, answers);
    struct timeval every = {.tv_sec = EXPIRE_EVERY_SECONDS};
    event_add(answers->timer, &every);
    return answers;
}

void answers_free(struct answers *answers)
{
    if (!answers) {
        return;
    }
    answers->bus = NULL;
    while (!TAILQ_EMPTY(&answers->by_age)) {
        drop(answers, TAILQ_FIRST(&answers->by_age));
    }
    map_release(&answers->by_id, NULL);
    event_free(answers->timer);
    free(answers);
}

void answers_put(struct answers *answers, const char *id, const char *body, size_t size,
                 const struct digest *blob, size_t blob_size)
{
    struct kept *before = map_get(&answers->by_id, id);
    if (before) {
        drop(answers, before);
    }
    struct kept *kept = NEW(struct kept);
    kept->id = mem_string(id);
    kept->body = mem_string_n(body, size);
    kept->answer = (struct answer){.body = kept->body, .size = size};
    kept->bytes = size + (blob ? blob_size : 0);
    kept->blob = blob ? *blob : (struct digest){0};
    kept->since_ms = clock_monotonic_ms();
    map_set(&answers->by_id, id, kept);
    TAILQ_INSERT_TAIL(&answers->by_age, kept, age);
    answers->bytes += kept->bytes;
    while (TAILQ_FIRST(&answers->by_age) != kept && (answers->by_id.count > ANSWERS_COUNT_MAXIMUM ||
                                                     answers->bytes > ANSWERS_BYTES_MAXIMUM)) {
        drop(answers, TAILQ_FIRST(&answers->by_age));
    }
}

const struct answer *answers_get(const struct answers *answers, const char *id)
{
    const struct kept *kept = map_get(&answers->by_id, id);
    return kept ? &kept->answer : NULL;
}

size_t answers_count(const struct answers *answers)
{
    return answers->by_id.count;
}
