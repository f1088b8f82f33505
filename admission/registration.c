#include "admission/registration.h"

#include "admission/floor_list.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/watch.h"
#include "common/run/log.h"
#include "common/run/metrics.h"

#include <event2/event.h>
#include <string.h>

#define MANAGER "gitmoor-admission"
#define BODY_MAXIMUM ((size_t)1 << 20)
#define REGISTRATION_API "/apis/admissionregistration.k8s.io/v1/"
#define FIRST_DELAY_MS                                                                             \
    1000                    /* between two writes of the same configuration, doubled each time … \
                             */
#define LAST_DELAY_MS 30000 /* … up to this: somebody fights with us */
#define CALM_MS 60000       /* after which it is forgotten */
/* What comes of many applications at once is one policy: API servers compile each. */
#define FOLLOW_DELAY_S 1
#define CLOCKS_DIFFER_MS 60000 /* between replicas, at most */

static struct metric repairs = {.name = "gitmoor_admission_configuration_writes_total",
                                .help = "Webhook configurations written, by kind: at start, for a "
                                        "new authority, and to put foreign edits back.",
                                .type = METRIC_COUNTER,
                                .label = "kind"};

/* What is kept: of each kind one object, named WEBHOOKS_NAME. In the order of removal: the floor
 * refers to nothing, and a binding to its policy. */
enum { FLOOR_BINDING = WEBHOOKS_KINDS, FLOOR_POLICY, KINDS };
static const struct {
    const char *kind, *path, *content;
} kinds[KINDS] = {
    [WEBHOOKS_VALIDATING] = {"ValidatingWebhookConfiguration",
                             REGISTRATION_API "validatingwebhookconfigurations", "webhooks"},
    [WEBHOOKS_MUTATING] = {"MutatingWebhookConfiguration",
                           REGISTRATION_API "mutatingwebhookconfigurations", "webhooks"},
    [FLOOR_BINDING] = {"ValidatingAdmissionPolicyBinding",
                       REGISTRATION_API "validatingadmissionpolicybindings", "spec"},
    [FLOOR_POLICY] = {"ValidatingAdmissionPolicy", REGISTRATION_API "validatingadmissionpolicies",
                      "spec"},
};

/* One of them. */
struct configuration {
    struct registration *registration;
    unsigned kind;
    struct kube_store *store; /* of this one object */
    bool known;               /* what is wanted: the next, or if that is NULL that there is none */
    cJSON *wanted;
    bool stood;             /* it was as wanted when we last looked */
    struct kube_call *call; /* a write under way */
    struct event *timer;
    cJSON *replace; /* as server-side apply left it, with what others had added; NULL: it did not */
    int64_t written_at; /* monotonic; 0: never */
    int64_t delay_ms;
};

struct registration {
    struct kube_client *client;
    struct webhooks_options options;
    struct registration_handlers handlers;
    char *bundle;
    bool standing; /* told so for this bundle */
    bool floor;
    char *list;           /* of applications, as told last */
    int64_t listed_at;    /* wall ms: when that was */
    struct event *follow; /* the floor is to follow the list */
    struct configuration configurations[KINDS];
};

static const cJSON *live(const struct configuration *configuration)
{
    return kube_store_get(configuration->store, "", WEBHOOKS_NAME);
}

static const char *kind_of(const struct configuration *configuration)
{
    return kinds[configuration->kind].kind;
}

static bool is_content_equal(const struct configuration *configuration, const cJSON *object)
{
    const char *content = kinds[configuration->kind].content;
    return json_equal(json_get(object, content), json_get(configuration->wanted, content));
}

static bool is_standing(const struct configuration *configuration)
{
    if (!configuration->wanted) {
        return configuration->known && kube_store_is_synced(configuration->store) &&
               !live(configuration);
    }
    return live(configuration) && is_content_equal(configuration, live(configuration));
}

/* Of the webhooks: whether the floor stands does not matter to who answers reviews. */
static void check_standing(struct registration *registration)
{
    for (unsigned i = 0; i < WEBHOOKS_KINDS; i++) {
        if (!is_standing(&registration->configurations[i])) {
            return;
        }
    }
    if (!registration->standing) {
        registration->standing = true;
        log_info("the webhook configurations stand", "name", WEBHOOKS_NAME);
        registration->handlers.standing(registration->bundle, registration->handlers.context);
    }
}

/* ---- Writing ---- */

