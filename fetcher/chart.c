#include "fetcher/chart.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "fetcher/chart_internal.h"
#include "fetcher/chart_unpack.h"
#include "fetcher/mirror_commit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define DIGEST_PREFIX "sha256:"
#define OCI "oci://"
#define ETAG_KEY "gitmoor.etag"
#define WISHES_KEY "gitmoor.wishes"
#define ETAG_MAXIMUM 512 /* bytes */

/* What the commit of a chart says in its message. */
struct record {
    char *version;
    char digest[FETCH_DIGEST_SIZE];
    git_oid commit;
};

bool chart_fail(struct charts *charts, enum fetch_reason reason, enum error_code code,
                const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_list(charts->error, code, format, arguments);
    va_end(arguments);
    charts->reason = reason;
    return false;
}

bool chart_fail_transport(struct charts *charts)
{
    charts->reason = charts->transport.reason;
    *charts->error = charts->transport.error;
    return false;
}

bool chart_fail_version(struct charts *charts, struct versions *versions, const char *where)
{
    const struct fetch_request *request = charts->request;
    struct buf others AUTO_BUF;
    buf_init(&others, ERROR_MESSAGE_SIZE / 2);
    versions_describe(versions, charts->range, &others);
    return chart_fail(charts, FETCH_VERSION_NOT_FOUND, ERROR_NOT_FOUND,
                      "%s has no version of chart %s in \"%s\". %s. Check spec.version", where,
                      request->chart, request->version ? request->version : "*", others.data);
}

/* ---- What is asked for ---- */

static bool refuse_url(enum fetch_reason *ret_reason, struct error *error, const char *url,
                       const char *why)
{
    *ret_reason = FETCH_UNSUPPORTED_URL;
    return error_set(error, ERROR_INVALID, "%s%s", url, why);
}

static bool is_registry(const char *url)
{
    return text_has_prefix(url, OCI);
}

bool chart_check_url(const char *url, enum fetch_reason *ret_reason, struct error *error)
{
    const char *host = text_has_prefix(url, "https://") ? url + strlen("https://")
                       : is_registry(url)               ? url + strlen(OCI)
                                                        : NULL;
    if (!host) {
        return refuse_url(
            ret_reason, error, url,
            ": the URL must begin with https:// for a chart repository, or oci:// for "
            "a registry");
    }
    size_t authority = strcspn(host, "/?#");
    if (memchr(host, '@', authority)) {
        /* The URL itself would tell the password. */
        return refuse_url(ret_reason, error, "",
                          "spec.url holds credentials. Take them out and put username and password "
                          "into the Secret of spec.secretRef: a URL is shown to everybody");
    }
    if (authority == 0 || strpbrk(url, "?# \t\r\n")) {
        return refuse_url(
            ret_reason, error, url,
            ": the URL must be https://HOST/PATH or oci://HOST/PATH, without a query or "
            "blanks");
    }
    return true;
}

static bool is_digest(const char *text)
{
    struct digest ignored;
    return text_has_prefix(text, DIGEST_PREFIX) &&
           digest_from_hex(text + strlen(DIGEST_PREFIX), &ignored);
}

/* The name becomes part of URLs. */
static bool is_chart_name(const char *name)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return !text_is_empty(name) && strlen(name) <= 250 && *name != '.' &&
           name[strspn(name, allowed)] == '\0';
}

static bool check_request(struct charts *charts)
{
    const struct fetch_request *request = charts->request;
    struct error error;
    if (!is_chart_name(request->chart)) {
        return chart_fail(charts, FETCH_INVALID_SPEC, ERROR_INVALID,
                          "spec.chart \"%.80s\" is no name of a chart", request->chart);
    }
    if (request->digest && !is_digest(request->digest)) {
        return chart_fail(charts, FETCH_INVALID_SPEC, ERROR_INVALID,
                          "spec.digest \"%.80s\" is not sha256: and 64 hex digits",
                          request->digest);
    }
    charts->range = semver_range_new(request->version, &error);
    return charts->range ||
           chart_fail(charts, FETCH_INVALID_SPEC, ERROR_INVALID, "spec.version: %s", error.message);
}

