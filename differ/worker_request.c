/* The request, read. What it says stands in its tree as long as the worker does. */
#include "differ/worker_internal.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"

/* A spec, in which values of charts are, stands a level deeper than in the object that kube read
 * within the default limits. */
#define WORKER_REQUEST_DEPTH 110

static bool worker_read_application(const cJSON *item, struct worker_application *application)
{
    application->key = json_string(item, "key");
    application->path = json_string(item, "path");
    application->known = text_or_empty(json_string(item, "renderKey"));
    application->spec = json_object(item, "render");
    application->target_namespace = json_string(item, "targetNamespace");
    application->name = json_string(item, "name");
    application->namespace_ = json_string(item, "namespace");
    application->values = json_array(item, "values");
    application->variables = json_object(item, "variables");
    application->decryption = json_object(item, "decryption");
    return application->key && application->path;
}

static void worker_read_limits(struct worker *worker)
{
    const cJSON *limits = json_object(worker->request, "limits");
    int64_t slice = json_int(limits, "slice", 0);
    worker->build_timeout_ms = json_int(limits, "buildTimeout", RENDER_TIMEOUT_MS);
    worker->build_memory = json_int(limits, "memory", RENDER_MEMORY_MAXIMUM);
    worker->begin_until = slice > 0 ? clock_monotonic_ms() + slice : 0;
}

bool worker_read_request(struct worker *worker, const char *text, size_t size, struct error *error)
{
    const struct json_limits limits = {WORKER_REQUEST_MAXIMUM, WORKER_REQUEST_DEPTH, 2000000};
    if (!json_parse(text, size, &limits, &worker->request, error)) {
        return error_prefix(error, "the request");
    }
    worker->repository = json_string(worker->request, "repository");
    worker->pack = json_string(worker->request, "pack");
    worker->memory = json_string(worker->request, "memory");
    worker->commit = json_string(worker->request, "commit");
    worker->revision = json_string(worker->request, "revision");
    const char *build = json_string(worker->request, "build");
    worker->scratch =
        build ? mem_format("%s/" WORKER_SCRATCH "/%s", worker->repository, build) : NULL;
    worker->tidies = json_bool(worker->request, "tidy", false);
    worker_read_limits(worker);
    const cJSON *list = json_array(worker->request, "applications");
    if (text_is_empty(worker->repository) || text_is_empty(worker->commit) || !list) {
        return error_set(error, ERROR_INVALID,
                         "the request needs repository, commit and applications");
    }
    worker->applications = mem_new(json_size(list), sizeof(*worker->applications));
    for (const cJSON *item = json_first(list); item; item = item->next) {
        if (!worker_read_application(item, &worker->applications[worker->count++])) {
            return error_set(error, ERROR_INVALID,
                             "application %zu of the request lacks its key "
                             "or path",
                             worker->count - 1);
        }
    }
    return true;
}
