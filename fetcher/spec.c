#include "fetcher/spec.h"

#include "common/base/memory.h"
#include "common/base/text.h"

/* Below a second the fetcher would be the server's denial of service; a fetch that takes an hour is
 * not fetching. */
#define DURATION_MINIMUM_MS 1000
#define TIMEOUT_MAXIMUM_MS (60 * 60 * 1000)
/* As the CRD's defaults; for objects that were stored before it had them. */
#define INTERVAL_DEFAULT "1m"
#define TIMEOUT_DEFAULT "1m"

static bool read_duration(const cJSON *spec, const char *field, const char *otherwise, int64_t *ret,
                          struct error *error)
{
    const char *text = json_string(spec, field);
    if (text_parse_duration(text ? text : otherwise, ret) && *ret >= DURATION_MINIMUM_MS) {
        return true;
    }
    text_parse_duration(otherwise, ret);
    return error_set(
        error, ERROR_INVALID,
        "spec.%s \"%.80s\" is not a duration from 1s on, such as 30s or 5m, at most ten years",
        field, text);
}

bool repository_spec_read(const cJSON *object, struct repository_spec *ret, struct error *error)
{
    const cJSON *spec = json_object(object, "spec");
    const cJSON *ref = json_object(spec, "ref");
    const cJSON *verify = json_object(spec, "verify");
    const char *mode = json_string(verify, "mode");
    *ret = (struct repository_spec){
        .url = mem_string(text_or_empty(json_string(spec, "url"))),
        .branch = mem_string(json_string(ref, "branch")),
        .tag = mem_string(json_string(ref, "tag")),
        .semver = mem_string(json_string(ref, "semver")),
        .name = mem_string(json_string(ref, "name")),
        .commit = mem_string(json_string(ref, "commit")),
        .chart = mem_string(json_string(spec, "chart")),
        .version = mem_string(json_string(spec, "version")),
        .digest = mem_string(json_string(spec, "digest")),
        .secret = mem_string(json_string_path(spec, "secretRef.name")),
        .proxy_secret = mem_string(json_string_path(spec, "proxySecretRef.name")),
        .verify_secret = mem_string(json_string_path(spec, "verify.secretRef.name")),
        .verify_head = verify && !text_equal(mode, "Tag"),
        .verify_tag = text_equal(mode, "Tag") || text_equal(mode, "TagAndHEAD"),
        .suspend = json_bool(spec, "suspend", false),
    };
    struct error second;
    bool interval = read_duration(spec, "interval", INTERVAL_DEFAULT, &ret->interval_ms, error);
    bool timeout = read_duration(spec, "timeout", TIMEOUT_DEFAULT, &ret->timeout_ms,
                                 interval ? error : &second);
    if (ret->timeout_ms > TIMEOUT_MAXIMUM_MS) {
        ret->timeout_ms = TIMEOUT_MAXIMUM_MS;
    }
    if (verify && !ret->verify_secret && interval && timeout) {
        return error_set(error, ERROR_INVALID,
                         "spec.verify names no Secret with the signers' public keys");
    }
    return interval && timeout;
}

void repository_spec_describe(const struct repository_spec *spec, cJSON *request)
{
    json_add_string(request, "url", spec->url);
    json_add_string(request, "branch", spec->branch);
    json_add_string(request, "tag", spec->tag);
    json_add_string(request, "semver", spec->semver);
    json_add_string(request, "name", spec->name);
    json_add_string(request, "commit", spec->commit);
    json_add_string(request, "chart", spec->chart);
    json_add_string(request, "version", spec->version);
    json_add_string(request, "digest", spec->digest);
    json_add_bool(request, "verifyHead", spec->verify_head);
    json_add_bool(request, "verifyTag", spec->verify_tag);
    json_add_int(request, "timeoutMs", spec->timeout_ms);
}

void repository_spec_release(struct repository_spec *spec)
{
    free(spec->url);
    free(spec->branch);
    free(spec->tag);
    free(spec->semver);
    free(spec->name);
    free(spec->commit);
    free(spec->chart);
    free(spec->version);
    free(spec->digest);
    free(spec->secret);
    free(spec->proxy_secret);
    free(spec->verify_secret);
    *spec = (struct repository_spec){0};
}