static void prepare(struct charts *charts)
{
    const struct fetch_request *request = charts->request;
    charts->url = is_registry(request->url) ? mem_format("https://%s", request->url + strlen(OCI))
                                            : mem_string(request->url);
    charts->transport = (struct transport){
        .url = charts->url,
        .username = request->username,
        .password = request->password,
        .bearer_token = request->bearer_token,
        .authorities = request->authorities,
        .certificate = request->certificate,
        .key = request->key,
        .proxy = request->proxy,
        .proxy_username = request->proxy_username,
        .proxy_password = request->proxy_password,
        .deadline_ms = clock_monotonic_ms() + request->timeout_ms,
    };
}

/* ---- What is here ---- */

static char *message_value(const char *message, const char *name)
{
    AUTO_FREE char *label = mem_format("\n%s: ", name);
    const char *found = message ? strstr(message, label) : NULL;
    const char *value = found ? found + strlen(label) : NULL;
    return value ? mem_string_n(value, strcspn(value, "\n")) : NULL;
}

static void read_record(git_repository *repository, struct record *ret)
{
    *ret = (struct record){0};
    AUTO_FREE char *message = mirror_commit_message(repository, &ret->commit);
    AUTO_FREE char *digest = message_value(message, "Digest");
    ret->version = message_value(message, "Version");
    snprintf(ret->digest, sizeof ret->digest, "%s", text_or_empty(digest));
}

static void digest_text(const struct digest *digest, char ret[FETCH_DIGEST_SIZE])
{
    char hex[DIGEST_HEX_SIZE];
    digest_to_hex(digest, hex);
    snprintf(ret, FETCH_DIGEST_SIZE, DIGEST_PREFIX "%s", hex);
}

/* ---- What comes ---- */

static bool check_digest(struct charts *charts, const struct chart_choice *choice)
{
    const struct fetch_request *request = charts->request;
    char is[FETCH_DIGEST_SIZE];
    digest_text(&choice->digest, is);
    if (!request->digest || text_equal(request->digest, is)) {
        return true;
    }
    return chart_fail(charts, FETCH_DIGEST_MISMATCH, ERROR_DENIED,
                      "%s %s of %s has the digest %s, and spec.digest says %s. What was fetched "
                      "before stays in force. If the chart is the one that you want, correct "
                      "spec.digest",
                      request->chart, choice->version, request->url, is, request->digest);
}

static bool download_archive(struct charts *charts, struct chart_choice *choice,
                             struct download *download)
{
    *download = (struct download){.url = choice->url,
                                  .what = "the chart",
                                  .maximum = CHART_ARCHIVE_MAXIMUM,
                                  .token = choice->token};
    if (!download_run(charts->downloads, download)) {
        return chart_fail_transport(charts);
    }
    struct digest digest;
    char is[FETCH_DIGEST_SIZE], told[FETCH_DIGEST_SIZE];
    digest_of(download->body.data, download->body.size, &digest);
    if (!digest_is_zero(&choice->archive) && !digest_equal(&choice->archive, &digest)) {
        digest_text(&digest, is);
        digest_text(&choice->archive, told);
        return chart_fail(charts, FETCH_DIGEST_MISMATCH, ERROR_DENIED,
                          "%s has the digest %s, and the repository says %s: it is damaged, or not "
                          "the one that was published. What was fetched before stays in force",
                          choice->url, is, told);
    }
    if (digest_is_zero(&choice->digest)) {
        choice->digest = digest;
    }
    return true;
}

struct unpacked {
    struct mirror_commit *commit;
    char *chart_yaml;
};

static bool take_file(const char *path, const void *data, size_t size, void *context,
                      struct error *error)
{
    struct unpacked *unpacked = context;
    if (text_equal(path, "Chart.yaml") && !unpacked->chart_yaml) {
        unpacked->chart_yaml = mem_string_n(data, size);
    }
    return mirror_commit_add(unpacked->commit, path, data, size, error) ||
           error_prefix(error, "\"%.200s\"", path);
}

static bool keep(cJSON *tree, unsigned line, void *context, struct error *error)
{
    (void)line;
    (void)error;
    cJSON **kept = context;
    json_free(*kept);
    *kept = tree;
    return true;
}

