#include "admission/serving_secret.h"

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/crypto/certificate.h"
#include "common/data/object.h"

#include <string.h>

#define DAY_MS ((int64_t)86400000)
#define BUNDLE_MAXIMUM ((size_t)65536)
#define ANNOTATION_NAMES "gitmoor.io/certificate-names"
#define ANNOTATION_SINCE "gitmoor.io/rotation-since"     /* when the last step was taken */
#define ANNOTATION_HANDLED "gitmoor.io/rotation-handled" /* the last request that was */

char *serving_value(const cJSON *secret, const char *key)
{
    return base64_decode_text(json_string(json_object(secret, "data"), key));
}

static const char *annotation(const cJSON *secret, const char *name)
{
    return json_string(json_get_path(secret, "metadata.annotations"), name);
}

/* Whether three values of the Secret make a certificate that can be served. */
static bool is_usable(const cJSON *secret, const char *certificate_key, const char *key_key,
                      const char *authority_key, int64_t now, int64_t *ret_until)
{
    AUTO_FREE char *certificate = serving_value(secret, certificate_key);
    AUTO_FREE char *key = serving_value(secret, key_key);
    AUTO_FREE char *authority = serving_value(secret, authority_key);
    return certificate && key && authority &&
           certificate_matches(certificate, key, authority, NULL) &&
           certificate_not_after(certificate, ret_until, NULL) && *ret_until > now;
}

static bool has(const cJSON *secret, const char *key)
{
    return json_get(json_object(secret, "data"), key) != NULL;
}

char *serving_bundle(const cJSON *secret)
{
    static const char *const keys[] = {"ca.crt", "next-ca.crt", "previous-ca.crt"};
    AUTO_BUF struct buf bundle;
    buf_init(&bundle, BUNDLE_MAXIMUM);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        AUTO_FREE char *authority = serving_value(secret, keys[i]);
        int64_t until;
        /* The API server refuses a bundle with something in it that it cannot read. */
        if (authority && certificate_not_after(authority, &until, NULL)) {
            buf_append_string(&bundle, authority);
            if (!text_has_suffix(authority, "\n")) {
                buf_append_char(&bundle, '\n');
            }
        }
    }
    return bundle.size > 0 && !bundle.overflowed ? buf_detach(&bundle) : NULL;
}

static char *join_names(const char *const *names)
{
    AUTO_BUF struct buf joined;
    buf_init(&joined, BUNDLE_MAXIMUM);
    for (size_t i = 0; names[i]; i++) {
        buf_append_format(&joined, "%s%s", i ? "," : "", names[i]);
    }
    return buf_detach(&joined);
}

/* Whether the grace since the last step has passed. A time that cannot be read, or lies in the
 * future, is taken as passed long ago: nothing waits for ever. */
static bool grace_is_over(const cJSON *secret, const struct serving_options *options, int64_t now)
{
    int64_t since;
    const char *text = annotation(secret, ANNOTATION_SINCE);
    return !text || !clock_parse_rfc3339(text, &since) || since > now + options->grace_ms ||
           now - since >= options->grace_ms;
}

enum serving_step serving_decide(const cJSON *secret, const struct serving_options *options,
                                 const char *trusted, int64_t now, const char **ret_why)
{
    int64_t until = 0, next_until = 0;
    AUTO_FREE char *names = join_names(options->names);
    *ret_why = "nothing is due";
    if (!secret) {
        *ret_why = "there is none";
        return SERVING_RENEW;
    }
    if (!is_usable(secret, "tls.crt", "tls.key", "ca.crt", now, &until)) {
        *ret_why = "the one in the Secret is malformed or expired";
        return SERVING_RENEW;
    }
    if (!text_equal(annotation(secret, ANNOTATION_NAMES), names)) {
        *ret_why = "the one in the Secret is for other names";
        return SERVING_RENEW;
    }
    if (has(secret, "next.crt") &&
        is_usable(secret, "next.crt", "next.key", "next-ca.crt", now, &next_until)) {
        AUTO_FREE char *bundle = serving_bundle(secret);
        *ret_why = "the next one is announced";
        return text_equal(bundle, trusted) && grace_is_over(secret, options, now) ? SERVING_PROMOTE
                                                                                  : SERVING_KEEP;
    }
    if (has(secret, "previous-ca.crt")) {
        *ret_why = "the previous authority is no longer needed";
        return grace_is_over(secret, options, now) ? SERVING_RETIRE : SERVING_KEEP;
    }
    const char *asked = annotation(secret, GITMOOR_RECONCILE_ANNOTATION);
    if (asked && !text_equal(asked, annotation(secret, ANNOTATION_HANDLED))) {
        *ret_why = "it was asked for";
        return SERVING_STAGE;
    }
    if (until - now < (int64_t)options->days * DAY_MS / 3) {
        *ret_why = "less than a third of its time is left";
        return SERVING_STAGE;
    }
    return SERVING_KEEP;
}

