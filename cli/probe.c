#include "cli/probe.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/client.h"

#include <string.h>

#define TIMEOUT_MS 3000

/* ARCHITECTURE.md, "Links". */
static const struct {
    const char *process;
    const char *links[4];
} links_of[] = {
    {"fetcher", {"fetcher-differ"}},
    {"differ", {"fetcher-differ", "differ-applier", "admission-differ"}},
    {"applier", {"differ-applier"}},
    {"admission", {"admission-differ"}},
};

/* ---- The verdict ---- */

/* How many peers are up on a link by the metrics; -1: they tell nothing of it. */
static long count_peers(const char *metrics, const char *link)
{
    AUTO_FREE char *series = mem_format("gitmoor_bus_peers{link=\"%s\",state=\"up\"} ", link);
    const char *found = strstr(metrics, series);
    return found ? strtol(found + strlen(series), NULL, 10) : -1;
}

static bool judge_link(const char *link, const char *metrics, struct buf *told)
{
    long peers = count_peers(metrics, link);
    if (peers > 0) {
        buf_append_format(told, ", %ld peer%s on %s", peers, peers == 1 ? "" : "s", link);
        return true;
    }
    buf_append_format(told, ", NO peer on %s", link);
    return false;
}

bool probe_judge(const char *process, const char *ready, const char *metrics, struct buf *told)
{
    if (!ready || !metrics) {
        buf_append_string(told, "does not answer at its port of metrics");
        return false;
    }
    bool ok = text_has_prefix(ready, "ok");
    buf_append_format(told, "%.*s", ok ? 5 : (int)strcspn(ready, "\n"), ok ? "ready" : ready);
    for (size_t i = 0; i < sizeof links_of / sizeof links_of[0]; i++) {
        for (const char *const *link = links_of[i].links;
             text_equal(links_of[i].process, process) && *link; link++) {
            ok &= judge_link(*link, metrics, told);
        }
    }
    return ok;
}

/* ---- The question ---- */

struct page {
    struct event_base *loop;
    char *text; /* NULL: no answer */
    bool done;
};

static void on_page(const struct kube_response *response, void *context)
{
    struct page *page = context;
    /* 503 is an answer too: it says what is not ready. */
    page->text = response->status > 0 ? mem_string_n(response->body, response->size) : NULL;
    page->done = true;
    event_base_loopbreak(page->loop);
}

static char *read_page(struct event_base *loop, struct kube_client *client, const char *path)
{
    struct page page = {.loop = loop};
    const struct kube_request request = {
        .method = KUBE_GET, .path = path, .timeout_ms = TIMEOUT_MS, .no_retry = true};
    struct kube_call *call = kube_client_call(client, &request, on_page, &page);
    event_base_dispatch(loop);
    if (!page.done) {
        kube_call_cancel(call);
    }
    return page.text;
}

bool probe_process(struct event_base *loop, const struct probe_target *target, struct buf *told)
{
    bool is_ipv6 = strchr(target->address, ':') != NULL;
    struct kube_config *config = NEW(struct kube_config);
    config->server =
        mem_format(is_ipv6 ? "http://[%s]:%u" : "http://%s:%u", target->address, target->port);
    config->namespace_ = mem_string("default");
    const struct kube_client_options options = {.user_agent = "gitmoor/" GITMOOR_VERSION};
    struct error error;
    struct kube_client *client = kube_client_new(loop, config, &options, &error);
    if (!client) {
        buf_append_string(told, error.message);
        return false;
    }
    AUTO_FREE char *ready = read_page(loop, client, "/readyz");
    AUTO_FREE char *metrics = ready ? read_page(loop, client, "/metrics") : NULL;
    kube_client_free(client);
    return probe_judge(target->process, ready, metrics, told);
}
