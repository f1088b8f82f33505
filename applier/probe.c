#include "applier/probe.h"

#include "common/base/digest.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"

#include <string.h>

#define SUFFIX_DIGITS 6
#define SUFFIX_SIZE (1 + SUFFIX_DIGITS)
/* Up to here there is room for the suffix in names of every kind: a CronJob's have 52. */
#define NAME_ROOM (52 - SUFFIX_SIZE)

char *probe_name(const char *name, const char *uid)
{
    struct digest digest;
    char hex[DIGEST_HEX_SIZE];
    AUTO_FREE char *seed = mem_format("%s %s", name, uid);
    digest_of(seed, strlen(seed), &digest);
    digest_to_hex(&digest, hex);
    size_t length = strlen(name);
    size_t kept = length <= NAME_ROOM ? length : length - SUFFIX_SIZE;
    return mem_format("%.*s-%.*s", (int)kept, name, SUFFIX_DIGITS, hex);
}

/* ---- What stands in the way of another name ---- */

/* A definition is called by its plural and its group. */
static void rename_definition(cJSON *object, const char *uid)
{
    cJSON *names = json_object(json_object(object, "spec"), "names");
    const char *group = json_string_path(object, "spec.group");
    AUTO_FREE char *plural = probe_name(text_or_empty(json_string(names, "plural")), uid);
    AUTO_FREE char *name = mem_format("%s.%s", plural, text_or_empty(group));
    json_set(names, "plural", json_new_string(plural));
    json_set(json_object(object, "metadata"), "name", json_new_string(name));
}

static void adapt(cJSON *object, const char *uid)
{
    const char *kind = json_string(object, "kind");
    if (text_equal(kind, "CustomResourceDefinition")) {
        rename_definition(object, uid);
    } else if (text_equal(kind, "PriorityClass")) {
        json_remove(object, "globalDefault"); /* of which there can be one: the old one */
    }
}

bool probe_build(const struct plan_operation *operation, struct buf *path, struct buf *body)
{
    AUTO_JSON cJSON *object = NULL;
    const char *slash = strrchr(operation->path, '/');
    if (!json_parse(operation->body, operation->body_size, NULL, &object, NULL)) {
        return false;
    }
    cJSON *metadata = json_object(object, "metadata");
    const char *name = json_string(metadata, "name");
    if (!name || !slash) {
        return false;
    }
    AUTO_FREE char *other = probe_name(name, operation->uid);
    json_set(metadata, "name", json_new_string(other));
    adapt(object, operation->uid);
    return buf_append(path, operation->path, (size_t)(slash - operation->path)) &&
           json_write(object, body);
}

/* ---- Quotas ---- */

/* What is one for each object, whatever is in it. */
static bool is_count(const char *name, size_t size)
{
    static const char *const counts[] = {"configmaps",     "persistentvolumeclaims",
                                         "pods",           "replicationcontrollers",
                                         "resourcequotas", "secrets",
                                         "services"};
    if (size > 6 && memcmp(name, "count/", 6) == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        if (strlen(counts[i]) == size && memcmp(counts[i], name, size) == 0) {
            return true;
        }
    }
    return false;
}

/* The number of `name` in "pods=1,secrets=2", up to the end of the list; -1: it is none. */
static long number_of(const char *list, const char *name, size_t size)
{
    for (const char *at = list; at && *at;) {
        size_t length = strcspn(at, "=, ");
        if (length == size && memcmp(at, name, size) == 0 && at[length] == '=') {
            char *end;
            long number = strtol(at + length + 1, &end, 10);
            return end > at + length + 1 && (*end == ',' || *end == '\0') ? number : -1;
        }
        at += length;
        at += strcspn(at, ", ");
        at = *at == ',' && at[1] != ' ' ? at + 1 : NULL;
    }
    return -1;
}

/* "exceeded quota: Q, requested: A=1, used: A=2, limited: A=2", as the quota plugin words it. */
bool probe_lacks_room_only(const char *message)
{
    static const char *const labels[] = {
        "exceeded quota: ", ", requested: ", ", used: ", ", limited: "};
    const char *parts[4] = {message};
    for (size_t i = 0; i < 4; i++) {
        const char *found = strstr(i ? parts[i - 1] : message, labels[i]);
        if (!found) {
            return false;
        }
        parts[i] = found + strlen(labels[i]);
    }
    const char *requested = parts[1], *used = parts[2], *limited = parts[3];
    for (const char *at = requested; at;) {
        size_t size = strcspn(at, "=");
        long before = number_of(used, at, size);
        if (!is_count(at, size) || number_of(requested, at, size) != 1 || before < 1 ||
            before > number_of(limited, at, size)) {
            return false;
        }
        at += strcspn(at, ",");
        at = at[1] != ' ' && *at == ',' ? at + 1 : NULL;
    }
    return true;
}