static void schedule(struct configuration *configuration, int64_t delay_ms)
{
    struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    event_add(configuration->timer, &delay);
}

/* Writes if it is due: at once, or, when it was written a moment ago, after a growing delay. */
static void reconcile(struct configuration *configuration)
{
    if (!configuration->known || configuration->call || is_standing(configuration) ||
        !kube_store_is_synced(configuration->store)) {
        return;
    }
    int64_t now = clock_monotonic_ms();
    if (now - configuration->written_at > CALM_MS) {
        configuration->delay_ms = 0;
    }
    int64_t due = configuration->written_at + configuration->delay_ms;
    schedule(configuration, configuration->written_at && due > now ? due - now : 0);
}

static void on_written(const struct kube_response *response, void *context)
{
    struct configuration *configuration = context;
    bool replaced = configuration->replace != NULL;
    configuration->call = NULL;
    json_free(configuration->replace);
    configuration->replace = NULL; /* it may have changed meanwhile */
    configuration->delay_ms =
        configuration->delay_ms ? configuration->delay_ms * 2 : FIRST_DELAY_MS;
    if (configuration->delay_ms > LAST_DELAY_MS) {
        configuration->delay_ms = LAST_DELAY_MS;
    }
    const char *kind = kind_of(configuration);
    if (!response->ok && response->error.code != ERROR_NOT_FOUND) {
        log_error("what admission registers cannot be written", "kind", kind, "error",
                  response->error.message);
        reconcile(configuration);
        return;
    }
    AUTO_JSON cJSON *answer = NULL;
    if (configuration->wanted && response->ok && !replaced &&
        json_parse(response->body, response->size, NULL, &answer, NULL) &&
        !is_content_equal(configuration, answer)) {
        configuration->replace = answer;
        answer = NULL;
        configuration->delay_ms = 0;
    }
    /* The watch tells what stands. If it has done so already, the write was of an older wish. */
    reconcile(configuration);
}

static void write_configuration(struct configuration *configuration)
{
    AUTO_BUF struct buf path, body;
    buf_init(&path, 512);
    buf_init(&body, BODY_MAXIMUM);
    const char *content = kinds[configuration->kind].content;
    bool replace = configuration->replace != NULL;
    buf_append_format(&path, "%s/%s?fieldManager=%s%s", kinds[configuration->kind].path,
                      WEBHOOKS_NAME, MANAGER, replace ? "" : "&force=true");
    if (replace) {
        json_set(configuration->replace, content,
                 json_copy(json_get(configuration->wanted, content)));
        json_remove(json_get(configuration->replace, "metadata"), "managedFields");
    }
    json_write(replace ? configuration->replace : configuration->wanted, &body);
    struct kube_request request = {
        .method = replace ? KUBE_PUT : KUBE_PATCH,
        .path = path.data,
        .content_type = replace ? NULL : KUBE_APPLY_TYPE,
        .body = body.data,
        .body_size = body.size,
    };
    configuration->call =
        kube_client_call(configuration->registration->client, &request, on_written, configuration);
}

static void remove_configuration(struct configuration *configuration)
{
    AUTO_BUF struct buf path;
    buf_init(&path, 512);
    buf_append_format(&path, "%s/%s", kinds[configuration->kind].path, WEBHOOKS_NAME);
    struct kube_request request = {.method = KUBE_DELETE, .path = path.data};
    configuration->call =
        kube_client_call(configuration->registration->client, &request, on_written, configuration);
}

static void on_due(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct configuration *configuration = context;
    if (configuration->call || is_standing(configuration)) {
        return;
    }
    configuration->written_at = clock_monotonic_ms();
    metric_add(&repairs, kind_of(configuration), 1);
    if (configuration->wanted) {
        write_configuration(configuration);
    } else {
        remove_configuration(configuration);
    }
}

/* ---- Watching ---- */

/* Another replica may have written the policy for the same applications, a moment earlier or later:
 * then that is the one that is wanted, and nobody writes it again. */
static void adopt_policy(struct configuration *configuration)
{
    struct registration *registration = configuration->registration;
    int64_t since = live(configuration) ? floor_since(live(configuration)) : 0;
    if (!configuration->wanted || since < registration->listed_at ||
        since > clock_wall_ms() + CLOCKS_DIFFER_MS) {
        return;
    }
    AUTO_JSON cJSON *policy = floor_policy(&registration->options, registration->list, since);
    if (json_equal(json_get(policy, "spec"), json_get(live(configuration), "spec"))) {
        json_free(configuration->wanted);
        configuration->wanted = policy;
        policy = NULL;
        event_del(registration->follow);
    }
}

