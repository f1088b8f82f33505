#include "differ/prune.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/claims.h"

#include <string.h>

#define NAMED_MAXIMUM 10 /* objects named in the reason for a hold */

static struct object_ref ref_of(const struct live_object *live)
{
    return (struct object_ref){
        .group = live->kind->resource.group,
        .version = live->kind->resource.version,
        .kind = live->kind->resource.kind,
        .namespace_ = live->namespace_,
        .name = live->name,
    };
}

static int compare_backwards(const void *left, const void *right)
{
    struct object_ref a = ref_of(*(const struct live_object *const *)left);
    struct object_ref b = ref_of(*(const struct live_object *const *)right);
    return order_compare(&b, &a);
}

void prune_select(const struct application *application, struct prune_list *ret)
{
    prune_select_from(application, live_group_get(application->differ->live, application->label),
                      ret);
}

static int compare(const void *left, const void *right)
{
    return compare_backwards(right, left);
}

static bool is_in_kind(const struct live_object *inner, const struct live_object *definition)
{
    const struct kube_resource *resource = &inner->kind->resource;
    size_t size = strlen(resource->plural);
    return text_has_prefix(definition->name, resource->plural) && definition->name[size] == '.' &&
           text_equal(definition->name + size + 1, resource->group);
}

/* Whether the server would delete the one with the other. */
static bool lies_in(const struct live_object *inner, const struct live_object *outer)
{
    const struct kube_resource *resource = &outer->kind->resource;
    if (!*resource->group && text_equal(resource->kind, "Namespace")) {
        return text_equal(inner->namespace_, outer->name);
    }
    return text_equal(resource->group, "apiextensions.k8s.io") && is_in_kind(inner, outer);
}

static bool holds_any(const struct live_object *outer, const struct live_object **inner,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (lies_in(inner[i], outer)) {
            return true;
        }
    }
    return false;
}

/* Definitions before Namespaces: a custom resource that stays keeps both. Around what is unclear
 * nothing is given up, since that cannot be taken back when the word is mended. */
static void keep_what_holds_them(struct prune_list *list)
{
    size_t staying = list->kept_count, unclear = list->unclear_count, count = list->count;
    list->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct live_object *live = list->objects[i];
        if (holds_any(live, list->kept, staying)) {
            list->kept[list->kept_count++] = live;
        } else if (holds_any(live, list->unclear, unclear)) {
            list->unclear[list->unclear_count++] = live;
        } else {
            list->objects[list->count++] = live;
        }
    }
}

static void add(struct prune_list *list, const struct live_object *live)
{
    switch (live->keep) {
    case KEEP_NO:
        list->objects[list->count++] = live;
        break;
    case KEEP_YES:
        list->kept[list->kept_count++] = live;
        break;
    case KEEP_UNCLEAR:
        list->unclear[list->unclear_count++] = live;
        break;
    }
}

void prune_select_from(const struct application *application, const struct live_group *group,
                       struct prune_list *ret)
{
    *ret = (struct prune_list){0};
    if (!group) {
        return;
    }
    ret->objects = mem_new(group->count * 3, sizeof *ret->objects);
    ret->kept = ret->objects + group->count;
    ret->unclear = ret->kept + group->count;
    for (const struct live_object *live = group->first; live; live = live->next) {
        bool ours = !digest_is_zero(&live->fingerprint);
        /* By whomever: what has moved to another application is not deleted. */
        if (ours && !live->deleting && !claims_is_declared(application->differ, live->key)) {
            add(ret, live);
        }
    }
    if (ret->kept_count + ret->unclear_count > 0) {
        keep_what_holds_them(ret);
    }
    qsort(ret->objects, ret->count, sizeof *ret->objects, compare_backwards);
    qsort(ret->kept, ret->kept_count, sizeof *ret->kept, compare);
}

void prune_keep_all(struct prune_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        list->kept[list->kept_count++] = list->objects[i];
    }
    list->count = 0;
    if (list->kept_count > 0) {
        qsort(list->kept, list->kept_count, sizeof *list->kept, compare);
    }
}

