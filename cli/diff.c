/* gitmoor diff: what a reconcile would change, as a unified diff of live and declared objects. */
#include "cli/diff.h"

#include "cli/cli.h"
#include "cli/keys.h"
#include "cli/manifests.h"
#include "cli/options.h"
#include "cli/table.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/charts.h"
#include "differ/render/generators.h"
#include "differ/settings.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DIFF_NONE = 0, DIFF_SOME = 1, DIFF_TROUBLE = 2 };

void diff_complain(struct diff_verb *verb, const char *what, const struct error *error)
{
    verb->trouble = true;
    fprintf(stderr, "gitmoor %s: %s: ", verb->word, what);
    table_print_text(error->message, 2, stderr);
    fputc('\n', stderr);
}

/* ---- One application ---- */

/* What a status says of another spec than the one that is shown is of no use. */
static const cJSON *diff_adoption(const cJSON *object)
{
    const cJSON *status = json_object(object, "status");
    bool is_current = json_int(json_object(object, "metadata"), "generation", 0) ==
                      json_int(status, "observedGeneration", 0);
    return is_current ? json_object(status, "adoption") : NULL;
}

const char *diff_told_revision(const struct diff_application *application)
{
    const char *held = application->verb->adopts
                           ? json_string(diff_adoption(application->object), "revision")
                           : NULL;
    return held ? held : json_string_path(application->object, "status.lastAttemptedRevision");
}

static void diff_application(struct diff_verb *verb, const cJSON *object)
{
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    struct error error = {0};
    struct diff_application application = {
        .verb = verb,
        .object = object,
        .namespace_ = text_or_empty(json_string_path(object, "metadata.namespace")),
        .name = text_or_empty(json_string_path(object, "metadata.name")),
        .plaintext = json_new_array(),
        .leaving = json_new_array(),
        .guarded = !text_equal(json_string_path(object, "spec.protection"), "Off"),
    };
    application_spec_read(object, &application.spec);
    if (diff_read_manifests(&application, &error)) {
        for (size_t i = 0; i < application.desired->count; i++) {
            diff_declared(&application, &application.desired->objects[i]);
        }
        if (verb->adopts) {
            verb->shown = mem_string(diff_told_revision(&application));
            verb->list = mem_string(json_string(diff_adoption(object), "list"));
        } else {
            diff_pruned(&application);
        }
    } else {
        diff_complain(verb, arena_format(&arena, "application %s", application.name), &error);
    }
    desired_free(application.desired);
    json_free(application.plaintext);
    json_free(application.leaving);
    free(application.revision);
    application_spec_release(&application.spec);
}

static int diff_sum_up(const struct diff_verb *verb)
{
    if (verb->foretold) {
        fprintf(stderr,
                "Some of it is foretold, not asked of the server: what that sets by default "
                "is not in it.\n");
    }
    size_t total = verb->made + verb->changed + verb->deleted + verb->kept;
    if (verb->adopts) {
        bool tells = verb->shown && !verb->path;
        bool held = tells && verb->list && verb->foreign > 0;
        fprintf(stderr, "%zu objects exist already and are not the application's%s%s%s%s.\n",
                verb->foreign, tells ? ", at " : "", tells ? verb->shown : "",
                held ? ", list " : "", held ? verb->list : "");
        total = verb->foreign;
    } else if (total > 0) {
        fprintf(stderr, "A reconcile would make %zu, change %zu and delete %zu objects", verb->made,
                verb->changed, verb->deleted);
        if (verb->kept > 0) {
            fprintf(stderr, ", and no longer manage %zu that stay", verb->kept);
        }
        fprintf(stderr, ".\n");
    }
    return verb->trouble ? DIFF_TROUBLE : total > 0 ? DIFF_SOME : DIFF_NONE;
}

static void diff_take_groups(struct diff_verb *verb)
{
    const cJSON *groups = json_array(verb->who, "groups");
    size_t count = 0;
    verb->groups = mem_new(json_size(groups) + 1, sizeof *verb->groups);
    for (const cJSON *item = json_first(groups); item; item = item->next) {
        /* The server adds that one by itself, and one need not be allowed to. */
        if (cJSON_IsString(item) && strcmp(item->valuestring, "system:authenticated") != 0) {
            verb->groups[count++] = item->valuestring;
        }
    }
}

