#include "cli/diff.h"

#include "cli/adopt.h"
#include "cli/predict.h"
#include "cli/shown.h"
#include "cli/table.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "differ/drift.h"
#include "differ/keep.h"
#include "differ/owners.h"
#include "differ/unified.h"

#include <string.h>

#define TEXT_MAXIMUM ((size_t)64 << 20)
#define CONTEXT_LINES 3
#define FIELD_MANAGER "gitmoor-diff" /* of what does not exist yet: ours is the applier's alone */

/* ---- Printing ---- */

static void print_line(char origin, const char *text, size_t size, void *context)
{
    const struct diff_verb *verb = context;
    static const struct {
        char origin;
        const char *colour;
    } colours[] = {{'@', "\033[36m"}, {'-', "\033[31m"}, {'+', "\033[32m"}};
    const char *colour = NULL;
    for (size_t i = 0; verb->colour && i < sizeof colours / sizeof colours[0]; i++) {
        colour = colours[i].origin == origin ? colours[i].colour : colour;
    }
    AUTO_FREE char *line = mem_string_n(text, size);
    fputs(text_or_empty(colour), stdout);
    if (origin != '@') {
        putchar(origin);
    }
    table_print_text(line, 0, stdout);
    fputs(colour ? "\033[0m\n" : "\n", stdout);
}

static void print_head(const struct diff_application *application, const struct object_ref *ref,
                       const struct desired_object *desired)
{
    const char *bold = application->verb->colour ? "\033[1m" : "";
    const char *plain = application->verb->colour ? "\033[0m" : "";
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const char *api_version = object_ref_api_version(ref, &arena);
    const char *what = object_ref_describe(ref, &arena);
    printf("%s--- live, %s %s%s\n", bold, api_version, what, plain);
    if (!desired) {
        printf("%s+++ deleted: it is not in Git%s\n", bold, plain);
    } else {
        AUTO_FREE char *line = desired->line ? mem_format(":%u", desired->line) : mem_string("");
        printf("%s+++ %s%s%s%s%s\n", bold, text_or_empty(application->revision),
               application->revision ? ", " : "", desired->file, line, plain);
    }
}

static bool write_yaml(const cJSON *object, struct buf *out, struct error *error)
{
    buf_append_string(out, "");
    return !object || yaml_write(object, out) ||
           error_set(error, ERROR_LIMIT, "it is too large to be shown");
}

/* Prints what differs between the two (either may be NULL), which it changes for that. Returns
 * whether something does. */
static bool print_difference(const struct diff_application *application,
                             const struct object_ref *ref, const struct desired_object *desired,
                             cJSON *before, cJSON *after)
{
    struct diff_verb *verb = application->verb;
    struct error error;
    AUTO_BUF struct buf left;
    AUTO_BUF struct buf right;
    buf_init(&left, TEXT_MAXIMUM);
    buf_init(&right, TEXT_MAXIMUM);
    shown_strip(before);
    shown_strip(after);
    if (before && after && json_equal(before, after)) {
        return false;
    }
    shown_mask(before, after);
    shown_hide(before, after, application->plaintext);
    print_head(application, ref, desired);
    if (!write_yaml(before, &left, &error) || !write_yaml(after, &right, &error) ||
        !unified_diff(text_or_empty(left.data), text_or_empty(right.data), CONTEXT_LINES,
                      print_line, verb, &error)) {
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        diff_complain(verb, object_ref_describe(ref, &arena), &error);
    }
    return true;
}

/* ---- Asking ---- */

static bool call(struct diff_verb *verb, enum kube_method method, const char *path,
                 const char *body, size_t size, const struct kube_impersonation *as, cJSON **ret,
                 struct error *error)
{
    const struct kube_request request = {
        .method = method,
        .path = path,
        .content_type = method == KUBE_PATCH ? KUBE_APPLY_TYPE : NULL,
        .body = body,
        .body_size = size,
        .as = as,
    };
    return kube_client_call_wait(verb->cluster.client, &request, ret, error);
}

