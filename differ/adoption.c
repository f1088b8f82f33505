#include "differ/adoption.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/application.h"
#include "differ/approval.h"
#include "differ/dispatch.h"
#include "differ/plan.h"
#include "differ/selection.h"

static bool has_to_ask(const struct application *application, const struct selection *selection)
{
    if (text_equal(application->checked, application->revision)) {
        return false;
    }
    for (size_t i = 0; i < selection->count; i++) {
        if (!live_get(application->differ->live, selection->applies[i]->key)) {
            return true;
        }
    }
    return false;
}

void adoption_note(struct application *application, const struct plan_item *item,
                   const struct plan_outcome *outcome)
{
    /* An object that a dry-run would make has no version. */
    bool exists = !text_is_empty(outcome->resource_version);
    if (!application->spec.adopts_if_approved || application->waiting || !exists ||
        live_get(application->differ->live, item->key)) {
        return;
    }
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    const char *managers = text_or_empty(outcome->managers);
    free(map_set(&application->others, item->key, mem_string(text_or_empty(outcome->uid))));
    problems_add(&application->foreign, object_ref_describe(&item->ref, &arena), item->file,
                 item->line, "it exists already%s%s", *managers ? ", written by " : "", managers);
}

void adoption_forget(struct application *application)
{
    problems_clear(&application->foreign);
    map_release(&application->others, free);
}

bool adoption_holds(struct application *application, const struct selection *selection)
{
    if (!application->spec.adopts_if_approved) {
        approval_to_take_over_end(application);
        return false;
    }
    if (approval_to_take_over_goes_on(application)) {
        return false;
    }
    if (has_to_ask(application, selection)) {
        adoption_forget(application);
        dispatch_check(application, selection);
        return true;
    }
    if (application->foreign.total == 0) {
        approval_to_take_over_end(application);
        return false;
    }
    if (!approval_to_take_over_is_lacking(application)) {
        return false;
    }
    AUTO_BUF struct buf list;
    buf_init(&list, 16384);
    problems_describe(&application->foreign, &list);
    AUTO_FREE char *message = mem_format(
        "%s takes over objects that somebody else has made: held. `gitmoor adopt %s -n %s` shows "
        "what becomes of them, and with --yes lets it go on, which annotates the Application "
        "with " GITMOOR_ADOPT_ANNOTATION "=\"%s %s\". %s",
        application->revision, application->name, application->namespace_, application->revision,
        application->approvals[APPROVAL_TO_TAKE_OVER]->list, list.data);
    outcome_set(application, OUTCOME_ADOPTION, message);
    return true;
}