static bool diff_read_generators(struct diff_verb *verb, struct error *error)
{
    return !verb->generators_file ||
           generators_read(verb->generators_file, &verb->generators, error) ||
           error_prefix(error, "--generators");
}

int diff_run(struct diff_verb *verb, const char *name)
{
    struct error error = {0};
    AUTO_JSON cJSON *answer = NULL;
    managers_add(&verb->people, verb->take_over);
    if (!keys_read(&verb->decrypt_keys, &verb->decryption, &error) ||
        !diff_read_generators(verb, &error) || !cluster_open(&verb->cluster, &error) ||
        !cluster_get(&verb->cluster, &cluster_applications, verb->cluster.namespace_, name, &answer,
                     &error) ||
        !kube_discovery_load_wait(verb->cluster.client, &verb->discovery, &error) ||
        !cluster_version(&verb->cluster, &verb->kube_version, &error)) {
        verb->trouble = true;
        return cli_fail(verb->word, DIFF_TROUBLE, &error);
    }
    verb->api_versions = charts_describe_apis(verb->discovery);
    verb->who = cluster_who(&verb->cluster);
    diff_take_groups(verb);
    const cJSON *object = name ? answer : json_first(json_get(answer, "items"));
    if (!object) {
        fprintf(stderr, "There are no applications in namespace %s.\n", verb->cluster.namespace_);
    }
    for (; object; object = name ? NULL : object->next) {
        diff_application(verb, object);
    }
    return diff_sum_up(verb);
}

void diff_close(struct diff_verb *verb)
{
    managers_release(&verb->people);
    kube_discovery_free(verb->discovery);
    json_free(verb->who);
    json_free(verb->decryption);
    json_free(verb->generators);
    free(verb->decrypt_keys.items);
    free(verb->groups);
    free(verb->kube_version);
    free(verb->shown);
    free(verb->list);
    free(verb->api_versions);
    cluster_close(&verb->cluster);
}

/* ---- The verb ---- */

enum diff_colour { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

static bool diff_is_coloured(unsigned colour)
{
    return colour == COLOUR_ALWAYS ||
           (colour == COLOUR_AUTO && isatty(STDOUT_FILENO) && text_is_empty(getenv("NO_COLOR")));
}

static bool diff_check(struct diff_verb *verb, const char **operands, const char **ret_name,
                       struct error *error)
{
    *ret_name = NULL;
    if (operands[0] && !cluster_parse_application(operands[0], ret_name, error)) {
        return false;
    }
    if (verb->path && (verb->revision || !operands[0])) {
        return error_set(error, ERROR_INVALID,
                         "--path is the directory of one application, and excludes --revision");
    }
    return true;
}

int cli_diff(int argc, char **argv)
{
    struct diff_verb verb = {.word = "diff", DIFF_DEFAULTS};
    unsigned colour = COLOUR_AUTO;
    const char *name = NULL;
    const struct option table[] = {
        {"revision", 0, OPTION_TEXT, &verb.revision, "REVISION",
         "A commit, branch or tag of the clone; of a HelmRepository's chart, a version. Default: "
         "the "
         "one that the application is at."},
        {"color", 0, OPTION_CHOICE, &colour, "auto|always|never", "Default: auto."},
        DIFF_OPTIONS(verb),
        {0},
    };
    const struct option_set set = {
        "diff [APPLICATION] [OPTIONS]",
        "Shows what a reconcile would change in the cluster, as a unified diff; what it would\n"
        "delete is shown as deleted, what it would keep though it has left Git is named. Values of "
        "Secrets, and what was decrypted, are masked. "
        "Nothing\n"
        "is changed.",
        "0: nothing would change; 1: something would; 2: it cannot be told.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 0, 1, &operands, &status)) {
        return status;
    }
    verb.colour = diff_is_coloured(colour);
    status = diff_check(&verb, operands, &name, &error) ? diff_run(&verb, name)
                                                        : cli_fail("diff", DIFF_TROUBLE, &error);
    diff_close(&verb);
    return status;
}
