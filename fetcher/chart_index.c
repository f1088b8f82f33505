/* The index of a chart repository: index.yaml, with all versions of all charts. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "fetcher/chart_internal.h"
#include "fetcher/transport_curl.h"

#include <string.h>

/* The largest public ones have 20 MiB. */
#define INDEX_MAXIMUM ((size_t)32 << 20)
#define INDEX_LIMITS ((struct yaml_limits){INDEX_MAXIMUM, 32, 4000000})

static bool keep(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    cJSON **kept = context;
    if (*kept) {
        json_free(tree);
        return error_set(error, ERROR_INVALID, "it has several documents");
    }
    *kept = tree;
    return true;
}

static bool parse(struct charts *charts, const char *url, const struct buf *text, cJSON **ret)
{
    struct error error;
    struct yaml_limits limits = INDEX_LIMITS;
    if (!yaml_parse(text->data, text->size, url, &limits, keep, ret, &error)) {
        return chart_fail(charts, FETCH_INVALID_INDEX, ERROR_INVALID,
                          "the index cannot be read: %s. Check that spec.url is a chart repository",
                          error.message);
    }
    if (!json_object(*ret, "entries")) {
        return chart_fail(charts, FETCH_INVALID_INDEX, ERROR_INVALID,
                          "%s is no index of a chart repository: it has no `entries`. Check "
                          "spec.url",
                          url);
    }
    return true;
}

/* A few names of charts, for the message. */
static void describe_charts(const cJSON *entries, struct buf *out)
{
    size_t named = 0, count = json_size(entries);
    for (const cJSON *entry = json_first(entries); entry && named < 5; entry = entry->next) {
        buf_append_format(out, "%s%.100s", named++ ? ", " : "It has ", entry->string);
    }
    if (count > named) {
        buf_append_format(out, " and %zu others", count - named);
    } else if (count == 0) {
        buf_append_string(out, "It has none");
    }
}

/* The digest of an index: 64 hex digits, with or without "sha256:". */
static bool read_digest(const char *text, struct digest *ret)
{
    return digest_from_hex(text + (text_has_prefix(text, "sha256:") ? strlen("sha256:") : 0), ret);
}

static bool describe_choice(struct charts *charts, const char *index_url, const cJSON *entry,
                            struct chart_choice *ret)
{
    const char *version = json_string(entry, "version");
    const cJSON *first = json_first(json_array(entry, "urls"));
    const char *reference = first && cJSON_IsString(first) ? first->valuestring : NULL;
    const char *digest = json_string(entry, "digest");
    ret->url = reference ? transport_curl_resolve(index_url, reference) : NULL;
    if (!ret->url) {
        return chart_fail(
            charts, FETCH_INVALID_INDEX, ERROR_INVALID,
            "the index %s names no archive of %s %s that begins with https://%s%.200s", index_url,
            charts->request->chart, version, reference ? ", but " : "", text_or_empty(reference));
    }
    if (!text_is_empty(digest) && !read_digest(digest, &ret->archive)) {
        return chart_fail(charts, FETCH_INVALID_INDEX, ERROR_INVALID,
                          "the index %s has a digest of %s %s that is no SHA-256: %.100s",
                          index_url, charts->request->chart, version, digest);
    }
    ret->digest = ret->archive;
    ret->version = mem_string(version);
    return true;
}

static bool choose(struct charts *charts, const char *index_url, const cJSON *index,
                   struct chart_choice *ret)
{
    const char *chart = charts->request->chart;
    const cJSON *entries = json_object(index, "entries");
    const cJSON *list = json_array(entries, chart);
    if (!list) {
        struct buf others AUTO_BUF;
        buf_init(&others, ERROR_MESSAGE_SIZE / 2);
        describe_charts(entries, &others);
        return chart_fail(charts, FETCH_CHART_NOT_FOUND, ERROR_NOT_FOUND,
                          "the index %s has no chart %s. %s. Check spec.chart", index_url, chart,
                          others.data);
    }
    struct versions versions AUTO_VERSIONS = {0};
    for (cJSON *entry = json_first(list); entry; entry = entry->next) {
        const char *version = json_string(entry, "version");
        if (version && strlen(version) <= SEMVER_TEXT_MAXIMUM &&
            text_equal(version, charts->request->version)) {
            return describe_choice(charts, index_url, entry, ret); /* exactly, whatever it is */
        }
        if (version) {
            versions_add(&versions, version, entry);
        }
    }
    const struct version *highest = versions_highest(&versions, charts->range);
    return highest ? describe_choice(charts, index_url, highest->data, ret)
                   : chart_fail_version(charts, &versions, index_url);
}

bool chart_index_choose(struct charts *charts, struct chart_choice *ret)
{
    const char *base = charts->request->url;
    size_t length = strlen(base);
    while (length > 0 && base[length - 1] == '/') {
        length--;
    }
    AUTO_FREE char *url = mem_format("%.*s/index.yaml", (int)length, base);
    struct download download AUTO_DOWNLOAD = {.url = url,
                                              .what = "the index",
                                              .maximum = INDEX_MAXIMUM,
                                              .compressible = true,
                                              .etag = charts->etag};
    cJSON *index AUTO_JSON = NULL;
    if (!download_run(charts->downloads, &download)) {
        return chart_fail_transport(charts);
    }
    charts->etag_now = mem_string(download.etag_now);
    charts->unchanged = download.status == 304;
    return charts->unchanged ||
           (parse(charts, url, &download.body, &index) && choose(charts, url, index, ret));
}
