/* valuesFrom, substituteFrom and decryption (values.h): a watch for each ConfigMap and Secret that
 * an Application names, in its own namespace and nowhere else, so that a change of one renders the
 * application again.
 *
 * The differ reads these with its own rights, as it reads everything that is managed: so whoever
 * may write Applications in a namespace can learn, through a chart, what its Secrets hold. That is
 * told in docs/applications.md; --without-secrets closes it. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/application.h"
#include "differ/charts.h"
#include "differ/repository.h"
#include "differ/values.h"

#include <string.h>

/* How one source is watched. */
struct chart_watch {
    struct application *application;
    struct values_source *source;
    bool synced;
    uint64_t epoch; /* of its last event */
    char *refused;  /* why it cannot be read, or NULL */
    struct kube_watch *watch;
};

struct chart_values {
    cJSON *spec; /* valuesFrom, substituteFrom and decryption that this is of */
    struct values_source *sources;
    struct chart_watch *watches; /* of each */
    size_t count;
    char *told; /* the last problem, with the revision that it was told of; or NULL */
};

void charts_values_free(struct chart_values *values)
{
    if (!values) {
        return;
    }
    for (size_t i = 0; i < values->count; i++) {
        kube_watch_free(values->watches[i].watch);
        free(values->watches[i].refused);
    }
    values_free(values->sources, values->count);
    free(values->watches);
    free(values->told);
    json_free(values->spec);
    free(values);
}

/* ---- What the watches tell ---- */

static void render_again(struct application *application)
{
    application->needs_render = true;
    struct repository *repository = application_repository(application);
    if (repository && charts_values_state(application) != CHARTS_VALUES_AWAITED) {
        repository_step(repository);
    }
}

static void on_event(const struct kube_event *event, void *context)
{
    struct chart_watch *watch = context;
    bool here = event->type == KUBE_EVENT_PRESENT;
    bool changed = values_take(watch->source, here ? event->object : NULL);
    watch->epoch = event->epoch;
    if (changed && watch->synced) {
        render_again(watch->application);
    }
}

static void on_synced(uint64_t epoch, void *context)
{
    struct chart_watch *watch = context;
    bool gone = watch->source->found && watch->epoch < epoch; /* while nobody was listening */
    if (gone) {
        values_take(watch->source, NULL);
    }
    if (!watch->synced || gone) {
        watch->synced = true;
        render_again(watch->application);
    }
}

static void on_trouble(const struct error *error, void *context)
{
    struct chart_watch *watch = context;
    bool changed = !text_equal(watch->refused, error ? error->message : NULL);
    free(watch->refused);
    watch->refused = mem_string(error ? error->message : NULL);
    if (changed) {
        render_again(watch->application);
    }
}

/* ---- What is watched ---- */

/* Why a Secret is not even looked at; NULL: it is. */
static const char *refusal(const struct differ *differ, const struct values_source *source)
{
    if (source->secret && differ->settings->without_secrets) {
        return "this differ runs with --without-secrets";
    }
    if (source->wanted == VALUES_KEYS && text_is_empty(differ->settings->common.bus_keys)) {
        return "the links between the processes have no keys (--bus-keys), and what is decrypted "
               "is never sent in clear";
    }
    return NULL;
}

static void open_watch(struct application *application, struct values_source *source,
                       struct chart_watch *watch)
{
    struct differ *differ = application->differ;
    *watch = (struct chart_watch){.application = application,
                                  .source = source,
                                  .refused = mem_string(refusal(differ, source))};
    if (watch->refused) {
        return;
    }
    AUTO_FREE char *path = mem_format("/api/v1/namespaces/%s/%s", application->namespace_,
                                      source->secret ? "secrets" : "configmaps");
    AUTO_FREE char *selector = mem_format("metadata.name=%s", source->name);
    const struct kube_watch_options options = {
        .path = path,
        .api_version = "v1",
        .kind = values_kind(source),
        .field_selector = selector,
        .event = on_event,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = watch,
    };
    watch->watch = kube_watch_new(differ->client, &options);
}

/* The part of the spec that names objects; a change of it opens the watches anew. */
static cJSON *describe_spec(const struct application_spec *spec)
{
    const cJSON *helm = json_array(json_object(spec->render, "helm"), "valuesFrom");
    cJSON *described = json_new_array();
    json_append(described, helm ? json_copy(helm) : json_new_array());
    json_append(described,
                spec->substitute_from ? json_copy(spec->substitute_from) : json_new_array());
    json_append(described, json_new_string(text_or_empty(spec->decryption_secret)));
    return described;
}

void charts_watch_values(struct application *application)
{
    struct chart_values *values = application->values;
    AUTO_JSON cJSON *spec = describe_spec(&application->spec);
    if (values && json_equal(spec, values->spec)) {
        return;
    }
    charts_values_free(values);
    application->values = NULL;
    struct values_source *sources;
    size_t count = values_list(&application->spec, &sources);
    if (count == 0) {
        values_free(sources, 0);
        return;
    }
    values = NEW(struct chart_values);
    *values = (struct chart_values){.spec = spec,
                                    .sources = sources,
                                    .watches = mem_new(count, sizeof *values->watches),
                                    .count = count};
    spec = NULL;
    for (size_t i = 0; i < count; i++) {
        open_watch(application, &sources[i], &values->watches[i]);
    }
    application->values = values;
}

/* ---- What has come of it ---- */

enum charts_values_state charts_values_state(const struct application *application)
{
    const struct chart_values *values = application->values;
    enum charts_values_state state = CHARTS_VALUES_HERE;
    for (size_t i = 0; values && i < values->count; i++) {
        const struct chart_watch *watch = &values->watches[i];
        if (!watch->synced && !watch->refused) {
            return CHARTS_VALUES_AWAITED;
        }
        if (!watch->synced || values_is_lacking(watch->source)) {
            state = CHARTS_VALUES_WRONG;
        }
    }
    return state;
}

/* For the caller to free; with the field of the spec that it is of. */
static char *values_problem(const struct application *application, const char **ret_field)
{
    const struct chart_values *values = application->values;
    for (size_t i = 0; values && i < values->count; i++) {
        const struct chart_watch *watch = &values->watches[i];
        const struct values_source *source = watch->source;
        *ret_field = values_field(source);
        char *problem = watch->synced
                            ? values_describe_lack(source, application->namespace_)
                            : mem_format("the %s %s cannot be read: %s", values_kind(source),
                                         source->name, text_or_empty(watch->refused));
        if (problem) {
            return problem;
        }
    }
    return NULL;
}

void charts_tell_problem(struct application *application, const char *revision)
{
    const char *field = "";
    AUTO_FREE char *problem = values_problem(application, &field);
    AUTO_FREE char *told = mem_format("%s %s", revision, text_or_empty(problem));
    if (problem && !text_equal(told, application->values->told)) {
        free(application->values->told);
        application->values->told = mem_string(told);
        problems_clear(&application->render_problems);
        problems_add(&application->render_problems, "", field, 0, "%s", problem);
        application->rendered = true;
        application_set_desired(application, NULL, "", revision);
    }
}

void charts_add_values(const struct application *application, cJSON *item)
{
    struct chart_values *values = application->values;
    if (values) {
        free(values->told);
        values->told = NULL;
    }
    values_add(values ? values->sources : NULL, values ? values->count : 0, &application->spec,
               item);
}
