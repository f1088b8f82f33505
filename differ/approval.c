#include "differ/approval.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

#define LIST_SIZE 12 /* hex digits of the list's digest: nobody gains by making two alike */

void approval_free(struct approval *approval)
{
    if (approval) {
        free(approval->revision);
        free(approval);
    }
}

static const struct {
    const char *field, *count; /* in the status */
} told[APPROVAL_COUNT] = {
    [APPROVAL_TO_DELETE] = {"held", "deletes"},
    [APPROVAL_TO_TAKE_OVER] = {"adoption", "objects"},
};

_Static_assert(APPROVAL_COUNT ==
                   sizeof((struct application *)NULL)->approvals / sizeof(struct approval *),
               "one for each");

/* ---- Lists ---- */

/* By UID: what was made anew since is another object. */
static void digest_object(struct digest_state *state, const char *key, const char *uid)
{
    digest_update(state, key, strlen(key) + 1);
    digest_update(state, text_or_empty(uid), strlen(text_or_empty(uid)) + 1);
}

static void finish_list(struct digest_state *state, char ret[DIGEST_HEX_SIZE])
{
    struct digest digest;
    digest_finish(state, &digest);
    digest_to_hex(&digest, ret);
    ret[LIST_SIZE] = '\0';
}

static void digest_deleted(const struct prune_list *prune, char ret[DIGEST_HEX_SIZE])
{
    struct digest_state *state = digest_new();
    for (size_t i = 0; i < prune->count; i++) {
        digest_object(state, prune->objects[i]->key, prune->objects[i]->uid);
    }
    finish_list(state, ret);
}

/* What is deleted and made anew has another UID; what is taken over, given up and to be taken over
 * again has not. So the list that was approved last counts too, or one word would do for both. */
static void digest_others(const struct application *application, char ret[DIGEST_HEX_SIZE])
{
    struct digest_state *state = digest_new();
    AUTO_FREE const char **keys = map_sorted_keys(&application->others);
    digest_update(state, application->adopted, strlen(application->adopted) + 1);
    for (size_t i = 0; i < application->others.count; i++) {
        digest_object(state, keys[i], map_get(&application->others, keys[i]));
    }
    finish_list(state, ret);
}

/* ---- The word ---- */

/* "REVISION LIST", as the annotation has it. */
static bool is_approved(const struct application *application, enum approval_for what)
{
    const struct approval *approval = application->approvals[what];
    AUTO_FREE char *value = mem_format("%s %s", approval->revision, approval->list);
    return text_equal(what == APPROVAL_TO_DELETE ? application->approved_revision
                                                 : application->adopt_revision,
                      value);
}

/* What was approved goes on, though part of the list may be gone by now. */
static bool goes_on(const struct application *application, enum approval_for what)
{
    char content[DIGEST_HEX_SIZE];
    const struct approval *approval = application->approvals[what];
    digest_to_hex(&application->desired->content, content);
    return approval && approval->is_given && text_equal(approval->content, content) &&
           text_equal(approval->revision, application->revision) && is_approved(application, what);
}

static struct approval *begin(struct application *application, enum approval_for what,
                              size_t objects)
{
    struct approval *approval = NEW(struct approval);
    application->approvals[what] = approval;
    approval->revision = mem_string(application->revision);
    approval->objects = objects;
    digest_to_hex(&application->desired->content, approval->content);
    return approval;
}

static void end(struct application *application, enum approval_for what)
{
    const struct approval *approval = application->approvals[what];
    if (approval && approval->is_given && what == APPROVAL_TO_TAKE_OVER) {
        snprintf(application->adopted, sizeof application->adopted, "%s", approval->list);
    }
    approval_free(application->approvals[what]);
    application->approvals[what] = NULL;
}

bool approval_is_lacking(struct application *application, const struct prune_list *prune,
                         struct buf *reason, struct problems *found)
{
    const struct live_group *group = live_group_get(application->differ->live, application->label);
    if (goes_on(application, APPROVAL_TO_DELETE)) {
        return false;
    }
    end(application, APPROVAL_TO_DELETE);
    if (!prune_is_dangerous(prune, application->desired, group, &application->spec.prune_limit,
                            reason, found)) {
        return false;
    }
    struct approval *approval = begin(application, APPROVAL_TO_DELETE, prune->count);
    digest_deleted(prune, approval->list);
    approval->is_given = is_approved(application, APPROVAL_TO_DELETE);
    return !approval->is_given;
}

bool approval_to_take_over_goes_on(const struct application *application)
{
    return goes_on(application, APPROVAL_TO_TAKE_OVER);
}

bool approval_to_take_over_is_lacking(struct application *application)
{
    end(application, APPROVAL_TO_TAKE_OVER);
    struct approval *approval =
        begin(application, APPROVAL_TO_TAKE_OVER, application->others.count);
    digest_others(application, approval->list);
    approval->is_given = is_approved(application, APPROVAL_TO_TAKE_OVER);
    return !approval->is_given;
}

void approval_to_take_over_end(struct application *application)
{
    end(application, APPROVAL_TO_TAKE_OVER);
}

void approval_end(struct application *application)
{
    for (unsigned what = 0; what < APPROVAL_COUNT; what++) {
        end(application, what);
    }
}

void approval_end_of_others(struct application *application, const char *revision)
{
    for (unsigned what = 0; what < APPROVAL_COUNT; what++) {
        const struct approval *approval = application->approvals[what];
        if (approval && !(approval->is_given && text_equal(approval->revision, revision))) {
            end(application, what);
        }
    }
}

/* ---- The status ---- */

static void adopt_one(struct application *application, enum approval_for what)
{
    const cJSON *held = json_object(packed_tree(application->status), told[what].field);
    const char *revision = json_string(held, "revision");
    const char *list = json_string(held, "list"), *content = json_string(held, "content");
    if (!json_bool(held, "approved", false) || !revision || !list || !content) {
        return; /* while nobody has given it, it is found to be lacking again */
    }
    struct approval *approval = NEW(struct approval);
    application->approvals[what] = approval;
    approval->revision = mem_string(revision);
    approval->objects = (size_t)json_int(held, told[what].count, 0);
    snprintf(approval->list, sizeof approval->list, "%s", list);
    snprintf(approval->content, sizeof approval->content, "%s", content);
    approval->is_given = true;
}

void approval_adopt(struct application *application)
{
    const char *adopted = json_string(packed_tree(application->status), "adopted");
    for (unsigned what = 0; what < APPROVAL_COUNT; what++) {
        adopt_one(application, what);
    }
    snprintf(application->adopted, sizeof application->adopted, "%s", text_or_empty(adopted));
}

static void set_one(const struct application *application, enum approval_for what, cJSON *status)
{
    const struct approval *approval = application->approvals[what];
    if (!approval) {
        json_remove(status, told[what].field);
        return;
    }
    cJSON *held = json_new_object();
    json_add_string(held, "revision", approval->revision);
    json_add_string(held, "list", approval->list);
    json_add_int(held, told[what].count, (int64_t)approval->objects);
    json_add_string(held, "content", approval->content);
    if (approval->is_given) {
        json_add_bool(held, "approved", true);
    }
    json_set(status, told[what].field, held);
}

void approval_set_status(const struct application *application, cJSON *status)
{
    for (unsigned what = 0; what < APPROVAL_COUNT; what++) {
        set_one(application, what, status);
    }
    if (*application->adopted) {
        json_set(status, "adopted", json_new_string(application->adopted));
    }
}