/* NULL if there is none. */
static bool read_live(struct diff_verb *verb, const struct desired_object *desired, cJSON **ret,
                      struct error *error)
{
    AUTO_BUF struct buf path;
    buf_init(&path, 8192);
    kube_resource_path(&desired->resource, desired->ref.namespace_, desired->ref.name, &path);
    if (call(verb, KUBE_GET, path.data, NULL, 0, NULL, ret, error)) {
        return true;
    }
    *ret = NULL;
    return error->code == ERROR_NOT_FOUND;
}

/* As ourselves, and where admission guards the object, in the applier's name: which a cluster-admin
 * may, and which is written in the audit log. A dry-run changes nothing. */
static bool dry_run(struct diff_application *application, const struct desired_object *desired,
                    const char *manager, const char *body, size_t size, bool marked, cJSON **ret,
                    struct error *error)
{
    struct diff_verb *verb = application->verb;
    const struct kube_impersonation as = {.user = json_string(verb->who, "username"),
                                          .groups = verb->groups,
                                          .extra_key = GITMOOR_APPLIER_EXTRA,
                                          .extra_value = verb->applier};
    AUTO_BUF struct buf path;
    buf_init(&path, 8192);
    kube_resource_path(&desired->resource, desired->ref.namespace_, desired->ref.name, &path);
    buf_append_format(&path, "?fieldManager=%s&force=true&dryRun=All", manager);
    if (marked && (verb->is_not_trusted || !as.user)) {
        return error_set(error, ERROR_DENIED, "not in the applier's name");
    }
    return call(verb, KUBE_PATCH, path.data, body, size, marked ? &as : NULL, ret, error);
}

/* ---- An object that does not exist ---- */

/* Our label is the applier's to write: it is left out of the question and put into the answer. */
static bool make_new(struct diff_application *application, const struct desired_object *desired,
                     cJSON **ret, struct error *error)
{
    AUTO_JSON cJSON *tree = NULL;
    AUTO_BUF struct buf body;
    buf_init(&body, TEXT_MAXIMUM);
    if (!json_parse(desired->text, desired->size, NULL, &tree, error)) {
        return false;
    }
    AUTO_FREE char *label = mem_string(text_or_empty(object_label(tree)));
    json_remove(json_object(json_object(tree, "metadata"), "labels"), GITMOOR_LABEL);
    json_write(tree, &body);
    if (!dry_run(application, desired, FIELD_MANAGER, body.data, body.size, false, ret, error)) {
        /* Its namespace or definition comes in the same commit; or one may not make it oneself. */
        if (error->code != ERROR_NOT_FOUND && error->code != ERROR_DENIED) {
            return false;
        }
        application->verb->foretold = true;
        *ret = json_copy(tree);
    }
    cJSON *labels = json_ensure_object(json_object(*ret, "metadata"), "labels");
    json_set(labels, GITMOOR_LABEL, json_new_string(label));
    return true;
}

/* ---- One that does ---- */

static bool foretell(struct diff_application *application, const struct desired_object *desired,
                     const cJSON *live, const char *owners, cJSON **ret, struct error *error)
{
    AUTO_JSON cJSON *tree = NULL;
    AUTO_JSON cJSON *entries = NULL;
    if (!json_parse(desired->text, desired->size, NULL, &tree, error) ||
        (owners && !json_parse(owners, strlen(owners), NULL, &entries, error))) {
        return false;
    }
    application->verb->foretold = true;
    *ret = predict_apply(live, tree, entries);
    return true;
}

