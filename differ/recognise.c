#include "differ/recognise.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/application.h"

/* The list of one kind: a watch that is given up when it has listed. */
struct kind_list {
    struct recognition *recognition;
    char *name;               /* of the kind */
    struct kube_watch *watch; /* NULL: done */
};

struct recognition {
    struct application *application;
    struct map lists; /* name of the kind → struct kind_list * */
    size_t left;      /* on their way */
};

/* The differ compares it with the text as it does what the watch tells of. */
static void on_event(const struct kube_event *event, void *context)
{
    const struct kind_list *list = context;
    struct live_kind *kind =
        live_kind_get(list->recognition->application->differ->live, list->name);
    if (kind && event->type == KUBE_EVENT_PRESENT) {
        live_take(kind, event);
    }
}

static void end_list(struct kind_list *list)
{
    struct recognition *recognition = list->recognition;
    kube_watch_free(list->watch);
    list->watch = NULL;
    if (--recognition->left == 0) {
        application_wake(recognition->application);
    }
}

static void on_synced(uint64_t epoch, void *context)
{
    (void)epoch;
    end_list(context);
}

static void on_trouble(const struct error *error, void *context)
{
    if (error) {
        end_list(context); /* that watch of the kind which is kept tells of it */
    }
}

static void list_kind(struct recognition *recognition, const struct live_kind *kind)
{
    struct kind_list *list = NEW(struct kind_list);
    AUTO_FREE char *selector = mem_format("%s=%s", GITMOOR_LABEL, recognition->application->label);
    list->recognition = recognition;
    list->name = mem_string(kind->name);
    map_set(&recognition->lists, kind->name, list);
    recognition->left++;
    const struct kube_watch_options options = {
        .label_selector = selector,
        .event = on_event,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = list,
    };
    struct kube_client *client = recognition->application->differ->client;
    list->watch = kube_watch_resource(client, &kind->resource, &options);
}

/* Whether we, or another replica, applied the live object for this application, and it was last
 * looked at before its text was known. */
static bool is_unrecognised(const struct application *application,
                            const struct desired_object *desired, const struct live_object *live)
{
    return digest_is_zero(&desired->synced) && desired->adopt_version == 0 && live &&
           live->told <= application->desired->built && !digest_is_zero(&live->fingerprint) &&
           text_equal(live->group->label, application->label);
}

static struct recognition *recognition_new(struct application *application)
{
    struct recognition *recognition = NEW(struct recognition);
    recognition->application = application;
    map_init(&recognition->lists);
    for (size_t i = 0; i < application->desired->count; i++) {
        const struct desired_object *desired = &application->desired->objects[i];
        const struct live_object *live = live_get(application->differ->live, desired->key);
        if (is_unrecognised(application, desired, live) &&
            !map_has(&recognition->lists, live->kind->name)) {
            list_kind(recognition, live->kind);
        }
    }
    return recognition;
}

static void list_free(void *value)
{
    struct kind_list *list = value;
    kube_watch_free(list->watch);
    free(list->name);
    free(list);
}

void recognition_free(struct recognition *recognition)
{
    if (recognition) {
        map_release(&recognition->lists, list_free);
        free(recognition);
    }
}

bool recognise_step(struct application *application)
{
    if (application->recognised) {
        return true;
    }
    if (!application->recognition) {
        application->recognition = recognition_new(application);
    }
    if (application->recognition->left > 0) {
        return false;
    }
    recognition_free(application->recognition);
    application->recognition = NULL;
    application->recognised = true;
    return true;
}
