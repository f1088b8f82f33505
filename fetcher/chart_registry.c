/* Charts in an OCI registry, as `helm push` puts them there: a tag for each version, a manifest,
 * and the packed chart as its one layer of Helm's type (OCI distribution specification 1.1). */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "fetcher/chart_internal.h"
#include "fetcher/transport_curl.h"

#include <string.h>
#include <strings.h>

#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"
#define LAYER_TYPE "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
/* Registries refuse manifests over 4 MiB. */
#define ANSWER_MAXIMUM ((size_t)4 << 20)
#define TOKEN_MAXIMUM ((size_t)64 << 10)
#define PAGES_MAXIMUM 100
#define PAGE_QUERY "?n=1000"

struct registry {
    struct charts *charts;
    char *base; /* https://HOST/v2/PATH/CHART */
    char *token;
    struct buf tags; /* each ended by a NUL; the versions point into it */
};

/* ---- Tokens ---- */

/* The value of name="…" in a challenge; to be freed. */
static char *parameter(const char *challenge, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = challenge; (at = strstr(at, name)); at += length) {
        bool begins = at == challenge || at[-1] == ' ' || at[-1] == ',';
        if (begins && at[length] == '=' && at[length + 1] == '"') {
            const char *value = at + length + 2;
            return mem_string_n(value, strcspn(value, "\""));
        }
    }
    return NULL;
}

static void add_parameter(struct buf *url, const char *name, const char *value)
{
    if (value) {
        buf_append_format(url, "%c%s=", strchr(url->data, '?') ? '&' : '?', name);
        buf_append_percent(url, value);
    }
}

static bool take_token(struct registry *registry, const struct buf *text, const char *realm)
{
    struct error error;
    cJSON *answer AUTO_JSON = NULL;
    json_parse(text->data, text->size, NULL, &answer, &error);
    const char *token = json_string(answer, "token");
    token = token ? token : json_string(answer, "access_token");
    if (text_is_empty(token) || strpbrk(token, "\r\n")) {
        return chart_fail(registry->charts, FETCH_AUTHENTICATION_FAILED, ERROR_DENIED,
                          "%s, which %s names for tokens, gave none", realm,
                          registry->charts->request->url);
    }
    free(registry->token);
    registry->token = mem_string(token);
    return true;
}

/* Where the registry sends us for a token, the credentials go too: that is how registries do it. */
static bool get_token(struct registry *registry, const char *challenge)
{
    struct charts *charts = registry->charts;
    AUTO_FREE char *realm = parameter(challenge, "realm");
    AUTO_FREE char *service = parameter(challenge, "service");
    AUTO_FREE char *scope = parameter(challenge, "scope");
    struct buf url AUTO_BUF;
    buf_init(&url, 8192);
    buf_append_string(&url, text_or_empty(realm));
    add_parameter(&url, "service", service);
    add_parameter(&url, "scope", scope);
    if (!text_has_prefix(realm, "https://") || url.overflowed) {
        return chart_fail(charts, FETCH_AUTHENTICATION_FAILED, ERROR_DENIED,
                          "%s names nothing that begins with https:// to get a token from: %.200s",
                          charts->request->url, text_or_empty(realm));
    }
    struct download download AUTO_DOWNLOAD = {
        .url = url.data, .what = "the token", .maximum = TOKEN_MAXIMUM, .own_credentials = true};
    return download_run(charts->downloads, &download) ? take_token(registry, &download.body, realm)
                                                      : chart_fail_transport(charts);
}

/* ---- Questions ---- */

static bool ask_once(struct registry *registry, const char *url, const char *what,
                     struct download *ret)
{
    *ret = (struct download){.url = url,
                             .accept = MANIFEST_TYPE ", application/json",
                             .what = what,
                             .maximum = ANSWER_MAXIMUM,
                             .token = registry->token,
                             .statuses = true};
    return download_run(registry->charts->downloads, ret) || chart_fail_transport(registry->charts);
}

/* The answer is 200 or 404; a token is got where one is wanted. */
static bool ask(struct registry *registry, const char *url, const char *what, struct download *ret)
{
    struct charts *charts = registry->charts;
    if (!ask_once(registry, url, what, ret)) {
        return false;
    }
    if (ret->status == 401 && ret->challenge && strncasecmp(ret->challenge, "Bearer ", 7) == 0) {
        AUTO_FREE char *challenge = mem_string(ret->challenge);
        download_release(ret);
        *ret = (struct download){0};
        if (!get_token(registry, challenge) || !ask_once(registry, url, what, ret)) {
            return false;
        }
    }
    if (ret->status == 401) {
        transport_curl_fail_status(&charts->transport, charts->request->url, 401, 0, "registry");
        return chart_fail_transport(charts);
    }
    return true;
}

static bool parse(struct registry *registry, const struct download *download, cJSON **ret)
{
    struct error error;
    return json_parse(download->body.data, download->body.size, NULL, ret, &error) ||
           chart_fail(registry->charts, FETCH_INVALID_INDEX, ERROR_INVALID,
                      "%s is no answer of a registry: %s. Check spec.url", download->url,
                      error.message);
}

/* ---- Tags ---- */

static void add_tags(struct registry *registry, const cJSON *list)
{
    for (const cJSON *tag = json_first(list); tag; tag = tag->next) {
        if (cJSON_IsString(tag) && strlen(tag->valuestring) <= SEMVER_TEXT_MAXIMUM) {
            buf_append(&registry->tags, tag->valuestring, strlen(tag->valuestring) + 1);
        }
    }
}

