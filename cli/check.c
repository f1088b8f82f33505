/* gitmoor check: whether an installation works. It looks at each process, at the links between
 * them, and, in a namespace where it may try things, at what comes of an edit that admission must
 * refuse and of objects that fetcher and differ must see. */
#include "cli/cli.h"
#include "cli/cluster.h"
#include "cli/options.h"
#include "cli/probe.h"
#include "cli/table.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"

#include <string.h>

#define PODS_QUERY "?labelSelector=app.kubernetes.io%2Fname%3Dgitmoor"
#define TRIED_NAME "gitmoor-check"
#define PAUSE_MS 200

struct check {
    struct cluster cluster;
    const char *try_in; /* namespace; NULL: nothing is tried */
    int64_t deadline;   /* monotonic ms */
    bool failed;
};

static void tell(struct check *check, bool ok, const char *what, const char *why)
{
    AUTO_FREE char *line = mem_format("%s  %s: %s", ok ? "ok  " : "FAIL", what, why);
    table_print_text(line, 6, stdout);
    putchar('\n');
    check->failed |= !ok;
}

static void pause_a_little(struct check *check)
{
    const struct timeval pause = {.tv_usec = PAUSE_MS * 1000};
    event_base_loopexit(check->cluster.loop, &pause);
    event_base_dispatch(check->cluster.loop);
}

static bool time_is_left(const struct check *check)
{
    return clock_monotonic_ms() < check->deadline;
}

/* ---- The processes ---- */

static unsigned port_of(const cJSON *container)
{
    const cJSON *port = json_first(json_array(container, "ports"));
    for (; port; port = port->next) {
        if (text_has_prefix(json_string(port, "name"), "http-")) {
            return (unsigned)json_int(port, "containerPort", 0);
        }
    }
    return 0;
}

/* Until it is as it should be, or the time is over. */
static void check_process(struct check *check, const cJSON *pod, const cJSON *container)
{
    struct probe_target target = {.process = json_string(container, "name"),
                                  .address = json_string_path(pod, "status.podIP"),
                                  .port = port_of(container)};
    if (!target.process || !target.port) {
        return; /* not one of ours */
    }
    AUTO_FREE char *what = mem_format("%s in Pod %s", target.process,
                                      text_or_empty(json_string_path(pod, "metadata.name")));
    AUTO_BUF struct buf told;
    buf_init(&told, 4096);
    bool ok;
    for (;;) {
        buf_clear(&told);
        ok = target.address ? probe_process(check->cluster.loop, &target, &told)
                            : !buf_append_string(&told, "the Pod has no address yet");
        if (ok || !time_is_left(check)) {
            break;
        }
        pause_a_little(check);
    }
    tell(check, ok, what, told.data);
}

static bool is_running(const cJSON *pod)
{
    return text_equal(json_string_path(pod, "status.phase"), "Running") &&
           !json_get_path(pod, "metadata.deletionTimestamp");
}

static bool check_processes(struct check *check, struct error *error)
{
    AUTO_FREE char *path =
        mem_format("/api/v1/namespaces/%s/pods%s", check->cluster.namespace_, PODS_QUERY);
    const struct kube_request request = {.method = KUBE_GET, .path = path};
    AUTO_JSON cJSON *pods = NULL;
    if (!kube_client_call_wait(check->cluster.client, &request, &pods, error)) {
        return error_prefix(error, "cannot list the Pods of namespace %s",
                            check->cluster.namespace_);
    }
    size_t running = 0;
    for (const cJSON *pod = json_first(json_get(pods, "items")); pod; pod = pod->next) {
        if (!is_running(pod)) {
            continue;
        }
        const cJSON *container = json_first(json_get_path(pod, "spec.containers"));
        for (; container; container = container->next) {
            check_process(check, pod, container);
            running += port_of(container) != 0;
        }
    }
    if (running == 0) {
        AUTO_FREE char *why = mem_format("none runs in namespace %s: --namespace names that of the "
                                         "installation",
                                         check->cluster.namespace_);
        tell(check, false, "processes", why);
    }
    return true;
}

/* ---- Admission ---- */

static bool create(struct check *check, const char *path, const cJSON *object, struct error *error)
{
    AUTO_BUF struct buf body;
    buf_init(&body, 4096);
    json_write(object, &body);
    const struct kube_request request = {
        .method = KUBE_POST, .path = path, .body = body.data, .body_size = body.size};
    AUTO_JSON cJSON *answer = NULL;
    return kube_client_call_wait(check->cluster.client, &request, &answer, error);
}

/* A dry-run of a ConfigMap that claims to be an application's, or of one that does not. */
static bool try_config_map(struct check *check, bool claims, struct error *error)
{
    AUTO_FREE char *path = mem_format("/api/v1/namespaces/%s/configmaps?dryRun=All", check->try_in);
    AUTO_JSON cJSON *object = json_new_object();
    json_add_string(object, "apiVersion", "v1");
    json_add_string(object, "kind", "ConfigMap");
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "name", TRIED_NAME);
    if (claims) {
        json_add_string(json_add_object(metadata, "labels"), GITMOOR_LABEL, "forged.by-check");
    }
    return create(check, path, object, error);
}