/* What is in the archive must be what the repository says it is. */
static bool check_chart(struct charts *charts, const struct chart_choice *choice,
                        const char *chart_yaml)
{
    const char *chart = charts->request->chart;
    cJSON *tree AUTO_JSON = NULL;
    struct error error;
    if (!chart_yaml) {
        return chart_fail(charts, FETCH_INVALID_CHART, ERROR_INVALID,
                          "%s is no chart: it has no Chart.yaml in its directory", choice->url);
    }
    if (!yaml_parse(chart_yaml, strlen(chart_yaml), "Chart.yaml", NULL, keep, &tree, &error)) {
        return chart_fail(charts, FETCH_INVALID_CHART, ERROR_INVALID, "%s: %s", choice->url,
                          error.message);
    }
    const char *name = json_string(tree, "name"), *version = json_string(tree, "version");
    if (!text_equal(name, chart) || !text_equal(version, choice->version)) {
        return chart_fail(charts, FETCH_INVALID_CHART, ERROR_INVALID,
                          "%s should be %s %s, and its Chart.yaml says that it is %.100s %.100s",
                          choice->url, chart, choice->version, text_or_empty(name),
                          text_or_empty(version));
    }
    return true;
}

/* ---- The commit ---- */

static bool write_commit(struct charts *charts, git_repository *repository,
                         const struct chart_choice *choice, const struct buf *archive, git_oid *ret)
{
    struct error error;
    char digest[FETCH_DIGEST_SIZE];
    digest_text(&choice->digest, digest);
    struct unpacked unpacked = {.commit = mirror_commit_new(repository, &error)};
    if (!unpacked.commit) {
        return chart_fail(charts, FETCH_BROKEN_MIRROR, ERROR_SYSTEM, "%s", error.message);
    }
    AUTO_FREE char *message =
        mem_format("%s %s\n\nChart: %s\nVersion: %s\nDigest: %s\n", charts->request->chart,
                   choice->version, charts->request->chart, choice->version, digest);
    bool written = chart_unpack(archive->data, archive->size, take_file, &unpacked, &error);
    if (!written) {
        chart_fail(charts, error.code == ERROR_LIMIT ? FETCH_TOO_LARGE : FETCH_INVALID_CHART,
                   error.code, "%s cannot be unpacked: %s", choice->url, error.message);
    }
    written = written && check_chart(charts, choice, unpacked.chart_yaml);
    if (written && !mirror_commit_write(unpacked.commit, message, ret, &error)) {
        written = chart_fail(charts, FETCH_BROKEN_MIRROR, ERROR_SYSTEM, "%s", error.message);
    }
    mirror_commit_free(unpacked.commit);
    free(unpacked.chart_yaml);
    return written;
}

static void describe(struct charts *charts, const struct chart_choice *choice,
                     const git_oid *commit, struct fetch_result *ret)
{
    const char *previous = charts->request->previous;
    git_oid_tostr(ret->commit, sizeof ret->commit, commit);
    snprintf(ret->revision, sizeof ret->revision, "%s@sha1:%s", choice->version, ret->commit);
    digest_text(&choice->digest, ret->digest);
    AUTO_FREE char *same_version = mem_format("%s@", choice->version);
    ret->forced = text_has_prefix(previous, same_version) && !text_equal(previous, ret->revision);
    ret->received_bytes = charts->transport.received;
}

static bool fetch_archive(struct charts *charts, git_repository *repository,
                          struct chart_choice *choice, git_oid *ret)
{
    struct download archive AUTO_DOWNLOAD = {0};
    return download_archive(charts, choice, &archive) && check_digest(charts, choice) &&
           write_commit(charts, repository, choice, &archive.body, ret);
}

/* What the choice depends on besides the index. */
static char *wishes(const struct fetch_request *request)
{
    return mem_format("%s %s", text_or_empty(request->version), text_or_empty(request->digest));
}

/* An index that is unchanged need not be sent again, if we want the same of it. */
static void read_etag(struct charts *charts, git_repository *repository,
                      const struct record *record)
{
    AUTO_FREE char *now = wishes(charts->request);
    AUTO_FREE char *before = mirror_note(repository, WISHES_KEY);
    if (record->version && is_digest(record->digest) && text_equal(now, before)) {
        charts->etag = mirror_note(repository, ETAG_KEY);
    }
}

