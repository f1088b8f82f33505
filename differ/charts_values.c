/* valuesFrom, substituteFrom and decryption: a watch for each ConfigMap and Secret that an
 * Application names, in its own namespace and nowhere else, so that a change of one renders the
 * application again.
 *
 * The differ reads these with its own rights, as it reads everything that is managed: so whoever
 * may write Applications in a namespace can learn, through a chart, what its Secrets hold. That is
 * told in docs/applications.md; --without-secrets closes it. */
#include "common/base/base64.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/application.h"
#include "differ/charts.h"
#include "differ/repository.h"

#include <string.h>

#define DEFAULT_KEY "values.yaml"
#define AGE_SUFFIX ".agekey" /* as Flux has them */
#define OPENPGP_SUFFIX ".asc"
#define VARIABLES_MAXIMUM 5000          /* of one object; each use looks through them */
#define DATA_MAXIMUM ((size_t)16 << 20) /* an object of 1.5 MiB, escaped */

enum wanted { WANTED_VALUES, WANTED_VARIABLES, WANTED_KEYS };

static const char *const fields[] = {"spec.render.helm.valuesFrom", "spec.substituteFrom",
                                     "spec.decryption"};

struct chart_source {
    struct application *application;
    enum wanted wanted;
    char *name;
    char *key; /* NULL: all of them */
    bool secret;
    bool optional;
    bool synced;
    bool found;     /* the object is there */
    uint64_t epoch; /* of its last event */
    char *text;     /* of the key, or a JSON object of all; NULL if it is not there */
    char *refused;  /* why it cannot be read, or NULL */
    struct kube_watch *watch;
};

struct chart_values {
    cJSON *spec; /* valuesFrom, substituteFrom and decryption that this is of */
    struct chart_source *sources;
    size_t count;
    char *told; /* the last problem, with the revision that it was told of; or NULL */
};

static void source_release(struct chart_source *source)
{
    kube_watch_free(source->watch);
    free(source->name);
    free(source->key);
    free(source->text);
    free(source->refused);
}

