#include "applier/identity.h"

#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

#define APPLICATIONS_PATH "/apis/gitmoor.io/v1alpha1/applications"
#define PAGE_SIZE 100 /* a page is parsed as a whole: a few MB at most */

struct entry {
    char *uid;
    char *service_account;  /* NULL: the default */
    char *source_namespace; /* NULL: its own */
    char *source;           /* object_source_word */
    uint64_t epoch;
};

struct identities {
    struct identity_options options;
    char *default_namespace; /* NULL: the Application's */
    char *default_name;
    struct map entries; /* "namespace/name" → entry */
    struct kube_watch *watch;
    bool synced;
};

bool identity_is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    if (text_is_empty(name) || strlen(name) > 253 || name[strspn(name, allowed)] != '\0') {
        return false;
    }
    char last = name[strlen(name) - 1];
    return *name != '-' && *name != '.' && last != '-' && last != '.';
}

static void entry_free(void *value)
{
    struct entry *entry = value;
    free(entry->uid);
    free(entry->service_account);
    free(entry->source_namespace);
    free(entry->source);
    free(entry);
}

static bool split_default(struct identities *identities, const char *text, struct error *error)
{
    const char *slash = text ? strchr(text, '/') : NULL;
    if (slash) {
        identities->default_namespace = mem_string_n(text, (size_t)(slash - text));
    }
    identities->default_name = mem_string(slash ? slash + 1 : text);
    if (!identity_is_name(identities->default_name) ||
        (slash && !identity_is_name(identities->default_namespace))) {
        return error_set(error, ERROR_INVALID,
                         "default service account \"%s\" is neither NAME nor NAMESPACE/NAME",
                         text_or_empty(text));
    }
    return true;
}

static void on_event(const struct kube_event *event, void *context)
{
    identities_take(context, event);
}

static void on_synced(uint64_t epoch, void *context)
{
    identities_take_synced(context, epoch);
}

static void on_trouble(const struct error *error, void *context)
{
    struct identities *identities = context;
    identities->options.trouble(error, identities->options.context);
}

struct identities *identities_new(const struct identity_options *options, struct error *error)
{
    struct identities *identities = NEW(struct identities);
    identities->options = *options;
    map_init(&identities->entries);
    if (!split_default(identities, options->default_service_account, error)) {
        identities_free(identities);
        return NULL;
    }
    if (options->client) {
        struct kube_watch_options watch = {.path = APPLICATIONS_PATH,
                                           .api_version = GITMOOR_API_VERSION,
                                           .kind = "Application",
                                           .page_size = PAGE_SIZE,
                                           .event = on_event,
                                           .synced = on_synced,
                                           .trouble = on_trouble,
                                           .context = identities};
        identities->watch = kube_watch_new(options->client, &watch);
    }
    return identities;
}

void identities_free(struct identities *identities)
{
    if (!identities) {
        return;
    }
    if (identities->watch) {
        kube_watch_free(identities->watch);
    }
    map_release(&identities->entries, entry_free);
    free(identities->default_namespace);
    free(identities->default_name);
    free(identities);
}

static void forget(struct identities *identities, const char *key)
{
    struct entry *entry = map_remove(&identities->entries, key);
    if (entry) {
        entry_free(entry);
    }
}

/* Writes the value over what is kept; true if they differ. */
static bool replace(char **kept, const char *value)
{
    if (text_equal(*kept, value)) {
        return false;
    }
    free(*kept);
    *kept = mem_string(value);
    return true;
}

/* True if what is known has changed. */
static bool remember(struct identities *identities, const char *key, const cJSON *object,
                     uint64_t epoch)
{
    struct entry *entry = map_get(&identities->entries, key);
    if (!entry) {
        entry = NEW(struct entry);
        map_set(&identities->entries, key, entry);
    }
    entry->epoch = epoch;
    bool changed = replace(&entry->uid, json_string_path(object, "metadata.uid"));
    changed |=
        replace(&entry->service_account, json_string_path(object, "spec.serviceAccountName"));
    changed |= replace(&entry->source_namespace, json_string_path(object, "spec.source.namespace"));
    AUTO_FREE char *source = object_source_word(object);
    changed |= replace(&entry->source, source);
    return changed;
}