static void keep_etag(const struct charts *charts, git_repository *repository)
{
    AUTO_FREE char *now = wishes(charts->request);
    const char *etag = text_or_empty(charts->etag_now);
    if (!charts->unchanged && strlen(etag) <= ETAG_MAXIMUM) {
        mirror_set_note(repository, WISHES_KEY, "");
        mirror_set_note(repository, ETAG_KEY, etag);
        mirror_set_note(repository, WISHES_KEY, *etag ? now : "");
    }
}

static bool choose(struct charts *charts, const struct record *record, struct chart_choice *ret)
{
    bool registry = is_registry(charts->request->url);
    if (!(registry ? chart_registry_choose : chart_index_choose)(charts, ret)) {
        return false;
    }
    if (charts->unchanged) {
        ret->version = mem_string(record->version);
        digest_from_hex(record->digest + strlen(DIGEST_PREFIX), &ret->digest);
    }
    return digest_is_zero(&ret->digest) || check_digest(charts, ret);
}

static bool choose_and_fetch(struct charts *charts, git_repository *repository,
                             struct chart_choice *choice, struct fetch_result *ret)
{
    const struct fetch_request *request = charts->request;
    struct record record;
    char digest[FETCH_DIGEST_SIZE];
    read_record(repository, &record);
    read_etag(charts, repository, &record);
    bool fetched = choose(charts, &record, choice);
    digest_text(&choice->digest, digest);
    bool is_here = text_equal(record.version, choice->version) && text_equal(record.digest, digest);
    git_oid commit = record.commit;
    ret->cloned = !record.version;
    free(record.version);
    fetched = fetched && (is_here || fetch_archive(charts, repository, choice, &commit));
    if (fetched) {
        keep_etag(charts, repository);
        describe(charts, choice, &commit, ret);
    }
    if (fetched) {
        mirror_tidy(repository, request->directory);
    }
    return fetched;
}

/* ---- The whole ---- */

static void release_choice(struct chart_choice *choice)
{
    free(choice->version);
    free(choice->url);
    free(choice->token);
}

/* Old versions stay for rollbacks, as long as there is room. */
static bool open_mirror(struct charts *charts, git_repository **ret)
{
    const struct fetch_request *request = charts->request;
    AUTO_FREE char *source = mem_format("%s %s", request->url, request->chart);
    bool full = mirror_size(request->directory) > request->size_maximum;
    charts->reason = FETCH_FAILED;
    return ((!request->fresh && !full) || mirror_empty(request->directory, charts->error)) &&
           mirror_open(request->directory, source, ret, charts->error);
}

static bool attempt(struct charts *charts, struct fetch_result *ret)
{
    AUTO_REPOSITORY git_repository *repository = NULL;
    struct chart_choice choice = {0};
    struct error error;
    if (!fetch_check_credentials(charts->request, &error)) {
        return chart_fail(charts, FETCH_SECRET_INVALID, ERROR_INVALID, "%s", error.message);
    }
    if (!check_request(charts) || !open_mirror(charts, &repository)) {
        return false;
    }
    prepare(charts);
    charts->downloads = downloads_new(
        &charts->transport, is_registry(charts->request->url) ? "registry" : "chart repository",
        charts->request->servers, charts->error);
    bool fetched = charts->downloads && choose_and_fetch(charts, repository, &choice, ret);
    release_choice(&choice);
    return fetched;
}

bool chart_run(const struct fetch_request *request, struct fetch_result *ret,
               enum fetch_reason *ret_reason, struct error *error)
{
    struct charts charts = {.request = request, .error = error};
    struct fetch_result result = {0};
    if (!chart_check_url(request->url, ret_reason, error)) {
        return false;
    }
    bool fetched = attempt(&charts, &result);
    result.retry_after_ms = charts.transport.retry_after_ms;
    downloads_free(charts.downloads);
    semver_range_free(charts.range);
    free(charts.url);
    free(charts.etag);
    free(charts.etag_now);
    *ret = result;
    if (!fetched) {
        *ret_reason = charts.reason;
    }
    return fetched;
}