static bool change(struct diff_application *application, const struct desired_object *desired,
                   const cJSON *live, cJSON **ret, struct error *error)
{
    struct diff_verb *verb = application->verb;
    bool gives_up = false;
    const struct owners_rules rules = {
        .people = &verb->people,
        .taken = &application->spec.taken,
        .allowed = application->spec.exact ? &application->spec.allowed : NULL,
        .left = desired->left,
        .left_count = desired->left_count};
    AUTO_FREE char *owners = owners_edit(live, &rules, &gives_up);
    if (!owners && drift_matches_text(desired, live)) {
        *ret = json_copy(live);
        return true;
    }
    /* What changes owners first cannot be asked for in one dry-run. */
    if (!owners && dry_run(application, desired, GITMOOR_FIELD_MANAGER, desired->text,
                           desired->size, application->guarded, ret, error)) {
        return true;
    }
    if (!owners && error->code != ERROR_DENIED) {
        return false;
    }
    verb->is_not_trusted |= !owners && strstr(error->message, "impersonate") != NULL;
    return foretell(application, desired, live, owners, ret, error);
}

/* Whether it is to be looked at; of one that somebody else has made, who that is is told. */
static bool is_wanted(struct diff_application *application, const struct desired_object *desired,
                      const cJSON *live)
{
    char label[OBJECT_LABEL_VALUE_SIZE];
    object_label_value(application->namespace_, application->name, label);
    if (!application->verb->adopts) {
        return true;
    }
    if (!live || !adopt_is_foreign(live, label)) {
        return false;
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_FREE char *managers = adopt_describe_managers(live);
    AUTO_FREE char *line =
        mem_format("# %s: %s", object_ref_describe(&desired->ref, &arena), managers);
    table_print_text(line, 0, stdout);
    putchar('\n');
    application->verb->foreign++;
    return true;
}

void diff_declared(struct diff_application *application, const struct desired_object *desired)
{
    struct diff_verb *verb = application->verb;
    struct error error = {0};
    AUTO_JSON cJSON *live = NULL;
    AUTO_JSON cJSON *after = NULL;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    bool is_read = read_live(verb, desired, &live, &error);
    if (is_read && !is_wanted(application, desired, live)) {
        return;
    }
    if (!is_read || !(live ? change(application, desired, live, &after, &error)
                           : make_new(application, desired, &after, &error))) {
        diff_complain(verb,
                      arena_format(&arena, "%s:%u: %s", desired->file, desired->line,
                                   object_ref_describe(&desired->ref, &arena)),
                      &error);
        return;
    }
    bool is_new = !live;
    if (print_difference(application, &desired->ref, desired, live, after)) {
        verb->made += is_new;
        verb->changed += !is_new;
    }
}

/* ---- What would be deleted ---- */

/* Takes the item if it is among them. */
static void diff_listed(struct diff_application *application, const struct kube_resource *resource,
                        cJSON *list, cJSON *item)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct object_ref ref = {
        .group = resource->group,
        .version = resource->version,
        .kind = resource->kind,
        .namespace_ = text_or_empty(json_string_path(item, "metadata.namespace")),
        .name = text_or_empty(json_string_path(item, "metadata.name")),
    };
    bool ours = object_managed_fields(item) != NULL;
    if (!ours || json_string_path(item, "metadata.deletionTimestamp") ||
        desired_declares(application->desired, object_ref_key(&ref, &arena))) {
        return;
    }
    json_set(item, "apiVersion", json_new_string(object_ref_api_version(&ref, &arena)));
    json_set(item, "kind", json_new_string(resource->kind));
    json_append(application->leaving, cJSON_DetachItemViaPointer(list, item));
}

static bool is_definition_of(const cJSON *definition, const cJSON *object)
{
    const char *slash = strchr(text_or_empty(json_string(object, "apiVersion")), '/');
    const char *group = json_string_path(definition, "spec.group");
    return slash && text_equal(json_string(definition, "kind"), "CustomResourceDefinition") &&
           text_equal(json_string_path(definition, "spec.names.kind"),
                      json_string(object, "kind")) &&
           group && strncmp(json_string(object, "apiVersion"), group, strlen(group)) == 0 &&
           slash == json_string(object, "apiVersion") + strlen(group);
}

static bool is_namespace_of(const cJSON *namespace_, const cJSON *object)
{
    return text_equal(json_string(namespace_, "kind"), "Namespace") &&
           text_equal(json_string(namespace_, "apiVersion"), "v1") &&
           text_equal(json_string_path(namespace_, "metadata.name"),
                      json_string_path(object, "metadata.namespace"));
}

