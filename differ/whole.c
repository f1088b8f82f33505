#include "differ/whole.h"

#include "common/base/text.h"
#include "differ/charts.h"

static bool is_sibling(const struct application *application, const struct application *other)
{
    return other != application &&
           text_equal(other->spec.source_namespace, application->spec.source_namespace) &&
           text_equal(other->spec.repository, application->spec.repository);
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
