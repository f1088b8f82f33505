#include "differ/charts.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/log.h"
#include "differ/application.h"

#define API_VERSIONS_MAXIMUM ((size_t)4 << 20) /* 50,000 kinds of 80 characters */

void charts_take_version(struct differ *differ, const struct kube_response *response)
{
    AUTO_JSON cJSON *body = NULL;
    struct error error = response->error;
    if (response->ok && json_parse(response->body, response->size, NULL, &body, &error) &&
        json_string(body, "gitVersion")) {
        free(differ->kube_version);
        differ->kube_version = mem_string(json_string(body, "gitVersion"));
    } else {
        log_warn("the version of the cluster cannot be read", "error", error.message);
    }
}

/* As Helm has them in .Capabilities.APIVersions: group versions, and these with their kinds. */
static void describe_resource(const struct kube_resource *resource, void *context)
{
    struct map *names = context;
    AUTO_FREE char *group_version = *resource->group
                                        ? mem_format("%s/%s", resource->group, resource->version)
                                        : mem_string(resource->version);
    AUTO_FREE char *kind = mem_format("%s/%s", group_version, resource->kind);
    map_set(names, group_version, names);
    map_set(names, kind, names);
}

char *charts_describe_apis(const struct kube_discovery *discovery)
{
    struct map names;
    AUTO_BUF struct buf text;
    map_init(&names);
    buf_init(&text, API_VERSIONS_MAXIMUM);
    kube_discovery_each(discovery, describe_resource, &names);
    AUTO_FREE const char **sorted = map_sorted_keys(&names);
    for (size_t i = 0; i < names.count; i++) {
        buf_append_format(&text, "%s%s", i ? "," : "", sorted[i]);
    }
    map_release(&names, NULL);
    return buf_detach(&text);
}

void charts_discovered(struct differ *differ)
{
    AUTO_FREE char *apis = charts_describe_apis(differ->discovery);
    AUTO_FREE char *now = mem_format("%s %s", text_or_empty(differ->kube_version), apis);
    if (text_equal(now, differ->chart_capabilities)) {
        return;
    }
    free(differ->chart_capabilities);
    free(differ->api_versions);
    differ->chart_capabilities = mem_string(now);
    differ->api_versions = mem_string(apis);
    for (struct map_slot *slot = map_first(&differ->applications); slot;
         slot = map_next(&differ->applications, slot)) {
        struct application *application = slot->value;
        application->needs_render |= application->is_chart;
    }
}

void charts_describe(const struct differ *differ, cJSON *request)
{
    json_add_string(request, "kubeVersion", differ->kube_version);
    json_add_string(request, "apiVersions", differ->api_versions);
}
