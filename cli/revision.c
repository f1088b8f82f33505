#include "cli/revision.h"

#include "common/base/text.h"

#include <string.h>

#define COMMIT_MINIMUM 4 /* digits of a commit that is not given whole */

static const char *commit_of(const char *revision)
{
    const char *colon = revision ? strrchr(revision, ':') : NULL;
    return colon ? colon + 1 : NULL;
}

bool revision_is_meant(const char *revision, const char *word)
{
    const char *commit = commit_of(revision);
    return revision && (text_equal(revision, word) || (commit && strlen(word) >= COMMIT_MINIMUM &&
                                                       text_has_prefix(commit, word)));
}

bool revision_is_same(const char *left, const char *right)
{
    const char *commit = commit_of(left);
    return commit && text_equal(commit, commit_of(right));
}
