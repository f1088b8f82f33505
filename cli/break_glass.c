/* gitmoor break-glass: suspends the repairs of an application for a time, and says how an edit is
 * then made. What it needs is the right to write the Application; the edit itself needs the right
 * to impersonate the group. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/quote.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

#define TIME_MAXIMUM_MS ((int64_t)24 * 3600 * 1000)
#define SERVICE_ACCOUNT "system:serviceaccount:"

struct break_glass_verb {
    struct cluster cluster;
    struct cluster_target target;
    const char *object; /* "deployment/web", or NULL */
    const char *reason;
    const char *time; /* for how long */
    int64_t time_ms;
    bool end;
};

/* ---- Who is asking, and as whom they may act ---- */

static bool break_glass_may_act_as(struct cluster *cluster, const char *resource,
                                   const char *namespace_, const char *name)
{
    AUTO_JSON cJSON *body = json_new_object();
    AUTO_JSON cJSON *answer = NULL;
    json_add_string(body, "apiVersion", "authorization.k8s.io/v1");
    json_add_string(body, "kind", "SelfSubjectAccessReview");
    cJSON *attributes = json_add_object(json_add_object(body, "spec"), "resourceAttributes");
    json_add_string(attributes, "verb", "impersonate");
    json_add_string(attributes, "resource", resource);
    json_add_string(attributes, "namespace", namespace_);
    json_add_string(attributes, "name", name);
    return cluster_ask(cluster, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body,
                       &answer) &&
           json_bool(json_object(answer, "status"), "allowed", false);
}

static bool break_glass_may_be(struct cluster *cluster, const char *user)
{
    if (!text_has_prefix(user, SERVICE_ACCOUNT)) {
        return break_glass_may_act_as(cluster, "users", NULL, user);
    }
    const char *namespace_ = user + strlen(SERVICE_ACCOUNT);
    const char *colon = strchr(namespace_, ':');
    AUTO_FREE char *space = mem_string_n(namespace_, colon ? (size_t)(colon - namespace_) : 0);
    return colon && break_glass_may_act_as(cluster, "serviceaccounts", space, colon + 1);
}

/* ---- The next steps ---- */

/* "kubectl --as=anna --as-group=gitmoor:break-glass": one's own groups too, since impersonation
 * takes them away, as far as one may have them. */
static void break_glass_append_kubectl(struct cluster *cluster, const cJSON *who, struct buf *out)
{
    const char *user = json_string(who, "username");
    buf_append_string(out, "kubectl");
    quote_option(out, "kubeconfig", cluster->kubeconfig);
    quote_option(out, "context", cluster->context);
    quote_option(out, "as", user ? user : "YOU");
    for (const cJSON *item = json_first(json_array(who, "groups")); item; item = item->next) {
        if (cJSON_IsString(item) && strcmp(item->valuestring, "system:authenticated") != 0 &&
            strcmp(item->valuestring, GITMOOR_BREAK_GLASS_GROUP) != 0 &&
            break_glass_may_act_as(cluster, "groups", NULL, item->valuestring)) {
            quote_option(out, "as-group", item->valuestring);
        }
    }
    quote_option(out, "as-group", GITMOOR_BREAK_GLASS_GROUP);
}

static void break_glass_warn(struct cluster *cluster, const cJSON *who)
{
    const char *user = json_string(who, "username");
    if (!break_glass_may_act_as(cluster, "groups", NULL, GITMOOR_BREAK_GLASS_GROUP)) {
        fprintf(stderr,
                "You may not impersonate the group " GITMOOR_BREAK_GLASS_GROUP
                ", so admission will refuse the edit: have the\nClusterRole gitmoor-break-glass "
                "bound to you.\n");
    }
    if (user && !break_glass_may_be(cluster, user)) {
        fprintf(stderr,
                "You may not impersonate yourself (%s), which kubectl --as-group needs: see "
                "docs/break-glass.md.\n",
                user);
    }
}

static void break_glass_print_steps(const struct break_glass_verb *verb)
{
    const char *namespace_ = verb->cluster.namespace_;
    const char *object = verb->object ? verb->object : "KIND/NAME";
    AUTO_JSON cJSON *who = cluster_who((struct cluster *)&verb->cluster);
    AUTO_BUF struct buf kubectl;
    AUTO_BUF struct buf rest;
    buf_init(&kubectl, 65536);
    buf_init(&rest, 65536);
    break_glass_warn((struct cluster *)&verb->cluster, who);
    break_glass_append_kubectl((struct cluster *)&verb->cluster, who, &kubectl);
    buf_append_string(&rest, " -n ");
    quote_shell(&rest, namespace_);
    printf("# Say why on the object, then edit, scale or delete it:\n%s annotate --overwrite "
           "%s%s " GITMOOR_BREAK_GLASS_ANNOTATION "=",
           kubectl.data, object, rest.data);
    AUTO_BUF struct buf reason;
    buf_init(&reason, 65536);
    quote_shell(&reason, verb->reason);
    printf("%s\n%s edit %s%s\n", reason.data, kubectl.data, object, rest.data);
    printf("# Bring it into Git; then let repairs go on, before the time is over or after:\n");
    printf("%s annotate %s%s " GITMOOR_BREAK_GLASS_ANNOTATION "-\n", kubectl.data, object,
           rest.data);
    printf("gitmoor break-glass %s%s --end\n", verb->target.name, rest.data);
}

