#include "differ/whole.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/charts.h"

#include <string.h>

static bool is_of_same(const struct application *application, const struct application *other)
{
    return text_equal(other->spec.source_namespace, application->spec.source_namespace) &&
           text_equal(other->spec.repository, application->spec.repository);
}

static bool is_sibling(const struct application *application, const struct application *other)
{
    return other != application && is_of_same(application, other);
}

bool whole_lacks(const struct application *application, const struct application *other)
{
    return other->answered < application->since && is_sibling(application, other) &&
           !other->deleting && !other->source_denied &&
           charts_values_state(other) != CHARTS_VALUES_WRONG;
}

const struct application *whole_awaited(const struct application *application)
{
    struct differ *differ = application->differ;
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        if (whole_lacks(application, slot->value)) {
            return slot->value;
        }
    }
    return NULL;
}

/* ---- What nobody can read ---- */

/* Whether the Application that the object declares is of the same repository, and not there. */
static bool is_to_come(const struct application *application, const struct desired_object *object)
{
    AUTO_FREE char *key = mem_format("%s/%s", object->ref.namespace_, object->ref.name);
    AUTO_JSON cJSON *tree = NULL;
    if (!desired_is_application(&object->ref) || map_has(&application->differ->applications, key) ||
        !json_parse(object->text, object->size, NULL, &tree, NULL)) {
        return false;
    }
    AUTO_FREE char *source = object_source_word(tree);
    const char *namespace_ = json_string_path(tree, "spec.source.namespace");
    return text_equal(source, application->spec.repository) &&
           text_equal(namespace_ ? namespace_ : object->ref.namespace_,
                      application->spec.source_namespace);
}

/* The first that `parent` declares, or NULL. */
static const struct desired_object *find_to_come(const struct application *application,
                                                 const struct application *parent)
{
    const struct desired_set *desired = parent->desired;
    bool counts = desired && desired->has_applications && parent->since > application->swept &&
                  !parent->deleting && is_of_same(application, parent);
    for (size_t i = 0; counts && i < desired->count; i++) {
        if (is_to_come(application, &desired->objects[i])) {
            return &desired->objects[i];
        }
    }
    return NULL;
}

static bool is_unread(const struct application *application, const struct application *other)
{
    return other->unread > application->swept && is_sibling(application, other) &&
           !other->deleting && !other->source_denied;
}

/* Where, and not what: it may be in a namespace that this one's people do not see into. */
static void describe_unread(const struct application *other, struct buf *why)
{
    const struct problems *problems = &other->render_problems;
    buf_append_format(why, "the files of application %s cannot be rendered", other->key);
    if (problems->count > 0 && !text_is_empty(problems->list[0].file)) {
        buf_append_format(why, " (%s:%u)", problems->list[0].file, problems->list[0].line);
    }
}

/* A person has approved what the revision deletes, with or without the list (approval.h). */
static bool is_meant(const struct application *application)
{
    const char *approved = application->approved_revision;
    AUTO_FREE char *revision =
        mem_string_n(text_or_empty(approved), strcspn(text_or_empty(approved), " "));
    return approved && text_equal(revision, application->revision);
}

bool whole_doubts(const struct application *application, struct buf *why)
{
    const struct differ *differ = application->differ;
    if (is_meant(application)) {
        return false;
    }
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        const struct application *other = slot->value;
        const struct desired_object *object = find_to_come(application, other);
        if (is_unread(application, other)) {
            describe_unread(other, why);
            return true;
        }
        if (object) {
            buf_append_format(why, "application %s/%s, which %s declares, is not there yet",
                              object->ref.namespace_, object->ref.name, other->key);
            return true;
        }
    }
    return false;
}

void whole_note_swept(struct application *application)
{
    application->swept = application->answered;
}

/* ---- Waiting ---- */

void whole_wait(struct application *application, const char *message)
{
    application->awaits = true;
    outcome_set(application, OUTCOME_RENDERING, message);
}

void whole_wake(struct differ *differ)
{
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        if (application->awaits) {
            application_wake(application);
        }
    }
}
