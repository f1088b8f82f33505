/* gitmoor adopt: what would become of objects that somebody else has made, if an application took
 * them over: who manages them now, and what would change, field by field (diff.h). With --yes the
 * revision may do so; an Application with spec.adopt: IfApproved waits for that. */
#include "cli/adopt.h"

#include "cli/cli.h"
#include "cli/diff.h"
#include "cli/keys.h"
#include "cli/manifests.h"
#include "cli/options.h"
#include "cli/table.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "differ/settings.h"

#include <string.h>

/* ---- Who manages it now ---- */

/* What tools write on their objects, beside their entries in managedFields. */
static const struct {
    const char *kind; /* labels or annotations */
    const char *name;
    const char *namespace_; /* of the same kind; or NULL */
    const char *what;
} marks[] = {
    {"labels", "kustomize.toolkit.fluxcd.io/name", "kustomize.toolkit.fluxcd.io/namespace",
     "Flux Kustomization"},
    {"labels", "helm.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/namespace",
     "Flux HelmRelease"},
    {"annotations", "meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "Helm release"},
    {"annotations", "argocd.argoproj.io/tracking-id", NULL, "Argo CD, tracking id"},
    {"labels", "argocd.argoproj.io/instance", NULL, "Argo CD application"},
    {"annotations", "configsync.gke.io/manager", NULL, "Config Sync, reconciler"},
    {"labels", GITMOOR_LABEL, NULL, "Gitmoor, Application"},
};

static void add_marks(const cJSON *object, struct buf *out)
{
    const cJSON *metadata = json_object(object, "metadata");
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const cJSON *values = json_object(metadata, marks[i].kind);
        const char *name = json_string(values, marks[i].name);
        const char *space = marks[i].namespace_ ? json_string(values, marks[i].namespace_) : NULL;
        if (name) {
            buf_append_format(out, "%s%s %s%s%s", out->size > 0 ? "; " : "", marks[i].what,
                              text_or_empty(space), space ? "/" : "", name);
        }
    }
}

static bool is_listed(const cJSON *before, const cJSON *entry)
{
    for (; before != entry; before = before->next) {
        if (text_equal(json_string(before, "manager"), json_string(entry, "manager"))) {
            return true;
        }
    }
    return false;
}

static void add_managers(const cJSON *object, struct buf *out)
{
    const cJSON *first = json_first(json_get_path(object, "metadata.managedFields"));
    const char *lead = out->size > 0 ? "; field managers " : "field managers ";
    for (const cJSON *entry = first; entry; entry = entry->next) {
        if (text_is_empty(json_string(entry, "subresource")) && !is_listed(first, entry)) {
            buf_append_format(out, "%s%s", lead, text_or_empty(json_string(entry, "manager")));
            lead = ", ";
        }
    }
}

char *adopt_describe_managers(const cJSON *object)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 16384);
    add_marks(object, &text);
    add_managers(object, &text);
    if (text.size == 0) {
        buf_append_string(&text, "nobody that it tells of");
    }
    return buf_detach(&text);
}

bool adopt_is_foreign(const cJSON *object, const char *label)
{
    return !object_managed_fields(object) || !text_equal(object_label(object), label);
}

/* ---- The verb ---- */

static bool is_as_shown(const struct diff_verb *verb, const char *name, const char *revision,
                        const char *list, struct error *error)
{
    if (!verb->shown) {
        return error_set(error, ERROR_INVALID, "application %s has no revision yet", name);
    }
    if (revision && !text_equal(revision, verb->shown)) {
        return error_set(error, ERROR_INVALID,
                         "application %s is at %s, not at %s: look at it anew", name, verb->shown,
                         revision);
    }
    if (!verb->list) {
        return error_set(error, ERROR_INVALID,
                         "application %s is not held for what it would take over: there is "
                         "nothing to approve",
                         name);
    }
    return !list || text_equal(list, verb->list) ||
           error_set(error, ERROR_INVALID,
                     "what %s would take over is not the list %s any more: look at it anew",
                     verb->shown, list);
}

/* What was shown, and nothing that came after it: of a newer revision, and of other objects that
 * this one comes to take over, the annotation does not speak. */
static int approve(struct diff_verb *verb, const char *name, const char *revision, const char *list)
{
    struct error error = {0};
    const struct cluster_target target = {&cluster_applications, name};
    if (!is_as_shown(verb, name, revision, list, &error)) {
        return cli_fail("adopt", CLI_NO, &error);
    }
    AUTO_FREE char *value = mem_format("%s %s", verb->shown, verb->list);
    if (!cluster_annotate(&verb->cluster, &target, GITMOOR_ADOPT_ANNOTATION, value, NULL, &error)) {
        return cluster_fail("adopt", &error);
    }
    fprintf(stderr, "%s: %s may take them over\n", name, verb->shown);
    return CLI_OK;
}

static bool check(const struct diff_verb *verb, bool yes, const char *revision, const char *list,
                  struct error *error)
{
    if (yes && verb->path) {
        return error_set(error, ERROR_INVALID,
                         "--yes is about a revision, --path shows a directory");
    }
    return yes || (!revision && !list) ||
           error_set(error, ERROR_INVALID, "%s is for --yes", revision ? "--revision" : "--list");
}

int cli_adopt(int argc, char **argv)
{
    struct diff_verb verb = {.word = "adopt", .adopts = true, DIFF_DEFAULTS};
    bool yes = false;
    const char *revision = NULL, *list = NULL;
    const struct option table[] = {
        {"yes", 'y', OPTION_FLAG, &yes, NULL,
         "Let the revision that the application is at take them over."},
        {"revision", 0, OPTION_TEXT, &revision, "REVISION",
         "With --yes: only if it is this one, which was shown to you before."},
        {"list", 0, OPTION_TEXT, &list, "LIST",
         "With --yes: only if it would take over just these, as was shown to you before."},
        DIFF_OPTIONS(verb),
        {0},
    };
    const struct option_set set = {
        "adopt APPLICATION [--yes [--revision REVISION] [--list LIST]] [OPTIONS]",
        "Shows the objects that exist already and that the application would take over: who\n"
        "manages them now, and what would change of them. With --yes it may, if it is held for "
        "that.",
        "0: there are none, or with --yes: they may be taken over; 1: there are some, or it is "
        "not\n"
        "held for them, or the cluster refused; 2: it cannot be told.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    struct error error = {0};
    const char *name = NULL;
    bool valid = check(&verb, yes, revision, list, &error) &&
                 cluster_parse_application(operands[0], &name, &error);
    status = valid ? diff_run(&verb, name) : cli_fail("adopt", CLI_USAGE, &error);
    if (valid && yes && !verb.trouble && verb.foreign > 0) {
        status = approve(&verb, name, revision, list);
    }
    diff_close(&verb);
    return status;
}
