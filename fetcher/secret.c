#include "fetcher/secret.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <openssl/evp.h>
#include <string.h>

struct key {
    const char *name;  /* in the Secret */
    const char *field; /* in the worker's request */
    bool is_word;      /* of one line, as it goes into a header */
};

static const struct key keys[] = {{"username", "username", true},
                                  {"password", "password", true},
                                  {"bearerToken", "bearerToken", true},
                                  {"ca.crt", "authorities", false}};

/* NUL-terminated text, to be freed; NULL if it is not base64, holds a NUL, or is not UTF-8. */
static char *decode(const char *text)
{
    size_t size = strlen(text);
    char *decoded = mem_new(size / 4 * 3 + 4, 1);
    int length = EVP_DecodeBlock((unsigned char *)decoded, (const unsigned char *)text, (int)size);
    for (size_t i = size; i > 0 && text[i - 1] == '=' && length > 0; i--) {
        length--; /* EVP_DecodeBlock counts the padding */
    }
    if (length < 0 || strlen(decoded) != (size_t)length || !text_is_utf8(decoded, (size_t)length)) {
        free(decoded);
        return NULL;
    }
    return decoded;
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

bool secret_add_to(const cJSON *secret, cJSON *request, struct error *error)
{
    const cJSON *data = json_object(secret, "data");
    bool any = false;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *encoded = json_string(data, keys[i].name);
        if (encoded && !add_key(secret, &keys[i], encoded, request, error)) {
            return false;
        }
        any = any || encoded;
    }
    if (!any) {
        return refuse(secret, "it", "has none of the keys username, password, bearerToken, ca.crt",
                      error);
    }
    if (json_string(request, "bearerToken") && json_string(request, "password")) {
        return refuse(secret, "it", "has both bearerToken and password; leave one of them", error);
    }
    return true;
}