static void check_admission(struct check *check)
{
    struct error error = {0};
    if (!try_config_map(check, false, &error)) {
        AUTO_FREE char *why =
            mem_format("an edit that is nobody's concern is refused: %s", error.message);
        tell(check, false, "admission", why);
        return;
    }
    bool passed = try_config_map(check, true, &error);
    while (passed && time_is_left(check)) { /* the webhook is registered once it answers */
        pause_a_little(check);
        passed = try_config_map(check, true, &error);
    }
    if (passed) {
        tell(check, false, "admission",
             "lets an edit pass that it must refuse: is its webhook configuration there?");
    } else if (!strstr(error.message, "denied the request")) {
        tell(check, false, "admission", error.message);
    } else {
        tell(check, true, "admission",
             "lets pass what is nobody's concern, refuses a forged label");
    }
}

/* ---- What fetcher and differ make of objects ---- */

static char *tried_path(const struct check *check, const struct kube_resource *kind,
                        const char *name)
{
    AUTO_BUF struct buf path;
    buf_init(&path, 4096);
    kube_resource_path(kind, check->try_in, name, &path);
    return buf_detach(&path);
}

/* Suspended, so that nothing is fetched or applied; what is seen is that somebody writes a status.
 */
static cJSON *tried_object(const struct check *check, const struct kube_resource *kind)
{
    cJSON *object = json_new_object();
    json_add_string(object, "apiVersion", GITMOOR_API_VERSION);
    json_add_string(object, "kind", kind->kind);
    cJSON *metadata = json_add_object(object, "metadata");
    json_add_string(metadata, "name", TRIED_NAME);
    json_add_string(metadata, "namespace", check->try_in);
    cJSON *spec = json_add_object(object, "spec");
    json_add_bool(spec, "suspend", true);
    if (kind == &cluster_repositories) {
        json_add_string(spec, "url", "https://gitmoor-check.invalid/nothing.git");
    } else if (kind == &cluster_charts) {
        json_add_string(spec, "url", "https://gitmoor-check.invalid/charts");
        json_add_string(spec, "chart", TRIED_NAME);
    } else {
        json_add_string(json_add_object(spec, "source"), "repository", TRIED_NAME);
    }
    return object;
}

static void delete_tried(struct check *check, const struct kube_resource *kind)
{
    AUTO_FREE char *path = tried_path(check, kind, TRIED_NAME);
    const struct kube_request request = {.method = KUBE_DELETE, .path = path};
    AUTO_JSON cJSON *answer = NULL;
    kube_client_call_wait(check->cluster.client, &request, &answer, NULL);
}

static bool create_tried(struct check *check, const struct kube_resource *kind, struct error *error)
{
    AUTO_JSON cJSON *object = tried_object(check, kind);
    AUTO_FREE char *path = tried_path(check, kind, NULL);
    return create(check, path, object, error);
}

static bool is_observed(struct check *check, const struct kube_resource *kind, struct error *error)
{
    AUTO_JSON cJSON *object = NULL;
    if (!cluster_get(&check->cluster, kind, check->try_in, TRIED_NAME, &object, error)) {
        return false;
    }
    return json_int(json_object(object, "status"), "observedGeneration", 0) ==
               json_int(json_object(object, "metadata"), "generation", -1) ||
           error_set(error, ERROR_TIMEOUT, "it writes no status of a new %s: see its log",
                     kind->kind);
}

static void check_status(struct check *check, const struct kube_resource *kind, const char *who)
{
    struct error error = {0};
    delete_tried(check, kind); /* what a check before has left */
    bool ok = create_tried(check, kind, &error);
    while (ok && !is_observed(check, kind, &error)) {
        ok = time_is_left(check);
        pause_a_little(check);
    }
    delete_tried(check, kind);
    AUTO_FREE char *good = mem_format("writes the status of %s objects", kind->kind);
    tell(check, ok, who, ok ? good : error.message);
}

/* ---- The verb ---- */

static int run(struct check *check)
{
    struct error error = {0};
    if (!cluster_open(&check->cluster, &error)) {
        return cli_fail("check", CLI_USAGE, &error);
    }
    if (!check_processes(check, &error)) {
        return cluster_fail("check", &error);
    }
    if (check->try_in) {
        check_admission(check);
        check_status(check, &cluster_repositories, "fetcher");
        check_status(check, &cluster_charts, "fetcher");
        check_status(check, &cluster_applications, "differ");
    }
    return check->failed ? CLI_NO : CLI_OK;
}

int cli_check(int argc, char **argv)
{
    struct check check = {0};
    const char *timeout = "30s";
    const struct option table[] = {
        {"try-in", 0, OPTION_TEXT, &check.try_in, "NAMESPACE",
         "Try there what admission, fetcher and differ do: a dry-run, and three suspended "
         "objects."},
        {"timeout", 0, OPTION_TEXT, &timeout, "DURATION",
         "How long to wait for all to be well. Default: 30s."},
        CLUSTER_OPTIONS(check.cluster),
        {0},
    };
    const struct option_set set = {
        "check [OPTIONS]",
        "Tells whether the installation in a namespace works: that each process is ready, that\n"
        "their links are up, and with --try-in that what they are there for happens.",
        "0: all is well; 1: something is not, or the cluster refused; 2: the command line or the\n"
        "kubeconfig is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int64_t timeout_ms;
    int status;
    if (!options_start(&set, argc, argv, 0, 0, &operands, &status)) {
        return status;
    }
    if (!text_parse_duration(timeout, &timeout_ms)) {
        error_set(&error, ERROR_INVALID, "--timeout is a duration such as 30s or 5m, not %s",
                  timeout);
        return cli_fail("check", CLI_USAGE, &error);
    }
    check.deadline = clock_monotonic_ms() + timeout_ms;
    status = run(&check);
    cluster_close(&check.cluster);
    return status;
}
