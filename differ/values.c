#include "differ/values.h"

#include "common/base/base64.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define DEFAULT_KEY "values.yaml"
#define AGE_SUFFIX ".agekey" /* as Flux has them */
#define OPENPGP_SUFFIX ".asc"
#define VARIABLES_MAXIMUM 5000          /* of one object; each use looks through them */
#define DATA_MAXIMUM ((size_t)16 << 20) /* an object of 1.5 MiB, escaped */

/* ---- Which objects ---- */

static void open_source(const cJSON *item, enum values_wanted wanted, struct values_source *source)
{
    const char *key = json_string(item, "key");
    *source = (struct values_source){
        .wanted = wanted,
        .name = mem_string(text_or_empty(json_string(item, "name"))),
        .key = wanted == VALUES_TEXT ? mem_string(text_is_empty(key) ? DEFAULT_KEY : key) : NULL,
        .secret = wanted == VALUES_KEYS || text_equal(json_string(item, "kind"), "Secret"),
        .optional = json_bool(item, "optional", false),
    };
}

size_t values_list(const struct application_spec *spec, struct values_source **ret)
{
    const cJSON *helm = json_array(json_object(spec->render, "helm"), "valuesFrom");
    size_t count = 0;
    *ret = mem_new(json_size(helm) + json_size(spec->substitute_from) + 1, sizeof **ret);
    for (const cJSON *item = json_first(helm); item; item = item->next) {
        open_source(item, VALUES_TEXT, &(*ret)[count++]);
    }
    for (const cJSON *item = json_first(spec->substitute_from); item; item = item->next) {
        open_source(item, VALUES_VARIABLES, &(*ret)[count++]);
    }
    if (spec->decryption_secret) {
        (*ret)[count++] = (struct values_source){
            .wanted = VALUES_KEYS, .name = mem_string(spec->decryption_secret), .secret = true};
    }
    return count;
}

void values_free(struct values_source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(sources[i].name);
        free(sources[i].key);
        free(sources[i].text);
    }
    free(sources);
}

const char *values_field(const struct values_source *source)
{
    static const char *const fields[] = {[VALUES_TEXT] = "spec.render.helm.valuesFrom",
                                         [VALUES_VARIABLES] = "spec.substituteFrom",
                                         [VALUES_KEYS] = "spec.decryption"};
    return fields[source->wanted];
}

const char *values_kind(const struct values_source *source)
{
    return source->secret ? "Secret" : "ConfigMap";
}

/* ---- What they hold ---- */

/* Other keys of a Secret that decrypts are no concern of ours, and not kept. */
static bool is_wanted(const struct values_source *source, const char *key)
{
    return source->wanted != VALUES_KEYS || text_has_suffix(key, AGE_SUFFIX) ||
           text_has_suffix(key, OPENPGP_SUFFIX);
}

/* Of the object; for the caller to free. Of all keys those that hold text; NULL if these are too
 * many. */
static char *read_text(const struct values_source *source, const cJSON *object)
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

bool values_take(struct values_source *source, const cJSON *object)
{
    char *text = object ? read_text(source, object) : NULL;
    bool same = source->found == (object != NULL) && text_equal(text, source->text);
    free(source->text);
    source->text = text;
    source->found = object != NULL;
    return !same;
}

/* What is optional may be absent, but not be too large. */
bool values_is_lacking(const struct values_source *source)
{
    return !source->text && (!source->optional || (source->found && !source->key));
}

char *values_describe_lack(const struct values_source *source, const char *namespace_)
{
    const char *kind = values_kind(source);
    if (!values_is_lacking(source)) {
        return NULL;
    }
    if (!source->found) {
        return mem_format("the %s %s does not exist in the namespace %s", kind, source->name,
                          namespace_);
    }
    return source->key
               ? mem_format("the %s %s has no usable key %s", kind, source->name, source->key)
               : mem_format("the %s %s has more than %d keys", kind, source->name,
                            VARIABLES_MAXIMUM);
}

/* ---- What is made of them ---- */

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
static void add_all_variables(const struct values_source *sources, size_t count,
                              const cJSON *substitute, cJSON *variables)
{
    struct map names;
    map_init(&names);
    add_variables(variables, substitute, &names);
    for (size_t i = count; i > 0; i--) {
        const struct values_source *source = &sources[i - 1];
        AUTO_JSON cJSON *read = NULL; /* what read_text wrote */
        if (source->text && source->wanted == VALUES_VARIABLES &&
            json_parse(source->text, strlen(source->text), NULL, &read, NULL)) {
            add_variables(variables, read, &names);
        }
    }
    map_release(&names, NULL);
}

/* Sorted by what they are, as their names say. */
static void add_keys(const struct values_source *source, cJSON *decryption)
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

void values_add(const struct values_source *sources, size_t count,
                const struct application_spec *spec, cJSON *item)
{
    cJSON *texts = count ? json_add_array(item, "values") : NULL;
    for (size_t i = 0; i < count; i++) {
        const struct values_source *source = &sources[i];
        if (source->text && source->wanted == VALUES_TEXT) {
            AUTO_FREE char *from =
                mem_format("the %s %s, key %s", values_kind(source), source->name, source->key);
            cJSON *text = json_append(texts, json_new_object());
            json_add_string(text, "from", from);
            json_add_string(text, "text", source->text);
        }
        if (source->text && source->wanted == VALUES_KEYS) {
            add_keys(source, json_add_object(item, "decryption"));
        }
    }
    if (spec->substitute || spec->substitute_from) {
        add_all_variables(sources, count, spec->substitute, json_add_object(item, "variables"));
    }
}
