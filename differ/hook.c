#include "differ/hook.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

/* ---- What the annotations say ---- */

#define HELM_ANNOTATION "helm.sh/hook"
#define ARGO_ANNOTATION "argocd.argoproj.io/hook"

struct moment_word {
    const char *word;
    int moment; /* -1: none that Gitmoor has; the object is left out */
    unsigned char when;
};

static const struct moment_word own_moments[] = {{"before", HOOK_BEFORE, HOOK_ALWAYS},
                                                 {"after", HOOK_AFTER, HOOK_ALWAYS},
                                                 {"failure", HOOK_FAILURE, HOOK_ALWAYS},
                                                 {0}};
static const struct moment_word helm_moments[] = {{"pre-install", HOOK_BEFORE, HOOK_FIRST},
                                                  {"pre-upgrade", HOOK_BEFORE, HOOK_LATER},
                                                  {"post-install", HOOK_AFTER, HOOK_FIRST},
                                                  {"post-upgrade", HOOK_AFTER, HOOK_LATER},
                                                  {"pre-delete", -1, 0},
                                                  {"post-delete", -1, 0},
                                                  {"pre-rollback", -1, 0},
                                                  {"post-rollback", -1, 0},
                                                  {"test", -1, 0},
                                                  {"test-success", -1, 0},
                                                  {"test-failure", -1, 0},
                                                  {0}};
static const struct moment_word argo_moments[] = {{"PreSync", HOOK_BEFORE, HOOK_ALWAYS},
                                                  {"PostSync", HOOK_AFTER, HOOK_ALWAYS},
                                                  {"SyncFail", HOOK_FAILURE, HOOK_ALWAYS},
                                                  {"PreDelete", -1, 0},
                                                  {"PostDelete", -1, 0},
                                                  {"Skip", -1, 0},
                                                  {0}};

struct dialect {
    const char *annotation;
    const char *policy_annotation;
    const char *wave_annotation; /* NULL: gitmoor.io/wave */
    const struct moment_word *moments;
    const char *policies[3]; /* as HOOK_DELETE_BEFORE, _SUCCEEDED, _FAILED */
    const char *ordinary;    /* of an object that is applied like any other */
};

static const struct dialect own_dialect = {.annotation = HOOK_ANNOTATION,
                                           .policy_annotation = HOOK_POLICY_ANNOTATION,
                                           .moments = own_moments,
                                           .policies = {"before-creation", "succeeded", "failed"}};
static const struct dialect helm_dialect = {
    .annotation = HELM_ANNOTATION,
    .policy_annotation = "helm.sh/hook-delete-policy",
    .wave_annotation = "helm.sh/hook-weight",
    .moments = helm_moments,
    .policies = {"before-hook-creation", "hook-succeeded", "hook-failed"},
    .ordinary = "crd-install" /* how Helm 2 marked definitions */};
static const struct dialect argo_dialect = {
    .annotation = ARGO_ANNOTATION,
    .policy_annotation = "argocd.argoproj.io/hook-delete-policy",
    .wave_annotation = "argocd.argoproj.io/sync-wave",
    .moments = argo_moments,
    .policies = {"BeforeHookCreation", "HookSucceeded", "HookFailed"},
    .ordinary = "Sync"};

const char *hook_moment_name(enum hook_moment moment)
{
    return own_moments[moment].word;
}

/* Takes the next word off a list that is separated by commas; false at its end. */
static bool next_word(const char **list, char *word, size_t size)
{
    *list += strspn(*list, ", \t\n");
    size_t length = strcspn(*list, ", \t\n");
    snprintf(word, size, "%.*s", (int)(length < size ? length : size - 1), *list);
    *list += length;
    return length > 0;
}

static bool take_moment(const struct dialect *dialect, const char *word, struct hook_spec *spec)
{
    for (const struct moment_word *row = dialect->moments; row->word; row++) {
        if (text_equal(row->word, word)) {
            if (row->moment >= 0) {
                spec->moments[row->moment] |= row->when;
            }
            return true;
        }
    }
    return false;
}

static bool read_moments(const struct dialect *dialect, const char *list, struct hook_spec *spec,
                         struct error *error)
{
    char word[64];
    size_t count = 0;
    for (; next_word(&list, word, sizeof word); count++) {
        if (!take_moment(dialect, word, spec)) {
            return error_set(error, ERROR_INVALID, "the annotation %s: \"%s\" is no hook",
                             dialect->annotation, word);
        }
    }
    return count > 0 ||
           error_set(error, ERROR_INVALID, "the annotation %s is empty", dialect->annotation);
}

static bool read_policies(const struct dialect *dialect, const char *list, struct hook_spec *spec,
                          struct error *error)
{
    char word[64];
    while (list && next_word(&list, word, sizeof word)) {
        unsigned found = 0;
        for (unsigned i = 0; i < 3; i++) {
            found |= text_equal(word, dialect->policies[i]) ? 1U << i : 0;
        }
        if (!found) {
            return error_set(error, ERROR_INVALID,
                             "the annotation %s: \"%s\" is none of %s, %s, %s",
                             dialect->policy_annotation, word, dialect->policies[0],
                             dialect->policies[1], dialect->policies[2]);
        }
        spec->deletes |= found;
    }
    return true;
}

