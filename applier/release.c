/* What is taken off: the label, the annotations gitmoor.io/… (they were words to us, and one that
 * stayed behind would count when the object comes back into Git), and the entry in managedFields.
 * That one is not dropped: the fields would be nobody's, and stay for ever when a later owner who
 * applies server-side leaves them out. It gets the name that the server itself gives to what was
 * there before anybody applied: whoever takes such objects over knows it. */
#include "applier/release.h"

#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/data/fields.h"
#include "common/data/object.h"

#define NOBODY "before-first-apply"
#define PATCH_MAXIMUM ((size_t)4 << 20) /* etcd stores 1.5 MiB an object */

static bool is_entry_of(const cJSON *entry, const char *manager, const char *operation)
{
    return text_equal(json_string(entry, "manager"), manager) &&
           text_equal(json_string(entry, "operation"), operation) &&
           text_is_empty(json_string(entry, "subresource"));
}

/* The server takes one entry of a manager, operation and version. */
static cJSON *find_nobody(const cJSON *entries, const char *api_version)
{
    for (cJSON *entry = json_first(entries); entry; entry = entry->next) {
        if (is_entry_of(entry, NOBODY, "Update") &&
            text_equal(json_string(entry, "apiVersion"), api_version)) {
            return entry;
        }
    }
    return NULL;
}

static cJSON *give_to_nobody(const cJSON *before)
{
    cJSON *entries = json_copy(before);
    cJSON *entry = json_first(entries), *next;
    for (; entry; entry = next) {
        next = entry->next;
        if (!is_entry_of(entry, GITMOOR_FIELD_MANAGER, "Apply")) {
            continue;
        }
        cJSON *twin = find_nobody(entries, json_string(entry, "apiVersion"));
        if (twin) {
            fields_merge(json_ensure_object(twin, "fieldsV1"), json_object(entry, "fieldsV1"));
            json_free(cJSON_DetachItemViaPointer(entries, entry));
        } else {
            json_set(entry, "manager", json_new_string(NOBODY));
            json_set(entry, "operation", json_new_string("Update"));
        }
    }
    return entries;
}

static cJSON *add_step(cJSON *patch, const char *word, const char *path)
{
    cJSON *step = json_append(patch, json_new_object());
    json_add_string(step, "op", word);
    json_add_string(step, "path", path);
    return step;
}

static void remove_annotations(const cJSON *metadata, cJSON *patch)
{
    for (const cJSON *item = json_first(json_object(metadata, "annotations")); item;
         item = item->next) {
        if (text_has_prefix(item->string, GITMOOR_GROUP "/")) {
            AUTO_BUF struct buf path;
            buf_init(&path, 1024);
            buf_append_format(&path, "/metadata/annotations/" GITMOOR_GROUP "~1%s",
                              item->string + sizeof GITMOOR_GROUP);
            add_step(patch, "remove", path.data);
        }
    }
}

char *release_make_patch(const cJSON *object, const char *uid, const char *label)
{
    const cJSON *metadata = json_object(object, "metadata");
    if (!text_equal(json_string(metadata, "uid"), uid) ||
        !text_equal(object_label(object), label)) {
        return NULL;
    }
    AUTO_JSON cJSON *patch = json_new_array();
    json_add_string(add_step(patch, "replace", "/metadata/resourceVersion"), "value",
                    json_string(metadata, "resourceVersion"));
    add_step(patch, "remove", "/metadata/labels/" GITMOOR_GROUP "~1managed-by");
    remove_annotations(metadata, patch);
    const cJSON *entries = json_array(metadata, "managedFields");
    if (json_first(entries)) {
        json_add(add_step(patch, "replace", "/metadata/managedFields"), "value",
                 give_to_nobody(entries));
    }
    AUTO_BUF struct buf text;
    buf_init(&text, PATCH_MAXIMUM);
    return json_write(patch, &text) ? buf_detach(&text) : NULL;
}