void charts_values_free(struct chart_values *values)
{
    if (!values) {
        return;
    }
    for (size_t i = 0; i < values->count; i++) {
        source_release(&values->sources[i]);
    }
    free(values->sources);
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

/* Other keys of a Secret that decrypts are no concern of ours, and not kept. */
static bool is_wanted(const struct chart_source *source, const char *key)
{
    return source->wanted != WANTED_KEYS || text_has_suffix(key, AGE_SUFFIX) ||
           text_has_suffix(key, OPENPGP_SUFFIX);
}

/* Of the object; for the caller to free. Of all keys those that hold text; NULL if these are too
 * many. */
static char *read_text(const struct chart_source *source, const cJSON *object)
{
    const cJSON *data = json_object(object, "data");
    if (source->key) {
        const char *value = json_string(data, source->key);
        return source->secret ? base64_decode_text(value) : mem_string(value);
    }
    if (json_size(data) > VARIABLES_MAXIMUM) {
        return NULL;
    }
    AUTO_JSON cJSON *all = json_new_object();
    for (const cJSON *it = json_first(data); it; it = it->next) {
        const char *value =
            cJSON_IsString(it) && is_wanted(source, it->string) ? it->valuestring : NULL;
        AUTO_FREE char *text = source->secret ? base64_decode_text(value) : mem_string(value);
        json_add_string(all, it->string, text);
    }
    AUTO_BUF struct buf text;
    buf_init(&text, DATA_MAXIMUM);
    return json_write(all, &text) ? mem_string(text.data) : NULL;
}

static void on_event(const struct kube_event *event, void *context)
{
    struct chart_source *source = context;
    bool here = event->type == KUBE_EVENT_PRESENT;
    char *text = here ? read_text(source, event->object) : NULL;
    bool same = source->found == here && text_equal(text, source->text);
    free(source->text);
    source->text = text;
    source->found = here;
    source->epoch = event->epoch;
    if (!same && source->synced) {
        render_again(source->application);
    }
}

static void on_synced(uint64_t epoch, void *context)
{
    struct chart_source *source = context;
    bool gone = source->found && source->epoch < epoch; /* while nobody was listening */
    if (gone) {
        free(source->text);
        source->text = NULL;
        source->found = false;
    }
    if (!source->synced || gone) {
        source->synced = true;
        render_again(source->application);
    }
}

static void on_trouble(const struct error *error, void *context)
{
    struct chart_source *source = context;
    bool changed = !text_equal(source->refused, error ? error->message : NULL);
    free(source->refused);
    source->refused = mem_string(error ? error->message : NULL);
    if (changed) {
        render_again(source->application);
    }
}

/* ---- What is watched ---- */

/* Why a Secret is not even looked at; NULL: it is. */
static const char *refusal(const struct differ *differ, const struct chart_source *source)
{
    if (source->secret && differ->settings->without_secrets) {
        return "this differ runs with --without-secrets";
    }
    if (source->wanted == WANTED_KEYS && text_is_empty(differ->settings->common.bus_keys)) {
        return "the links between the processes have no keys (--bus-keys), and what is decrypted "
               "is "
               "never sent in clear";
    }
    return NULL;
}

static void open_source(struct application *application, const cJSON *item, enum wanted wanted,
                        struct chart_source *source)
{
    struct differ *differ = application->differ;
    const char *key = json_string(item, "key");
    *source = (struct chart_source){
        .application = application,
        .wanted = wanted,
        .name = mem_string(text_or_empty(json_string(item, "name"))),
        .key = wanted == WANTED_VALUES ? mem_string(text_is_empty(key) ? DEFAULT_KEY : key) : NULL,
        .secret = wanted == WANTED_KEYS || text_equal(json_string(item, "kind"), "Secret"),
        .optional = json_bool(item, "optional", false),
    };
    source->refused = mem_string(refusal(differ, source));
    if (source->refused) {
        return;
    }
    AUTO_FREE char *path = mem_format("/api/v1/namespaces/%s/%s", application->namespace_,
                                      source->secret ? "secrets" : "configmaps");
    AUTO_FREE char *selector = mem_format("metadata.name=%s", source->name);
    const struct kube_watch_options options = {
        .path = path,
        .api_version = "v1",
        .kind = source->secret ? "Secret" : "ConfigMap",
        .field_selector = selector,
        .event = on_event,
        .synced = on_synced,
        .trouble = on_trouble,
        .context = source,
    };
    source->watch = kube_watch_new(differ->client, &options);
}

/* The third of the texts that it is of. */
static const cJSON *secret_of(const struct chart_values *values)
{
    return json_first(values->spec)->next->next;
}

void charts_watch_values(struct application *application)
{
    const cJSON *helm = json_array(json_object(application->spec.render, "helm"), "valuesFrom");
    const cJSON *variables = application->spec.substitute_from;
    const char *keys = application->spec.decryption_secret;
    struct chart_values *values = application->values;
    AUTO_JSON cJSON *spec = json_new_array();
    json_append(spec, helm ? json_copy(helm) : json_new_array());
    json_append(spec, variables ? json_copy(variables) : json_new_array());
    cJSON *secret = json_append(spec, json_new_object());
    json_add_string(secret, "name", keys);
    size_t count = json_size(helm) + json_size(variables) + (keys != NULL);
    if (values ? json_equal(spec, values->spec) : count == 0) {
        return;
    }
    charts_values_free(values);
    application->values = NULL;
    if (count == 0) {
        return;
    }
    values = NEW(struct chart_values);
    values->spec = spec;
    spec = NULL;
    values->sources = mem_new(count, sizeof *values->sources);
    for (const cJSON *item = json_first(helm); item; item = item->next) {
        open_source(application, item, WANTED_VALUES, &values->sources[values->count++]);
    }
    for (const cJSON *item = json_first(variables); item; item = item->next) {
        open_source(application, item, WANTED_VARIABLES, &values->sources[values->count++]);
    }
    if (keys) {
        open_source(application, secret_of(values), WANTED_KEYS, &values->sources[values->count++]);
    }
    application->values = values;
}

/* ---- What has come of it ---- */

/* What is optional may be absent, but not be too large. */
static bool lacks_text(const struct chart_source *source)
{
    return !source->text && (!source->optional || (source->found && !source->key));
}

enum charts_values_state charts_values_state(const struct application *application)
{
    const struct chart_values *values = application->values;
    enum charts_values_state state = CHARTS_VALUES_HERE;
    for (size_t i = 0; values && i < values->count; i++) {
        const struct chart_source *source = &values->sources[i];
        if (!source->synced && !source->refused) {
            return CHARTS_VALUES_AWAITED;
        }
        if (!source->synced || lacks_text(source)) {
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
        const struct chart_source *source = &values->sources[i];
        const char *kind = source->secret ? "Secret" : "ConfigMap";
        *ret_field = fields[source->wanted];
        if (!source->synced) {
            return mem_format("the %s %s cannot be read: %s", kind, source->name,
                              text_or_empty(source->refused));
        }
        if (lacks_text(source) && source->found && !source->key) {
            return mem_format("the %s %s has more than %d keys", kind, source->name,
                              VARIABLES_MAXIMUM);
        }
        if (lacks_text(source)) {
            return source->found ? mem_format("the %s %s has no usable key %s", kind, source->name,
                                              source->key)
                                 : mem_format("the %s %s does not exist in the namespace %s", kind,
                                              source->name, application->namespace_);
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

/* Those that are not there yet. */
static void add_variables(cJSON *variables, const cJSON *from, struct map *names)
{
    for (const cJSON *it = json_first(from); it; it = it->next) {
        if (cJSON_IsString(it) && !map_has(names, it->string)) {
            json_add_string(variables, it->string, it->valuestring);
            map_set(names, it->string, variables);
        }
    }
}

/* From the strongest to the weakest. A map tells what is there, since a tenant's ConfigMaps may
 * hold many thousand names. */
static void add_all_variables(const struct application *application, cJSON *variables)
{
    const struct chart_values *values = application->values;
    struct map names;
    map_init(&names);
    add_variables(variables, application->spec.substitute, &names);
    for (size_t i = values ? values->count : 0; i > 0; i--) {
        const struct chart_source *source = &values->sources[i - 1];
        AUTO_JSON cJSON *read = NULL; /* what read_text wrote */
        if (source->text && source->wanted == WANTED_VARIABLES &&
            json_parse(source->text, strlen(source->text), NULL, &read, NULL)) {
            add_variables(variables, read, &names);
        }
    }
    map_release(&names, NULL);
}

/* Sorted by what they are, as their names say. */
static void add_keys(const struct chart_source *source, cJSON *decryption)
{
    AUTO_JSON cJSON *read = NULL; /* what read_text wrote */
    AUTO_FREE char *from = mem_format("the Secret %s", source->name);
    cJSON *age = json_add_object(decryption, "age");
    cJSON *openpgp = json_add_object(decryption, "pgp");
    json_add_string(decryption, "from", from);
    json_parse(source->text, strlen(source->text), NULL, &read, NULL);
    for (const cJSON *it = json_first(read); it; it = it->next) {
        json_add_string(text_has_suffix(it->string, AGE_SUFFIX) ? age : openpgp, it->string,
                        it->valuestring);
    }
}

void charts_add_values(const struct application *application, cJSON *item)
{
    const struct chart_values *values = application->values;
    const struct application_spec *spec = &application->spec;
    cJSON *texts = values ? json_add_array(item, "values") : NULL;
    if (values) {
        free(application->values->told);
        application->values->told = NULL;
    }
    for (size_t i = 0; values && i < values->count; i++) {
        const struct chart_source *source = &values->sources[i];
        if (source->text && source->key) {
            json_append(texts, json_new_string(source->text));
        }
        if (source->text && source->wanted == WANTED_KEYS) {
            add_keys(source, json_add_object(item, "decryption"));
        }
    }
    if (spec->substitute || spec->substitute_from) {
        add_all_variables(application, json_add_object(item, "variables"));
    }
}