void identities_take(struct identities *identities, const struct kube_event *event)
{
    const char *namespace_ = json_string_path(event->object, "metadata.namespace");
    const char *name = json_string_path(event->object, "metadata.name");
    if (text_is_empty(namespace_) || text_is_empty(name)) {
        return;
    }
    AUTO_FREE char *key = mem_format("%s/%s", namespace_, name);
    bool changed = true;
    if (event->type == KUBE_EVENT_DELETED) {
        forget(identities, key);
    } else {
        changed = remember(identities, key, event->object, event->epoch);
    }
    if (changed && identities->options.changed) {
        identities->options.changed(identities->options.context);
    }
}

void identities_take_synced(struct identities *identities, uint64_t epoch)
{
    AUTO_FREE const char **keys = map_sorted_keys(&identities->entries);
    size_t count = identities->entries.count;
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = map_get(&identities->entries, keys[i]);
        if (entry->epoch < epoch) {
            forget(identities, keys[i]);
        }
    }
    identities->synced = true;
    if (identities->options.synced) {
        identities->options.synced(identities->options.context);
    }
}

bool identities_are_synced(const struct identities *identities)
{
    return identities->synced;
}

size_t identities_count(const struct identities *identities)
{
    return identities->entries.count;
}

char *identities_share(const struct identities *identities, const char *key)
{
    const struct entry *entry = map_get(&identities->entries, key);
    const char *slash = strchr(key, '/');
    if (!entry || !slash) {
        return NULL;
    }
    return text_is_empty(entry->source_namespace)
               ? mem_format("%.*s/%s", (int)(slash - key), key, text_or_empty(entry->source))
               : mem_format("%s/%s", entry->source_namespace, text_or_empty(entry->source));
}

/* The account that it names, or else the one that the tenancy settings name for its namespace, or
 * else the one that the applier's own settings name. */
static bool choose_account(const struct identities *identities, const struct entry *entry,
                           const char *namespace_, struct kube_impersonation *ret,
                           struct error *error)
{
    const struct tenancy *tenancy = tenancy_file_get(identities->options.tenancy);
    const char *home = namespace_;
    const char *account = entry->service_account;
    if (!account && tenancy_default_account(tenancy, namespace_, &home, &account)) {
        *ret = (struct kube_impersonation){.namespace_ = home, .service_account = account};
        return true;
    }
    if (!account) {
        home = identities->default_namespace ? identities->default_namespace : namespace_;
        account = identities->default_name;
    }
    *ret = (struct kube_impersonation){.namespace_ = home, .service_account = account};
    return tenancy_check_account(tenancy, namespace_, home, account, error);
}

bool identities_find(const struct identities *identities, const char *namespace_, const char *name,
                     const char *uid, struct kube_impersonation *ret, struct error *error)
{
    AUTO_FREE char *key = mem_format("%s/%s", namespace_, name);
    const struct entry *entry = map_get(&identities->entries, key);
    if (!entry || !text_equal(entry->uid, uid)) {
        return error_set(error, ERROR_UNAVAILABLE,
                         "the applier knows no Application %s with UID %s", key, uid);
    }
    const char *own = entry->service_account;
    if (own && !identity_is_name(own)) {
        return error_set(error, ERROR_DENIED,
                         "Application %s: spec.serviceAccountName is not the name of a service "
                         "account",
                         key);
    }
    struct kube_impersonation found;
    const char *source_namespace = entry->source_namespace ? entry->source_namespace : namespace_;
    if (!tenancy_check_source(tenancy_file_get(identities->options.tenancy), namespace_,
                              source_namespace, text_or_empty(entry->source), error) ||
        !choose_account(identities, entry, namespace_, &found, error)) {
        return error_prefix(error, "Application %s", key);
    }
    if (!identity_is_name(found.namespace_)) {
        return error_set(error, ERROR_DENIED, "\"%s\" is not the name of a namespace",
                         found.namespace_);
    }
    *ret = found;
    return true;
}
