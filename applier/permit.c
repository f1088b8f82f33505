#include "applier/permit.h"

#include "common/base/arena.h"
#include "common/run/metrics.h"

#define REFUSALS_MAXIMUM 1000 /* told of one plan: one is enough to refuse it */

static struct metric refusals = {
    .name = "gitmoor_applier_not_allowed_total",
    .help = "Operations that the tenancy settings refused: the differ should have seen to it.",
    .type = METRIC_COUNTER};

static bool permit_operation(const struct tenancy *tenancy, const struct plan *plan,
                             const struct plan_operation *operation, struct error *error)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct plan_object named;
    if (operation->verb == PLAN_FINALIZER) {
        return true; /* not on the Application's behalf */
    }
    if (!plan_path_read(operation->path, &arena, &named)) {
        return error_set(error, ERROR_INVALID, "\"%.200s\" is not an object's path",
                         operation->path);
    }
    const struct tenancy_object object = {.group = named.group,
                                          .resource = named.resource,
                                          .namespace_ = named.namespace_,
                                          .name = named.name};
    return tenancy_check_object(tenancy, plan->namespace_, &object, error);
}

bool permit_plan(const struct tenancy *tenancy, const struct plan *plan, struct result *refused)
{
    struct error error;
    for (size_t i = 0; tenancy && i < plan->count && refused->failures < REFUSALS_MAXIMUM; i++) {
        if (!permit_operation(tenancy, plan, &plan->operations[i], &error)) {
            metric_add(&refusals, NULL, 1);
            const struct result_failure failure = {.status = 403, .reason = TENANCY_REASON};
            result_add_failure(refused, i, true, &failure, &error);
        }
    }
    return refused->failures == 0;
}
