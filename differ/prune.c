#include "differ/prune.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/claims.h"

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

void prune_select_from(const struct application *application, const struct live_group *group,
                       struct prune_list *ret)
{
    *ret = (struct prune_list){0};
    if (!group) {
        return;
    }
    ret->objects = mem_new(group->count, sizeof *ret->objects);
    for (const struct live_object *live = group->first; live; live = live->next) {
        bool ours = !digest_is_zero(&live->fingerprint);
        /* By whomever: what has moved to another application is not deleted. */
        if (ours && !live->deleting && !claims_is_declared(application->differ, live->key)) {
            ret->objects[ret->count++] = live;
        }
    }
    qsort(ret->objects, ret->count, sizeof *ret->objects, compare_backwards);
}

void prune_release(struct prune_list *list)
{
    free(list->objects);
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

bool prune_is_dangerous(const struct prune_list *list, const struct desired_set *desired,
                        size_t existing, const struct prune_limit *limit, struct buf *reason,
                        struct problems *problems)
{
    size_t namespaces_kept = 0, namespaces_deleted = 0;
    for (size_t i = 0; i < desired->count; i++) {
        namespaces_kept += is_namespace(&desired->objects[i].ref);
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
