#include "cli/shown.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

void shown_strip(cJSON *object)
{
    static const char *const members[] = {"managedFields", "resourceVersion",   "uid",
                                          "generation",    "creationTimestamp", "selfLink"};
    cJSON *metadata = json_object(object, "metadata");
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        json_remove(metadata, members[i]);
    }
    json_remove(object, "status");
}

static bool is_secret(const cJSON *object)
{
    return text_equal(json_string(object, "kind"), "Secret") &&
           text_equal(json_string(object, "apiVersion"), "v1");
}

/* Its last-applied annotation holds the whole Secret. */
static void mask_annotation(cJSON *object)
{
    cJSON *annotations = json_object(json_object(object, "metadata"), "annotations");
    if (json_get(annotations, LAST_APPLIED)) {
        json_set(annotations, LAST_APPLIED, json_new_string("***"));
    }
}

static void mask_member(cJSON *members, const char *name, const char *mask)
{
    if (json_get(members, name)) {
        json_set(members, name, json_new_string(mask));
    }
}

/* The names of both, each once, for the caller to free. */
static char **all_names(const cJSON *before, const cJSON *after, size_t *ret_count)
{
    char **names = mem_new(json_size(before) + json_size(after) + 1, sizeof *names);
    *ret_count = 0;
    for (const cJSON *item = json_first(before); item; item = item->next) {
        names[(*ret_count)++] = mem_string(item->string);
    }
    for (const cJSON *item = json_first(after); item; item = item->next) {
        if (!json_get(before, item->string)) {
            names[(*ret_count)++] = mem_string(item->string);
        }
    }
    return names;
}

static void mask_members(cJSON *before, cJSON *after)
{
    size_t count;
    AUTO_FREE char **names = all_names(before, after, &count);
    for (size_t i = 0; i < count; i++) {
        const cJSON *old = json_get(before, names[i]), *new = json_get(after, names[i]);
        bool differs = old && new && !json_equal(old, new);
        mask_member(before, names[i], differs ? "*** (before)" : "***");
        mask_member(after, names[i], differs ? "*** (after)" : "***");
        free(names[i]);
    }
}

void shown_mask(cJSON *before, cJSON *after)
{
    static const char *const maps[] = {"data", "stringData"};
    if (!is_secret(before) && !is_secret(after)) {
        return;
    }
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        mask_members(json_object(before, maps[i]), json_object(after, maps[i]));
    }
    mask_annotation(before);
    mask_annotation(after);
}

#define HIDDEN_MINIMUM 4 /* shorter texts stand in anything */

static bool holds_one(const char *text, const cJSON *texts)
{
    for (const cJSON *it = json_first(texts); it; it = it->next) {
        const char *hidden = it->valuestring;
        if (strcmp(text, hidden) == 0 ||
            (strlen(hidden) >= HIDDEN_MINIMUM && strstr(text, hidden))) {
            return true;
        }
    }
    return false;
}

static void replace_item(cJSON *container, cJSON *item, const char *text)
{
    cJSON *mask = json_new_string(text);
    if (item->string) {
        AUTO_FREE char *name = mem_string(item->string); /* which goes with the item */
        json_set(container, name, mask);
    } else {
        cJSON_ReplaceItemViaPointer(container, item, mask);
    }
}

void shown_hide(cJSON *before, cJSON *after, const cJSON *texts)
{
    cJSON *twin = json_first(before); /* in an array, the item of the same index */
    for (cJSON *item = json_first(after), *next; item; item = next) {
        next = item->next;
        cJSON *old = item->string ? json_get(before, item->string) : twin;
        twin = twin ? twin->next : NULL;
        if (!cJSON_IsString(item)) {
            shown_hide(old, item, texts);
        } else if (holds_one(item->valuestring, texts)) {
            bool differs = old && !json_equal(old, item);
            replace_item(after, item, differs ? "*** (after)" : "***");
            if (old) {
                replace_item(before, old, differs ? "*** (before)" : "***");
            }
        }
    }
}
