#include "applier/self.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <event2/event.h>

#define REVIEW_PATH "/apis/authentication.k8s.io/v1/selfsubjectreviews"
#define REVIEW_BODY "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"SelfSubjectReview\"}"
#define FIRST_PAUSE_MS 250
#define LONGEST_PAUSE_MS 10000

struct self {
    struct kube_client *client;
    struct kube_call *call;
    struct event *timer;
    int64_t pause_ms;
    void (*known)(const char *user_name, void *context);
    void (*trouble)(const struct error *error, void *context);
    void *context;
};

static void wait_a_while(struct self *self)
{
    struct timeval pause = {.tv_sec = self->pause_ms / 1000,
                            .tv_usec = self->pause_ms % 1000 * 1000};
    event_add(self->timer, &pause);
    self->pause_ms *= 2;
    if (self->pause_ms > LONGEST_PAUSE_MS) {
        self->pause_ms = LONGEST_PAUSE_MS;
    }
}

static void on_answer(const struct kube_response *response, void *context)
{
    struct self *self = context;
    self->call = NULL;
    struct error error = response->error;
    AUTO_JSON cJSON *review = NULL;
    bool ok = response->ok && json_parse(response->body, response->size, NULL, &review, &error);
    const char *name = ok ? json_string_path(review, "status.userInfo.username") : NULL;
    if (!text_is_empty(name)) {
        self->known(name, self->context);
        return;
    }
    if (ok) {
        error_set(&error, ERROR_UNAVAILABLE, "the answer names no user");
    }
    error_prefix(&error, "cannot learn the applier's own user name");
    self->trouble(&error, self->context);
    wait_a_while(self);
}

static void ask(struct self *self)
{
    struct kube_request request = {.method = KUBE_POST,
                                   .path = REVIEW_PATH,
                                   .body = REVIEW_BODY,
                                   .body_size = sizeof REVIEW_BODY - 1,
                                   .body_is_static = true};
    self->call = kube_client_call(self->client, &request, on_answer, self);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    ask(context);
}

struct self *self_ask(struct event_base *base, struct kube_client *client,
                      void (*known)(const char *user_name, void *context),
                      void (*trouble)(const struct error *error, void *context), void *context)
{
    struct self *self = NEW(struct self);
    self->client = client;
    self->known = known;
    self->trouble = trouble;
    self->context = context;
    self->pause_ms = FIRST_PAUSE_MS;
    self->timer = event_new(base, -1, 0, on_timer, self);
    ask(self);
    return self;
}

void self_free(struct self *self)
{
    if (!self) {
        return;
    }
    if (self->call) {
        kube_call_cancel(self->call);
    }
    event_free(self->timer);
    free(self);
}
