#include "differ/drift_log.h"

#include "common/base/clock.h"
#include "common/base/text.h"

static void read_ref(const cJSON *entry, struct object_ref *ret)
{
    *ret = (struct object_ref){
        .group = text_or_empty(json_string(entry, "group")),
        .version = "",
        .kind = text_or_empty(json_string(entry, "kind")),
        .namespace_ = text_or_empty(json_string(entry, "namespace")),
        .name = text_or_empty(json_string(entry, "name")),
    };
}

static cJSON *find(const cJSON *log, const struct object_ref *ref)
{
    for (cJSON *entry = json_first(log); entry; entry = entry->next) {
        struct object_ref other;
        read_ref(entry, &other);
        if (text_equal(other.name, ref->name) && text_equal(other.kind, ref->kind) &&
            text_equal(other.namespace_, ref->namespace_) && text_equal(other.group, ref->group)) {
            return entry;
        }
    }
    return NULL;
}

const cJSON *drift_log_find(const cJSON *log, const struct object_ref *ref)
{
    return find(log, ref);
}

static bool is_open(const cJSON *entry)
{
    return text_equal(json_string(entry, "state"), "Drifted");
}

static void add_time(cJSON *entry, const char *name, int64_t wall_ms)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(wall_ms, text);
    json_add_string(entry, name, text);
}

static cJSON *new_entry(const struct drift_note *note)
{
    const struct object_ref *ref = note->ref;
    const struct blame *blame = note->blame;
    cJSON *entry = json_new_object();
    json_add_string(entry, "group", ref->group);
    json_add_string(entry, "kind", ref->kind);
    if (*ref->namespace_) {
        json_add_string(entry, "namespace", ref->namespace_);
    }
    json_add_string(entry, "name", ref->name);
    json_add_string(entry, "change", blame ? "Changed" : "Deleted");
    if (blame) {
        cJSON *fields = json_add_array(entry, "fields");
        for (size_t i = 0; i < blame->count; i++) {
            json_append(fields, json_new_string(blame->fields[i]));
        }
        if (blame->total > blame->count) {
            json_add_int(entry, "moreFields", (int64_t)(blame->total - blame->count));
        }
        json_add_string(entry, "manager", blame->manager);
        json_add_string(entry, "subresource", blame->subresource);
        json_add_string(entry, "time", blame->time);
    }
    json_add_string(entry, "reason", note->reason);
    json_add_string(entry, "state", "Drifted");
    return entry;
}

/* Whether a new entry, which has no times and count of ours yet, says what an old one says. */
static bool says_the_same(const cJSON *fresh, const cJSON *old)
{
    static const char *const members[] = {"change",      "fields", "moreFields", "manager",
                                          "subresource", "time",   "reason",     NULL};
    for (const char *const *member = members; *member; member++) {
        const cJSON *left = json_get(fresh, *member), *right = json_get(old, *member);
        if (left != right && (!left || !right || !json_equal(left, right))) {
            return false;
        }
    }
    return true;
}

/* The oldest that is over; if none is, the oldest. */
static void drop_one(cJSON *log)
{
    cJSON *victim = NULL, *last = NULL;
    for (cJSON *entry = json_first(log); entry; entry = entry->next) {
        victim = is_open(entry) ? victim : entry;
        last = entry;
    }
    json_free(cJSON_DetachItemViaPointer(log, victim ? victim : last));
}

bool drift_log_note(cJSON *log, const struct drift_note *note)
{
    cJSON *entry = new_entry(note);
    cJSON *old = find(log, note->ref);
    if (old && is_open(old) && says_the_same(entry, old)) {
        json_free(entry);
        return false;
    }
    json_add_int(entry, "count", json_int(old, "count", 0) + 1);
    add_time(entry, "seenAt", note->now);
    if (old) {
        json_free(cJSON_DetachItemViaPointer(log, old));
    }
    cJSON_InsertItemInArray(log, 0, entry);
    while (json_size(log) > DRIFT_LOG_MAXIMUM) {
        drop_one(log);
    }
    return true;
}

static void end(cJSON *entry, const char *state, int64_t now)
{
    json_set(entry, "state", json_new_string(state));
    add_time(entry, "endedAt", now);
}

void drift_log_end(cJSON *log, const struct object_ref *ref, const char *state, int64_t now)
{
    cJSON *entry = find(log, ref);
    if (entry && is_open(entry)) {
        end(entry, state, now);
    }
}

void drift_log_sweep(cJSON *log,
                     bool (*is_declared)(const struct object_ref *ref, const void *context),
                     const void *context, int64_t now)
{
    for (cJSON *entry = json_first(log); entry; entry = entry->next) {
        struct object_ref ref;
        read_ref(entry, &ref);
        if (is_open(entry) && !is_declared(&ref, context)) {
            end(entry, "Removed", now);
        }
    }
}
