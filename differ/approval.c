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

/* By UID: what was made anew since is another object. */
static void digest_list(const struct prune_list *prune, char ret[DIGEST_HEX_SIZE])
{
    struct digest_state *state = digest_new();
    struct digest digest;
    for (size_t i = 0; i < prune->count; i++) {
        const char *uid = text_or_empty(prune->objects[i]->uid);
        digest_update(state, prune->objects[i]->key, strlen(prune->objects[i]->key) + 1);
        digest_update(state, uid, strlen(uid) + 1);
    }
    digest_finish(state, &digest);
    digest_to_hex(&digest, ret);
    ret[LIST_SIZE] = '\0';
}

/* "REVISION LIST", as the annotation has it. */
static bool is_approved(const struct application *application, const struct approval *approval)
{
    AUTO_FREE char *value = mem_format("%s %s", approval->revision, approval->list);
    return text_equal(application->approved_revision, value);
}

/* What was approved goes on, though part of the list may be gone by now. */
static bool goes_on(const struct application *application, const char *content)
{
    const struct approval *approval = application->approval;
    return approval && approval->is_given && text_equal(approval->content, content) &&
           text_equal(approval->revision, application->revision) &&
           is_approved(application, approval);
}

bool approval_is_lacking(struct application *application, const struct prune_list *prune,
                         struct buf *reason, struct problems *found)
{
    char content[DIGEST_HEX_SIZE];
    const struct live_group *group = live_group_get(application->differ->live, application->label);
    digest_to_hex(&application->desired->content, content);
    if (goes_on(application, content)) {
        return false;
    }
    approval_end(application);
    if (!prune_is_dangerous(prune, application->desired, group, &application->spec.prune_limit,
                            reason, found)) {
        return false;
    }
    struct approval *approval = NEW(struct approval);
    application->approval = approval;
    approval->revision = mem_string(application->revision);
    approval->deletes = prune->count;
    memcpy(approval->content, content, sizeof content);
    digest_list(prune, approval->list);
    approval->is_given = is_approved(application, approval);
    return !approval->is_given;
}

void approval_end(struct application *application)
{
    approval_free(application->approval);
    application->approval = NULL;
}

void approval_end_of_others(struct application *application, const char *revision)
{
    const struct approval *approval = application->approval;
    if (approval && !(approval->is_given && text_equal(approval->revision, revision))) {
        approval_end(application);
    }
}

void approval_adopt(struct application *application)
{
    const cJSON *held = json_object(packed_tree(application->status), "held");
    const char *revision = json_string(held, "revision");
    const char *list = json_string(held, "list"), *content = json_string(held, "content");
    if (!json_bool(held, "approved", false) || !revision || !list || !content) {
        return; /* while nobody has given it, it is found to be lacking again */
    }
    struct approval *approval = NEW(struct approval);
    application->approval = approval;
    approval->revision = mem_string(revision);
    approval->deletes = (size_t)json_int(held, "deletes", 0);
    snprintf(approval->list, sizeof approval->list, "%s", list);
    snprintf(approval->content, sizeof approval->content, "%s", content);
    approval->is_given = true;
}

void approval_set_status(const struct application *application, cJSON *status)
{
    const struct approval *approval = application->approval;
    if (!approval) {
        json_remove(status, "held");
        return;
    }
    cJSON *held = json_new_object();
    json_add_string(held, "revision", approval->revision);
    json_add_string(held, "list", approval->list);
    json_add_int(held, "deletes", (int64_t)approval->deletes);
    json_add_string(held, "content", approval->content);
    if (approval->is_given) {
        json_add_bool(held, "approved", true);
    }
    json_set(status, "held", held);
}
