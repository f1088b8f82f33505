#include "fetcher/secret.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define VALUE_MAXIMUM ((size_t)1 << 20) /* of a whole Secret, as the API server has it */

struct key {
    const char *name;  /* in the Secret */
    const char *field; /* in the worker's request */
    bool is_word;      /* of one line, as it goes into a header */
};

static const struct key keys[] = {
    {"username", "username", true},       {"password", "password", true},
    {"bearerToken", "bearerToken", true}, {"ca.crt", "authorities", false},
    {"tls.crt", "certificate", false},    {"tls.key", "key", false},
    {"identity", "identity", false},      {"ssh-privatekey", "identity", false},
    {"known_hosts", "knownHosts", false}};

static const struct key proxy_keys[] = {{"address", "proxy", true},
                                        {"username", "proxyUsername", true},
                                        {"password", "proxyPassword", true}};

/* NUL-terminated text, to be freed; NULL if it is not base64, holds a NUL, or is not UTF-8. */
static char *decode(const char *text)
{
    struct buf decoded AUTO_BUF;
    buf_init(&decoded, VALUE_MAXIMUM);
    bool is_text = base64_decode(text, strlen(text), &decoded) &&
                   strlen(decoded.data) == decoded.size && text_is_utf8(decoded.data, decoded.size);
    return is_text ? buf_detach(&decoded) : NULL;
}

static void wipe(char **text)
{
    if (*text) {
        explicit_bzero(*text, strlen(*text));
        free(*text);
    }
}

static bool refuse(const cJSON *secret, const char *key, const char *why, struct error *error)
{
    return error_set(error, ERROR_INVALID, "Secret %s/%s: %s %s",
                     text_or_empty(json_string_path(secret, "metadata.namespace")),
                     text_or_empty(json_string_path(secret, "metadata.name")), key, why);
}

static bool add_key(const cJSON *secret, const struct key *key, const char *encoded, cJSON *request,
                    struct error *error)
{
    __attribute__((cleanup(wipe))) char *value = decode(encoded);
    if (!value) {
        return refuse(secret, key->name, "is not text", error);
    }
    size_t size = strlen(value);
    while (key->is_word && size > 0 && (value[size - 1] == '\n' || value[size - 1] == '\r')) {
        value[--size] = '\0';
    }
    for (const unsigned char *c = (const unsigned char *)value; key->is_word && *c; c++) {
        if (*c < ' ' || *c == 0x7F) {
            return refuse(secret, key->name, "has a control character or more than one line",
                          error);
        }
    }
    json_add_string(request, key->field, value);
    return true;
}

static bool add_keys(const cJSON *secret, const struct key *table, size_t count, cJSON *request,
                     bool *ret_any, struct error *error)
{
    const cJSON *data = json_object(secret, "data");
    *ret_any = false;
    for (size_t i = 0; i < count; i++) {
        const char *encoded = json_string(data, table[i].name);
        if (encoded && !add_key(secret, &table[i], encoded, request, error)) {
            return false;
        }
        *ret_any = *ret_any || encoded;
    }
    return true;
}

bool secret_add_to(const cJSON *secret, cJSON *request, struct error *error)
{
    const cJSON *data = json_object(secret, "data");
    bool any;
    if (!add_keys(secret, keys, sizeof keys / sizeof keys[0], request, &any, error)) {
        return false;
    }
    if (!any) {
        return refuse(secret, "it",
                      "has none of the keys username, password, bearerToken, ca.crt, tls.crt, "
                      "tls.key, identity, known_hosts. Add those that the server asks for",
                      error);
    }
    if (json_string(data, "identity") && json_string(data, "ssh-privatekey")) {
        return refuse(secret, "it", "has both identity and ssh-privatekey; leave one of them",
                      error);
    }
    if (json_string(request, "bearerToken") && json_string(request, "password")) {
        return refuse(secret, "it", "has both bearerToken and password; leave one of them", error);
    }
    return true;
}

bool secret_add_proxy_to(const cJSON *secret, cJSON *request, struct error *error)
{
    bool any;
    if (!add_keys(secret, proxy_keys, sizeof proxy_keys / sizeof proxy_keys[0], request, &any,
                  error)) {
        return false;
    }
    return json_string(request, "proxy") ||
           refuse(secret, "it",
                  "has no key address: put the proxy's URL there, such as "
                  "http://proxy.example:3128",
                  error);
}

bool secret_add_keys_to(const cJSON *secret, cJSON *request, struct error *error)
{
    const cJSON *data = json_object(secret, "data");
    if (!json_first(data)) {
        return refuse(secret, "it",
                      "has no keys: put the signers' public keys there, one file each", error);
    }
    json_add(request, "keys", json_copy(data));
    return true;
}