void prune_leave_unclear(struct application *application, const struct prune_list *list)
{
    for (size_t i = 0; i < list->unclear_count; i++) {
        struct object_ref ref = ref_of(list->unclear[i]);
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        bool by_itself = list->unclear[i]->keep == KEEP_UNCLEAR;
        problems_add(&application->kept, object_ref_describe(&ref, &arena), "", 0,
                     "not in Git any more, but left in place: %s",
                     by_itself ? "its annotation " KEEP_ANNOTATION
                                 " in the cluster must be \"disabled\", which keeps it, or "
                                 "\"enabled\", which deletes it"
                               : "what it holds is left in place, too");
    }
}

static void tell(const struct live_object **objects, size_t count, struct problems *problems,
                 const char *message)
{
    for (size_t i = 0; i < count; i++) {
        struct object_ref ref = ref_of(objects[i]);
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        problems_add(problems, object_ref_describe(&ref, &arena), "", 0, "%s", message);
    }
}

void prune_tell(const struct prune_list *list, struct problems *problems, const char *message)
{
    tell(list->objects, list->count, problems, message);
    tell(list->kept, list->kept_count, problems, message);
}

bool prune_is_empty(const struct prune_list *list)
{
    return list->count + list->kept_count == 0;
}

void prune_release(struct prune_list *list)
{
    free(list->objects); /* and what stands behind them */
    *list = (struct prune_list){0};
}

static bool is_namespace(const struct object_ref *ref)
{
    return !*ref->group && text_equal(ref->kind, "Namespace");
}

static bool is_over(const struct prune_limit *limit, size_t deleted, size_t existing)
{
    if (limit->value < 0) {
        return false;
    }
    return limit->is_share ? deleted * 100 > (size_t)limit->value * existing
                           : deleted > (size_t)limit->value;
}

/* One that is declared and does not exist yet takes the place of none: what is in those that do is
 * lost all the same. */
static bool exists(const struct live_group *group, const struct object_ref *namespace_)
{
    for (const struct live_object *live = group ? group->first : NULL; live; live = live->next) {
        struct object_ref ref = ref_of(live);
        if (is_namespace(&ref) && text_equal(live->name, namespace_->name)) {
            return true;
        }
    }
    return false;
}

bool prune_is_dangerous(const struct prune_list *list, const struct desired_set *desired,
                        const struct live_group *group, const struct prune_limit *limit,
                        struct buf *reason, struct problems *problems)
{
    size_t namespaces_kept = 0, namespaces_deleted = 0, existing = group ? group->count : 0;
    for (size_t i = 0; i < desired->count; i++) {
        const struct object_ref *ref = &desired->objects[i].ref;
        namespaces_kept += is_namespace(ref) && exists(group, ref);
    }
    for (size_t i = 0; i < list->count; i++) {
        struct object_ref ref = ref_of(list->objects[i]);
        namespaces_deleted += is_namespace(&ref);
    }
    bool everything = list->count > 0 && desired->count == 0;
    bool every_namespace = namespaces_deleted > 0 && namespaces_kept == 0;
    if (!everything && !every_namespace && !is_over(limit, list->count, existing)) {
        return false;
    }
    buf_append_string(reason, "this revision would delete ");
    if (everything) {
        buf_append_string(reason, "everything that the application has");
    } else if (every_namespace) {
        buf_append_string(reason, "every Namespace of the application");
    } else {
        buf_append_format(reason, "%zu objects, more than spec.pruneLimit allows", list->count);
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < list->count; i++) {
        struct object_ref ref = ref_of(list->objects[i]);
        const char *described = object_ref_describe(&ref, &arena);
        problems_add(problems, described, "", 0, "would be deleted");
        if (i < NAMED_MAXIMUM) {
            buf_append_format(reason, "%s%s", i > 0 ? ", " : " (", described);
        }
    }
    if (list->count > NAMED_MAXIMUM) {
        buf_append_format(reason, " and %zu more", list->count - NAMED_MAXIMUM);
    }
    buf_append_char(reason, ')');
    return true;
}