/* Reads one page; *ret_next is that of the next, or NULL. */
static bool read_page(struct registry *registry, const char *url, char **ret_next)
{
    struct charts *charts = registry->charts;
    struct download download AUTO_DOWNLOAD = {0};
    cJSON *page AUTO_JSON = NULL;
    if (!ask(registry, url, "the list of versions", &download)) {
        return false;
    }
    if (download.status == 404) {
        return chart_fail(charts, FETCH_CHART_NOT_FOUND, ERROR_NOT_FOUND,
                          "%s has no chart %s, or the credentials may not see it. Check spec.url "
                          "and spec.chart",
                          charts->request->url, charts->request->chart);
    }
    if (!parse(registry, &download, &page)) {
        return false;
    }
    add_tags(registry, json_array(page, "tags"));
    char *next = download.next ? transport_curl_resolve(url, download.next) : NULL;
    bool is_ours = next && transport_curl_same_server(url, next);
    *ret_next = is_ours ? next : NULL;
    if (!is_ours) {
        free(next);
    }
    return true;
}

static bool list_tags(struct registry *registry)
{
    char *url = mem_format("%s/tags/list" PAGE_QUERY, registry->base);
    bool read = true;
    for (unsigned pages = 0; read && url; pages++) {
        char *next = NULL;
        read = read_page(registry, url, &next);
        free(url);
        url = next;
        if (pages == PAGES_MAXIMUM || registry->tags.overflowed) {
            read = chart_fail(registry->charts, FETCH_TOO_LARGE, ERROR_LIMIT,
                              "%s has more versions of %s than the fetcher takes. Name one in "
                              "spec.version",
                              registry->charts->request->url, registry->charts->request->chart);
        }
    }
    free(url);
    return read;
}

/* A tag holds no "+"; Helm writes "_" there. */
static void swap(char *text, char from, char to)
{
    for (; *text; text++) {
        *text = *text == from ? to : *text;
    }
}

static bool choose_version(struct registry *registry, char **ret)
{
    struct charts *charts = registry->charts;
    struct versions versions AUTO_VERSIONS = {0};
    if (!list_tags(registry)) {
        return false;
    }
    char *tags = registry->tags.data, *end = tags + registry->tags.size;
    for (char *tag = tags; tag < end; tag += strlen(tag) + 1) {
        swap(tag, '_', '+');
        versions_add(&versions, tag, NULL);
    }
    const struct version *highest = versions_highest(&versions, charts->range);
    if (!highest) {
        return chart_fail_version(charts, &versions, charts->request->url);
    }
    *ret = mem_string(highest->text);
    return true;
}

/* ---- The manifest ---- */

static bool read_manifest(struct registry *registry, const struct download *download,
                          struct chart_choice *ret)
{
    struct charts *charts = registry->charts;
    cJSON *manifest AUTO_JSON = NULL;
    if (!parse(registry, download, &manifest)) {
        return false;
    }
    const char *digest = NULL;
    for (const cJSON *layer = json_first(json_array(manifest, "layers")); layer;
         layer = layer->next) {
        if (text_equal(json_string(layer, "mediaType"), LAYER_TYPE)) {
            digest = json_string(layer, "digest");
        }
    }
    if (!text_has_prefix(digest, "sha256:") ||
        !digest_from_hex(digest + strlen("sha256:"), &ret->archive)) {
        return chart_fail(charts, FETCH_INVALID_CHART, ERROR_INVALID,
                          "%s is no Helm chart: its manifest has no layer of type " LAYER_TYPE
                          " with a digest sha256:…",
                          download->url);
    }
    digest_of(download->body.data, download->body.size, &ret->digest);
    ret->url = mem_format("%s/blobs/%s", registry->base, digest);
    return true;
}

/* *ret_found is false where there is no such version. */
static bool get_manifest(struct registry *registry, const char *version, struct chart_choice *ret,
                         bool *ret_found)
{
    struct download download AUTO_DOWNLOAD = {0};
    AUTO_FREE char *tag = mem_string(version);
    swap(tag, '+', '_');
    AUTO_FREE char *url = mem_format("%s/manifests/%s", registry->base, tag);
    if (!ask(registry, url, "the manifest", &download)) {
        return false;
    }
    *ret_found = download.status == 200;
    ret->version = *ret_found ? mem_string(version) : NULL;
    return !*ret_found || read_manifest(registry, &download, ret);
}

static bool choose(struct registry *registry, struct chart_choice *ret)
{
    const char *wanted = registry->charts->request->version;
    struct semver ignored;
    bool found = false;
    /* One version needs no list. */
    if (semver_parse(wanted, &ignored) && !get_manifest(registry, wanted, ret, &found)) {
        return false;
    }
    AUTO_FREE char *version = NULL;
    if (found) {
        return true;
    }
    if (!choose_version(registry, &version) || !get_manifest(registry, version, ret, &found)) {
        return false;
    }
    return found ||
           chart_fail(registry->charts, FETCH_VERSION_NOT_FOUND, ERROR_NOT_FOUND,
                      "%s lists version %s of %s, but has no manifest of it",
                      registry->charts->request->url, version, registry->charts->request->chart);
}

bool chart_registry_choose(struct charts *charts, struct chart_choice *ret)
{
    /* The transport's URL is the registry's, with https:// for oci://. */
    const char *url = charts->transport.url;
    const char *host = url + strlen("https://");
    size_t authority = strcspn(host, "/"), length = strlen(host);
    while (length > authority && host[length - 1] == '/') {
        length--;
    }
    struct registry registry = {.charts = charts};
    buf_init(&registry.tags, ANSWER_MAXIMUM);
    registry.base = mem_format("https://%.*s/v2%.*s/%s", (int)authority, host,
                               (int)(length - authority), host + authority, charts->request->chart);
    bool chosen = choose(&registry, ret);
    ret->token = registry.token;
    buf_release(&registry.tags);
    free(registry.base);
    return chosen;
}