/* ---- Asking for it ---- */

static cJSON *break_glass_patch(const struct break_glass_verb *verb, const char *until,
                                const cJSON *who)
{
    cJSON *patch = json_new_object();
    cJSON *spec = json_add_object(patch, "spec");
    if (verb->end) {
        json_add(spec, "breakGlass", json_new_null());
        return patch;
    }
    cJSON *glass = json_add_object(spec, "breakGlass");
    json_add_string(glass, "until", until);
    json_add_string(glass, "reason", verb->reason);
    const char *user = json_string(who, "username");
    json_add(glass, "by", user ? json_new_string(user) : json_new_null());
    return patch;
}

static int break_glass_run(struct break_glass_verb *verb)
{
    struct cluster *cluster = &verb->cluster;
    struct error error = {0};
    char until[CLOCK_RFC3339_SIZE];
    if (!cluster_open(cluster, &error)) {
        return cli_fail("break-glass", CLI_USAGE, &error);
    }
    AUTO_JSON cJSON *who = verb->end ? NULL : cluster_who(cluster);
    clock_format_rfc3339(clock_wall_ms() + verb->time_ms + 999, until); /* to the second, upwards */
    if (!cluster_patch(cluster, &verb->target, break_glass_patch(verb, until, who), NULL, &error)) {
        return cluster_fail("break-glass", &error);
    }
    AUTO_FREE char *what = cluster_describe(cluster, &verb->target);
    if (verb->end) {
        fprintf(stderr, "%s: repairs go on\n", what);
        return CLI_OK;
    }
    fprintf(stderr,
            "%s: repairs are suspended until %s; commits are applied as before\n"
            "(gitmoor suspend stops these too).\n",
            what, until);
    break_glass_print_steps(verb);
    return CLI_OK;
}

static bool break_glass_check(struct break_glass_verb *verb, const char **operands,
                              struct error *error)
{
    if (!cluster_parse_target(operands[0], &verb->target, error)) {
        return false;
    }
    verb->object = operands[1];
    if (verb->target.kind != &cluster_applications) {
        return error_set(error, ERROR_INVALID, "%s is no application: nothing of it is repaired",
                         operands[0]);
    }
    if (verb->end) {
        return !verb->reason || error_set(error, ERROR_INVALID,
                                          "--end and --reason exclude each "
                                          "other");
    }
    if (!verb->reason || verb->reason[strspn(verb->reason, " \t\r\n")] == '\0') {
        return error_set(error, ERROR_INVALID,
                         "--reason TEXT is needed: those who read the status, the Events and the "
                         "audit log want to know why");
    }
    if (!text_parse_duration(verb->time, &verb->time_ms) || verb->time_ms < 1000 ||
        verb->time_ms > TIME_MAXIMUM_MS) {
        return error_set(error, ERROR_INVALID,
                         "--for is a duration from 1s to 24h, such as 30m or 2h, not %s",
                         verb->time);
    }
    return true;
}

int cli_break_glass(int argc, char **argv)
{
    struct break_glass_verb verb = {.time = "1h"};
    const struct option table[] = {
        {"reason", 0, OPTION_TEXT, &verb.reason, "TEXT", "Why; needed."},
        {"for", 0, OPTION_TEXT, &verb.time, "DURATION", "For how long, at most 24h. Default: 1h."},
        {"end", 0, OPTION_FLAG, &verb.end, NULL, "Let repairs go on now."},
        CLUSTER_OPTIONS(verb.cluster),
        {0},
    };
    const struct option_set set = {
        "break-glass APPLICATION [KIND/NAME] --reason TEXT [--for 1h] | --end [OPTIONS]",
        "For emergencies: suspends the repairs of an application for a time, after which they go\n"
        "on by themselves, and prints the commands with which an object is then edited.",
        "0: done; 1: it does not exist, or the cluster refused; 2: the command line or the\n"
        "kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 1, 2, &operands, &status)) {
        return status;
    }
    if (!break_glass_check(&verb, operands, &error)) {
        return cli_fail("break-glass", CLI_USAGE, &error);
    }
    status = break_glass_run(&verb);
    cluster_close(&verb.cluster);
    return status;
}