/* What an object that stays lies in, stays too: as in differ/prune.c. */
static bool holds_what_stays(const struct diff_application *application, const cJSON *outer)
{
    for (const cJSON *inner = json_first(application->leaving); inner; inner = inner->next) {
        if (keep_read(json_object(inner, "metadata")) != KEEP_NO &&
            (is_namespace_of(outer, inner) || is_definition_of(outer, inner))) {
            return true;
        }
    }
    return false;
}

static void diff_leaving(struct diff_application *application, cJSON *item, bool goes)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct object_ref ref;
    object_ref_from_json(item, &arena, &ref, NULL); /* as it was listed */
    const char *described = object_ref_describe(&ref, &arena);
    if (goes) {
        print_difference(application, &ref, NULL, item, NULL);
        application->verb->deleted++;
    } else if (keep_read(json_object(item, "metadata")) == KEEP_UNCLEAR &&
               application->spec.prune) {
        printf("# left in place: %s: its annotation " KEEP_ANNOTATION
               " must be \"disabled\" or \"enabled\"\n",
               described);
    } else {
        printf("# kept, no longer managed: %s\n", described);
        application->verb->kept++;
    }
}

/* Judged before the first is printed, which takes away what the others are judged by. */
static void diff_all_leaving(struct diff_application *application)
{
    size_t count = json_size(application->leaving), i = 0;
    AUTO_FREE bool *goes = mem_new(count + 1, sizeof *goes);
    for (cJSON *item = json_first(application->leaving); item; item = item->next, i++) {
        goes[i] = application->spec.prune && keep_read(json_object(item, "metadata")) == KEEP_NO &&
                  !holds_what_stays(application, item);
    }
    i = 0;
    for (cJSON *item = json_first(application->leaving); item; item = item->next, i++) {
        diff_leaving(application, item, goes[i]);
    }
}

static void diff_kind(struct diff_application *application, const struct kube_resource *resource,
                      const char *namespace_)
{
    char label[OBJECT_LABEL_VALUE_SIZE];
    struct error error = {0};
    AUTO_JSON cJSON *list = NULL;
    AUTO_BUF struct buf path;
    buf_init(&path, 8192);
    object_label_value(application->namespace_, application->name, label);
    kube_resource_path(resource, namespace_, NULL, &path);
    buf_append_format(&path, "?labelSelector=" GITMOOR_LABEL "%%3D%s", label);
    if (!call(application->verb, KUBE_GET, path.data, NULL, 0, NULL, &list, &error)) {
        diff_complain(application->verb, resource->kind, &error);
        return;
    }
    cJSON *next;
    for (cJSON *item = json_first(json_get(list, "items")); item; item = next) {
        next = item->next;
        diff_listed(application, resource, json_get(list, "items"), item);
    }
}

void diff_pruned(struct diff_application *application)
{
    const cJSON *status = json_object(application->object, "status");
    const cJSON *kinds = json_array(status, "kinds");
    const cJSON *spaces = json_array(status, "namespaces");
    for (const cJSON *item = json_first(kinds); item; item = item->next) {
        const char *name = cJSON_IsString(item) ? item->valuestring : "";
        const char *dot = strchr(name, '.');
        AUTO_FREE char *kind = mem_string_n(name, dot ? (size_t)(dot - name) : 0);
        const struct kube_resource *resource =
            dot ? kube_discovery_find(application->verb->discovery, dot + 1, NULL, kind) : NULL;
        if (resource && !resource->namespaced) {
            diff_kind(application, resource, NULL);
        }
        /* One by one: who asks may be at home in these only. */
        for (const cJSON *space = json_first(spaces); resource && resource->namespaced && space;
             space = space->next) {
            diff_kind(application, resource, text_or_empty(space->valuestring));
        }
    }
    diff_all_leaving(application);
}
