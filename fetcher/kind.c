#include "fetcher/kind.h"

#include "common/data/object.h"

const struct source_kind source_kinds[SOURCE_KINDS] = {
    [SOURCE_GIT] = {.kind = "GitRepository",
                    .plural = "gitrepositories",
                    .prefix = "",
                    .part = "watch of GitRepository objects",
                    .replaced = "ForcedPush",
                    .replaced_note = "the branch was rewritten, and its history has no more"},
    [SOURCE_HELM] = {.kind = "HelmRepository",
                     .plural = "helmrepositories",
                     .prefix = OBJECT_SOURCE_HELM,
                     .part = "watch of HelmRepository objects",
                     .replaced = "ChartReplaced",
                     .replaced_note = "the chart of that version was another"},
};