/* ---- Writing ---- */

static void set_value(cJSON *secret, const char *key, const char *text)
{
    AUTO_FREE char *encoded = base64_encode(text, strlen(text));
    json_set(json_ensure_object(secret, "data"), key, json_new_string(encoded));
}

static void move_value(cJSON *secret, const char *from, const char *to)
{
    cJSON *data = json_ensure_object(secret, "data");
    const char *value = json_string(data, from);
    if (value) {
        json_set(data, to, json_new_string(value));
        json_remove(data, from);
    }
}

static void set_annotation(cJSON *secret, const char *name, const char *value)
{
    cJSON *metadata = json_ensure_object(secret, "metadata");
    json_set(json_ensure_object(metadata, "annotations"), name, json_new_string(value));
}

/* An authority and the certificate that it signs; its key is forgotten at once. */
static bool make(const struct serving_options *options, int64_t now, struct certificate_pair *ret,
                 char **ret_authority, struct error *error)
{
    struct certificate_pair authority = {0};
    char time[CLOCK_RFC3339_SIZE];
    clock_format_rfc3339(now, time);
    AUTO_FREE char *name = mem_format("gitmoor-admission %s", time);
    /* The authority outlives what it signs by nothing: it signs nothing else. */
    bool made = certificate_new_authority(name, options->days, &authority, error) &&
                certificate_new_serving(&authority, options->names, options->days, ret, error);
    if (made) {
        *ret_authority = mem_string(authority.certificate);
    }
    certificate_pair_release(&authority);
    return made;
}

static bool put_new(cJSON *secret, const char *certificate_key, const char *key_key,
                    const char *authority_key, const struct serving_options *options, int64_t now,
                    struct error *error)
{
    struct certificate_pair pair = {0};
    AUTO_FREE char *authority = NULL;
    if (!make(options, now, &pair, &authority, error)) {
        certificate_pair_release(&pair);
        return error_prefix(error, "making a certificate for the webhook");
    }
    set_value(secret, certificate_key, pair.certificate);
    set_value(secret, key_key, pair.key);
    set_value(secret, authority_key, authority);
    certificate_pair_release(&pair);
    return true;
}

static cJSON *new_secret(const char *namespace_)
{
    cJSON *secret = json_new_object();
    json_add_string(secret, "apiVersion", "v1");
    json_add_string(secret, "kind", "Secret");
    json_add_string(secret, "type", "kubernetes.io/tls");
    cJSON *metadata = json_add_object(secret, "metadata");
    json_add_string(metadata, "name", SERVING_SECRET);
    json_add_string(metadata, "namespace", namespace_);
    json_add_string(json_add_object(metadata, "labels"), "app.kubernetes.io/part-of", "gitmoor");
    return secret;
}

static void clear_rotation(cJSON *secret)
{
    static const char *const keys[] = {"next.crt", "next.key", "next-ca.crt", "previous-ca.crt"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        json_remove(json_ensure_object(secret, "data"), keys[i]);
    }
}

cJSON *serving_advance(const cJSON *secret, enum serving_step step,
                       const struct serving_options *options, int64_t now, struct error *error)
{
    AUTO_JSON cJSON *made = secret ? json_copy(secret) : new_secret(options->namespace_);
    AUTO_FREE char *names = join_names(options->names);
    const char *asked = annotation(secret, GITMOOR_RECONCILE_ANNOTATION);
    json_remove(json_ensure_object(made, "metadata"), "managedFields");
    switch (step) {
    case SERVING_RENEW:
        clear_rotation(made);
        if (!put_new(made, "tls.crt", "tls.key", "ca.crt", options, now, error)) {
            return NULL;
        }
        break;
    case SERVING_STAGE:
        if (!put_new(made, "next.crt", "next.key", "next-ca.crt", options, now, error)) {
            return NULL;
        }
        break;
    case SERVING_PROMOTE:
        move_value(made, "ca.crt", "previous-ca.crt");
        move_value(made, "next-ca.crt", "ca.crt");
        move_value(made, "next.crt", "tls.crt");
        move_value(made, "next.key", "tls.key");
        break;
    case SERVING_RETIRE:
        json_remove(json_ensure_object(made, "data"), "previous-ca.crt");
        break;
    case SERVING_KEEP:
        break;
    }
    char time[CLOCK_RFC3339_SIZE];
    clock_format_micro(now, time); /* a grace may be shorter than a second */
    set_annotation(made, ANNOTATION_NAMES, names);
    set_annotation(made, ANNOTATION_SINCE, time);
    if (asked && (step == SERVING_RENEW || step == SERVING_STAGE)) {
        set_annotation(made, ANNOTATION_HANDLED, asked);
    }
    cJSON *result = made;
    made = NULL;
    return result;
}