/* Looks at what stands, and does what is to be done about it. */
static void look(struct configuration *configuration)
{
    if (configuration->kind == FLOOR_POLICY) {
        adopt_policy(configuration);
    }
    bool stands = is_standing(configuration);
    if (configuration->stood && !stands) {
        log_warn("what admission registers was changed by somebody else and is put back", "kind",
                 kind_of(configuration), "what", live(configuration) ? "edited" : "deleted");
    }
    configuration->stood = stands;
    check_standing(configuration->registration);
    reconcile(configuration);
}

static void on_changed(const char *namespace_, const char *name, const cJSON *now,
                       const cJSON *before, void *context)
{
    (void)namespace_, (void)name, (void)now, (void)before;
    look(context);
}

static void on_synced(void *context)
{
    look(context);
}

static void on_trouble(const struct error *error, void *context)
{
    const struct configuration *configuration = context;
    if (error) {
        log_warn("what admission registers cannot be watched", "kind", kind_of(configuration),
                 "error", error->message);
    }
}

static void open_configuration(struct registration *registration, unsigned kind,
                               struct event_base *base)
{
    struct configuration *configuration = &registration->configurations[kind];
    configuration->registration = registration;
    configuration->kind = kind;
    configuration->timer = event_new(base, -1, 0, on_due, configuration);
    struct kube_store_options options = {
        .watch = {.path = kinds[kind].path,
                  .api_version = "admissionregistration.k8s.io/v1",
                  .kind = kinds[kind].kind,
                  .field_selector = "metadata.name=" WEBHOOKS_NAME},
        .changed = on_changed,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = configuration,
    };
    configuration->store = kube_store_new(registration->client, &options);
}

/* ---- What is wanted ---- */

/* Takes what is wanted from now on; NULL: that there is none. */
static void set_wanted(struct configuration *configuration, cJSON *wanted)
{
    json_free(configuration->wanted);
    configuration->wanted = wanted;
    configuration->known = true;
    json_free(configuration->replace);
    configuration->replace = NULL;
    configuration->stood = false;
    configuration->delay_ms = 0; /* our own change waits for nothing */
    reconcile(configuration);
}

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
    set_wanted(&registration->configurations[FLOOR_BINDING], floor ? floor_binding() : NULL);
    set_wanted(&registration->configurations[FLOOR_POLICY],
               floor ? floor_policy(&registration->options, registration->list, clock_wall_ms())
                     : NULL);
}

/* ---- Life ---- */

struct registration *registration_new(struct event_base *base, struct kube_client *client,
                                      const struct webhooks_options *options, bool floor,
                                      const struct registration_handlers *handlers)
{
    struct registration *registration = NEW(struct registration);
    registration->client = client;
    registration->options = *options;
    registration->handlers = *handlers;
    registration->floor = floor;
    registration->follow = event_new(base, -1, 0, on_follow, registration);
    for (unsigned i = 0; i < KINDS; i++) {
        open_configuration(registration, i, base);
    }
    return registration;
}

void registration_free(struct registration *registration)
{
    if (!registration) {
        return;
    }
    for (unsigned i = 0; i < KINDS; i++) {
        struct configuration *configuration = &registration->configurations[i];
        if (configuration->call) {
            kube_call_cancel(configuration->call);
        }
        kube_store_free(configuration->store);
        event_free(configuration->timer);
        json_free(configuration->wanted);
        json_free(configuration->replace);
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
        set_wanted(&registration->configurations[i],
                   webhooks_configuration((enum webhooks_kind)i, &options));
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
        AUTO_BUF struct buf path;
        buf_init(&path, 512);
        buf_append_format(&path, "%s/%s", kinds[i].path, WEBHOOKS_NAME);
        struct kube_request request = {.method = KUBE_DELETE, .path = path.data};
        AUTO_JSON cJSON *answer = NULL;
        if (!kube_client_call_wait(client, &request, &answer, error) &&
            error->code != ERROR_NOT_FOUND) {
            return error_prefix(error, "removing %s %s", kinds[i].kind, WEBHOOKS_NAME);
        }
    }
    return true;
}
