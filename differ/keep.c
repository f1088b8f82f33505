#include "differ/keep.h"

#include "common/base/text.h"

#include <string.h>

/* Whoever comes from another tool has these on his objects, and charts have the last one on what
 * holds data. They are heeded: to delete what they stand on could not be undone. */
static const struct {
    const char *name, *word;
    bool is_list;  /* of words, separated by commas */
    bool is_label; /* it may be a label too */
} others[] = {
    {"kustomize.toolkit.fluxcd.io/prune", "disabled", false, true},
    {"argocd.argoproj.io/sync-options", "Prune=false", true, false},
    {"helm.sh/resource-policy", "keep", false, false},
};

static bool has_word(const char *list, const char *word)
{
    size_t size = strlen(word);
    while (list) {
        list += strspn(list, ", ");
        size_t length = strcspn(list, ", ");
        if (length == size && strncmp(list, word, size) == 0) {
            return true;
        }
        list = list[length] ? list + length : NULL;
    }
    return false;
}

enum keep keep_read(const cJSON *metadata)
{
    const cJSON *annotations = json_object(metadata, "annotations");
    const char *word = json_string(annotations, KEEP_ANNOTATION);
    if (word) {
        return text_equal(word, "disabled")  ? KEEP_YES
               : text_equal(word, "enabled") ? KEEP_NO
                                             : KEEP_UNCLEAR;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const char *said = json_string(annotations, others[i].name);
        if (!said && others[i].is_label) {
            said = json_string(json_object(metadata, "labels"), others[i].name);
        }
        if (others[i].is_list ? has_word(said, others[i].word) : text_equal(said, others[i].word)) {
            return KEEP_YES;
        }
    }
    return KEEP_NO;
}
