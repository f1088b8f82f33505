#include "differ/observed.h"

#include "common/base/text.h"
#include "differ/builds.h"
#include "differ/repository.h"

#include <string.h>

/* Of "main@sha1:4f2a…", or as it stands. */
static const char *commit_of(const char *revision)
{
    const char *colon = revision ? strrchr(revision, ':') : NULL;
    return colon ? colon + 1 : revision;
}

/* The newest revision, if what is in force, or is to be, was rendered from it or is the same there;
 * else NULL. */
static const char *newest(const struct application *application)
{
    const struct repository *repository = application_repository(application);
    bool is_known = application->rendered && !application->needs_render &&
                    !builds_is_under_way(application) &&
                    application->answered == repository->sequence;
    return is_known ? repository->revision : NULL;
}

bool observed_is_due(const struct application *application)
{
    if (!application->awaited_revision) {
        return false;
    }
    const char *revision = newest(application);
    const char *told = json_string(packed_tree(application->status), "observedRevision");
    return revision && !text_equal(told, revision) &&
           text_equal(commit_of(application->awaited_revision), commit_of(revision));
}

void observed_set(const struct application *application, cJSON *status)
{
    const char *revision = newest(application);
    if (revision) {
        json_set(status, "observedRevision", json_new_string(revision));
    }
}
