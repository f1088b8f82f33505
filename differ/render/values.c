/* The values of a chart that are no files of the repository: what ConfigMaps and Secrets hold, and
 * what the Application says itself. They are merged here, as Helm merges its files, and reach Helm
 * through a pipe, so that what a Secret holds is never written to a disk. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "differ/render/internal.h"

#include <string.h>

/* Objects are merged member by member, anything else replaces what was there. Takes `from`. */
static void values_merge(cJSON *into, cJSON *from)
{
    AUTO_JSON cJSON *owned = from;
    for (cJSON *item = json_first(from); item;) {
        cJSON *next = item->next;
        cJSON *there = json_get(into, item->string);
        cJSON_DetachItemViaPointer(from, item);
        if (cJSON_IsObject(there) && cJSON_IsObject(item)) {
            values_merge(there, item);
        } else {
            AUTO_FREE char *name = mem_string(item->string);
            json_set(into, name, item);
        }
        item = next;
    }
}

struct values_take {
    cJSON *values;
    const char *from;
};

/* Nothing, as of comments alone, is nothing. */
static bool values_take(cJSON *tree, unsigned line, void *context, struct error *error)
{
    const struct values_take *take = context;
    if (!cJSON_IsObject(tree) && !cJSON_IsNull(tree)) {
        json_free(tree);
        return error_set(error, ERROR_INVALID, "%s:%u: the values are not a mapping", take->from,
                         line);
    }
    values_merge(take->values, tree);
    return true;
}

cJSON *render_values_merge(const struct render_scan *scan, struct error *error)
{
    AUTO_JSON cJSON *values = json_new_object();
    for (const cJSON *item = json_first(scan->options.values); item; item = item->next) {
        const char *name = text_or_empty(json_string(item, "from"));
        const char *text = text_or_empty(json_string(item, "text"));
        struct values_take take = {values, name};
        if (!yaml_parse(text, strlen(text), name, NULL, values_take, &take, error)) {
            return NULL;
        }
    }
    const cJSON *own = json_object(json_object(scan->options.spec, "helm"), "values");
    if (own) {
        values_merge(values, json_copy(own));
    }
    cJSON *merged = values;
    values = NULL;
    return merged;
}
