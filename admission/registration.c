#include "admission/registration.h"

#include "admission/floor_list.h"
#include "admission/kept.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"

#include <event2/event.h>

#define REGISTRATION_API "/apis/admissionregistration.k8s.io/v1/"
/* What comes of many applications at once is one policy: API servers compile each. */
#define FOLLOW_DELAY_S 1
#define CLOCKS_DIFFER_MS 60000 /* between replicas, at most */

/* What is kept: of each kind one object. In the order of removal: the floor refers to nothing, and
 * a binding to its policy. */
enum { FLOOR_BINDING = WEBHOOKS_KINDS, FLOOR_POLICY, KINDS };
static const struct kept_what kinds[KINDS] = {
    [WEBHOOKS_VALIDATING] = {"ValidatingWebhookConfiguration",
                             REGISTRATION_API "validatingwebhookconfigurations", WEBHOOKS_NAME,
                             "webhooks"},
    [WEBHOOKS_MUTATING] = {"MutatingWebhookConfiguration",
                           REGISTRATION_API "mutatingwebhookconfigurations", WEBHOOKS_NAME,
                           "webhooks"},
    [FLOOR_BINDING] = {"ValidatingAdmissionPolicyBinding",
                       REGISTRATION_API "validatingadmissionpolicybindings", WEBHOOKS_NAME, "spec"},
    [FLOOR_POLICY] = {"ValidatingAdmissionPolicy", REGISTRATION_API "validatingadmissionpolicies",
                      WEBHOOKS_NAME, "spec"},
};

struct registration {
    struct webhooks_options options;
    struct registration_handlers handlers;
    char *bundle;
    bool standing; /* told so for this bundle */
    bool floor;
    char *list;           /* of applications, as told last */
    int64_t listed_at;    /* wall ms: when that was */
    struct event *follow; /* the floor is to follow the list */
    struct kept *kept[KINDS];
};

/* ---- What stands ---- */

/* Of the webhooks: whether the floor stands does not matter to who answers reviews. */
static void check_standing(void *context)
{
    struct registration *registration = context;
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        if (!kept_stands(registration->kept[i])) {
            return;
        }
    }
    if (!registration->standing) {
        registration->standing = true;
        log_info("the webhook configurations stand", "name", WEBHOOKS_NAME);
        registration->handlers.standing(registration->bundle, registration->handlers.context);
    }
}

/* Another replica may have written the policy for the same applications, a moment earlier or later:
 * then that is the one that is wanted, and nobody writes it again. */
static void adopt_policy(struct kept *kept, void *context)
{
    struct registration *registration = context;
    if (kept != registration->kept[FLOOR_POLICY] || !kept_is_wanted(kept)) {
        return;
    }
    const cJSON *live = kept_live(kept);
    int64_t since = live ? floor_since(live) : 0;
    if (since < registration->listed_at || since > clock_wall_ms() + CLOCKS_DIFFER_MS) {
        return;
    }
    AUTO_JSON cJSON *policy = floor_policy(&registration->options, registration->list, since);
    if (json_equal(json_get(policy, "spec"), json_get(live, "spec"))) {
        kept_adopt(kept, policy);
        policy = NULL;
        event_del(registration->follow);
    }
}

/* ---- What is wanted ---- */

static void on_follow(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct registration *registration = context;
    bool floor = registration->floor;
    size_t count = floor_list_count(registration->list);
    if (floor && count > FLOOR_APPLICATIONS_MAXIMUM) {
        AUTO_FREE char *text = mem_format("%zu", count);
        log_error("there is no floor: there are more applications than it can list", "applications",
                  text);
        floor = false;
    }
    kept_want(registration->kept[FLOOR_BINDING], floor ? floor_binding() : NULL);
    kept_want(registration->kept[FLOOR_POLICY],
              floor ? floor_policy(&registration->options, registration->list, clock_wall_ms())
                    : NULL);
}

/* ---- Life ---- */

struct registration *registration_new(struct event_base *base, struct kube_client *client,
                                      const struct webhooks_options *options, bool floor,
                                      const struct registration_handlers *handlers)
{
    struct registration *registration = NEW(struct registration);
    registration->options = *options;
    registration->handlers = *handlers;
    registration->floor = floor;
    registration->follow = event_new(base, -1, 0, on_follow, registration);
    const struct kept_handlers kept = {
        .seen = adopt_policy, .judged = check_standing, .context = registration};
    for (unsigned i = 0; i < KINDS; i++) {
        registration->kept[i] = kept_new(base, client, &kinds[i], &kept);
    }
    return registration;
}

void registration_free(struct registration *registration)
{
    if (!registration) {
        return;
    }
    for (unsigned i = 0; i < KINDS; i++) {
        kept_free(registration->kept[i]);
    }
    free(registration->bundle);
    event_free(registration->follow);
    free(registration->list);
    free(registration);
}

void registration_set_bundle(struct registration *registration, const char *ca_bundle)
{
    if (text_equal(registration->bundle, ca_bundle)) {
        return;
    }
    free(registration->bundle);
    registration->bundle = mem_string(ca_bundle);
    registration->standing = false;
    struct webhooks_options options = registration->options;
    options.ca_bundle = registration->bundle;
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        kept_want(registration->kept[i], webhooks_configuration((enum webhooks_kind)i, &options));
    }
    check_standing(registration);
}

void registration_set_applications(struct registration *registration, const char *list)
{
    if (text_equal(registration->list, list)) {
        return;
    }
    struct timeval delay = {.tv_sec = registration->list ? FOLLOW_DELAY_S : 0};
    free(registration->list);
    registration->list = mem_string(list);
    registration->listed_at = clock_wall_ms();
    event_add(registration->follow, &delay);
}

bool registration_remove(struct kube_client *client, struct error *error)
{
    for (unsigned i = 0; i < KINDS; i++) {
        if (!kept_remove(client, &kinds[i], error)) {
            return false;
        }
    }
    return true;
}