/* Other tools take what is no number for 0. */
static void read_wave(const struct dialect *dialect, const cJSON *annotations,
                      struct hook_spec *spec)
{
    if (!dialect->wave_annotation) {
        return;
    }
    int64_t number = 0;
    const char *text = json_string(annotations, dialect->wave_annotation);
    spec->has_wave = true;
    spec->wave = text && text_parse_int(text, &number) && number > -1000000 && number < 1000000
                     ? (int)number
                     : 0;
}

static const struct dialect *dialect_of(const cJSON *annotations)
{
    if (json_string(annotations, HOOK_ANNOTATION)) {
        return &own_dialect;
    }
    if (json_string(annotations, HELM_ANNOTATION)) {
        return &helm_dialect;
    }
    return json_string(annotations, ARGO_ANNOTATION) ? &argo_dialect : NULL;
}

bool hook_never_runs(const struct hook_spec *spec)
{
    return !spec->moments[HOOK_BEFORE] && !spec->moments[HOOK_AFTER] &&
           !spec->moments[HOOK_FAILURE];
}

bool hook_read(const cJSON *metadata, bool *ret_is_hook, struct hook_spec *ret, struct error *error)
{
    const cJSON *annotations = json_object(metadata, "annotations");
    const struct dialect *dialect = dialect_of(annotations);
    *ret = (struct hook_spec){0};
    const char *list = dialect ? json_string(annotations, dialect->annotation) : NULL;
    *ret_is_hook = list && !(dialect->ordinary && text_equal(list, dialect->ordinary));
    if (!*ret_is_hook) {
        return true;
    }
    read_wave(dialect, annotations, ret);
    return read_moments(dialect, list, ret, error) &&
           read_policies(dialect, json_string(annotations, dialect->policy_annotation), ret, error);
}

/* ---- How it has ended ---- */

bool hook_kind_ends(const char *group, const char *kind)
{
    return (text_equal(group, "batch") && text_equal(kind, "Job")) ||
           (text_equal(group, "") && text_equal(kind, "Pod"));
}

static const cJSON *condition_of(const cJSON *object, const char *type)
{
    for (const cJSON *item = json_first(json_get_path(object, "status.conditions")); item;
         item = item->next) {
        if (text_equal(json_string(item, "type"), type) &&
            text_equal(json_string(item, "status"), "True")) {
            return item;
        }
    }
    return NULL;
}

static enum hook_end judge_job(const cJSON *job, char *message)
{
    if (condition_of(job, "Complete")) {
        return HOOK_SUCCEEDED;
    }
    const cJSON *failed = condition_of(job, "Failed");
    if (!failed) {
        health_judge(job, message);
        return HOOK_RUNS;
    }
    snprintf(message, HEALTH_MESSAGE_SIZE, "%s: %s", text_or_empty(json_string(failed, "reason")),
             text_or_empty(json_string(failed, "message")));
    return HOOK_FAILED;
}

/* "container migrate: exit code 3 (Error): no such table". */
static bool tell_container(const cJSON *status, char *message)
{
    const cJSON *ended = json_get_path(status, "state.terminated");
    int64_t code = json_int(ended, "exitCode", 0);
    if (!ended || code == 0) {
        return false;
    }
    const char *last = json_string(ended, "message");
    snprintf(message, HEALTH_MESSAGE_SIZE, "container %s: exit code %lld (%s)%s%s",
             text_or_empty(json_string(status, "name")), (long long)code,
             text_or_empty(json_string(ended, "reason")), last ? ": " : "", text_or_empty(last));
    return true;
}

void hook_tell_pod(const cJSON *pod, char message[HEALTH_MESSAGE_SIZE])
{
    static const char *const lists[] = {"status.initContainerStatuses", "status.containerStatuses"};
    for (size_t i = 0; i < 2; i++) {
        for (const cJSON *item = json_first(json_get_path(pod, lists[i])); item;
             item = item->next) {
            if (tell_container(item, message)) {
                return;
            }
        }
    }
    const char *reason = json_string_path(pod, "status.reason");
    const char *words = json_string_path(pod, "status.message");
    snprintf(message, HEALTH_MESSAGE_SIZE, "%s%s%s", reason ? reason : "the Pod has failed",
             words ? ": " : "", text_or_empty(words));
}

static enum hook_end judge_pod(const cJSON *pod, char *message)
{
    const char *phase = json_string_path(pod, "status.phase");
    if (text_equal(phase, "Succeeded")) {
        return HOOK_SUCCEEDED;
    }
    if (text_equal(phase, "Failed")) {
        hook_tell_pod(pod, message);
        return HOOK_FAILED;
    }
    snprintf(message, HEALTH_MESSAGE_SIZE, "%s", phase ? phase : "not started");
    return HOOK_RUNS;
}

enum hook_end hook_judge(const cJSON *object, enum health_status health, const char *health_message,
                         char ret_message[HEALTH_MESSAGE_SIZE])
{
    const char *kind = json_string(object, "kind"), *version = json_string(object, "apiVersion");
    *ret_message = '\0';
    if (text_equal(kind, "Job") && text_has_prefix(text_or_empty(version), "batch/")) {
        return judge_job(object, ret_message);
    }
    if (text_equal(kind, "Pod") && text_equal(version, "v1")) {
        return judge_pod(object, ret_message);
    }
    snprintf(ret_message, HEALTH_MESSAGE_SIZE, "%s", text_or_empty(health_message));
    switch (health) {
    case HEALTH_CURRENT:
        return HOOK_SUCCEEDED;
    case HEALTH_FAILED:
        return HOOK_FAILED;
    default:
        return HOOK_RUNS;
    }
}
