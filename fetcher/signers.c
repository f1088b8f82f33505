#include "fetcher/signers.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define KEY_MAXIMUM ((size_t)8192) /* as OpenSSH's sshkey_read */
#define SIGNERS_MAXIMUM 100000

/* A line under the knife: `at` moves along it. */
struct line {
    const char *file;
    unsigned number;
    char *at;
};

static bool refuse(const struct line *line, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse(const struct line *line, struct error *error, const char *format, ...)
{
    char why[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return error_set(error, ERROR_INVALID, "%s:%u: %s", line->file, line->number, why);
}

static void skip_blanks(struct line *line)
{
    line->at += strspn(line->at, " \t\r");
}

/* The next word, in place; quotes around it are dropped. NULL: an open quote. */
static char *take_word(struct line *line)
{
    skip_blanks(line);
    bool quoted = *line->at == '"';
    char *word = line->at + quoted;
    char *end = quoted ? strchr(word, '"') : word + strcspn(word, " \t\r");
    if (!end) {
        return NULL;
    }
    line->at = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* The options up to the first blank outside of quotes, in place. NULL: an open quote. */
static char *take_options(struct line *line)
{
    char *options = line->at;
    bool quoted = false;
    char *end = options;
    for (; *end && (quoted || (*end != ' ' && *end != '\t')); end++) {
        quoted = *end == '"' ? !quoted : quoted;
    }
    line->at = *end ? end + 1 : end;
    *end = '\0';
    return quoted ? NULL : options;
}

static bool is_key_type(const char *word)
{
    size_t size = strcspn(word, " \t");
    return ssh_key_type_is_supported(word, size) || strncmp(word, "ssh-", 4) == 0 ||
           strncmp(word, "ecdsa-", 6) == 0 || strncmp(word, "sk-", 3) == 0 ||
           strncmp(word, "rsa-sha2-", 9) == 0;
}

/* ---- Options ---- */

/* YYYYMMDD[HHMM[SS]], with Z or UTC after it; else local time, as OpenSSH reads it. */
static bool parse_time(const char *text, int64_t *ret)
{
    size_t size = strlen(text);
    bool utc = false;
    if (size > 1 && strcasecmp(text + size - 1, "Z") == 0) {
        utc = true;
        size -= 1;
    } else if (size > 3 && strcasecmp(text + size - 3, "UTC") == 0) {
        utc = true;
        size -= 3;
    }
    const char *format = size == 8    ? "%Y%m%d"
                         : size == 12 ? "%Y%m%d%H%M"
                         : size == 14 ? "%Y%m%d%H%M%S"
                                      : NULL;
    if (!format || strspn(text, "0123456789") != size) {
        return false;
    }
    AUTO_FREE char *digits = mem_string_n(text, size);
    struct tm parts = {.tm_isdst = -1};
    const char *end = strptime(digits, format, &parts);
    if (!end || *end) {
        return false;
    }
    *ret = utc ? timegm(&parts) : mktime(&parts);
    return *ret > 0;
}

/* Takes `name="value"` off the front of *options. */
static bool take_option(char **options, const char *name, char **ret_value)
{
    size_t size = strlen(name);
    if (strncasecmp(*options, name, size) != 0 || (*options)[size] != '=' ||
        (*options)[size + 1] != '"') {
        return false;
    }
    char *value = *options + size + 2;
    char *end = strchr(value, '"');
    if (!end) {
        return false;
    }
    *end = '\0';
    *options = end + 1;
    *ret_value = value;
    return true;
}

static bool read_option(const struct line *line, char **options, struct signer *signer,
                        struct error *error)
{
    static const char authority[] = "cert-authority";
    char *value;
    if (strncasecmp(*options, authority, sizeof authority - 1) == 0) {
        return refuse(line, error, "cert-authority is not supported; list the keys themselves");
    }
    if (take_option(options, "namespaces", &value)) {
        if (signer->namespaces) {
            return refuse(line, error, "namespaces is given twice");
        }
        signer->namespaces = mem_string(value);
        return true;
    }
    bool after = take_option(options, "valid-after", &value);
    if (!after && !take_option(options, "valid-before", &value)) {
        return refuse(line, error, "unknown option at \"%.40s\"", *options);
    }
    int64_t *field = after ? &signer->valid_after : &signer->valid_before;
    if (*field != (after ? INT64_MIN : INT64_MAX)) {
        return refuse(line, error, "%s is given twice", after ? "valid-after" : "valid-before");
    }
    return parse_time(value, field) ||
           refuse(line, error, "\"%.40s\" is not a time such as 20261124 or 20261124093000Z",
                  value);
}

static bool read_options(const struct line *line, char *options, struct signer *signer,
                         struct error *error)
{
    while (*options) {
        if (!read_option(line, &options, signer, error)) {
            return false;
        }
        if (*options && *options != ',') {
            return refuse(line, error, "\"%.40s\" after an option; a comma is expected", options);
        }
        options += *options == ',';
    }
    return signer->valid_after < signer->valid_before ||
           refuse(line, error, "valid-before is not after valid-after");
}

/* ---- Lines ---- */

static bool read_key(struct line *line, struct signer *signer, struct error *error)
{
    const char *type = take_word(line);
    if (!type || !ssh_key_type_is_supported(type, strlen(type))) {
        return refuse(line, error,
                      "\"%.40s\" is not a supported key type (ssh-ed25519, ecdsa-sha2-nistp256, "
                      "-384 or -521, ssh-rsa, sk-ssh-ed25519@openssh.com, "
                      "sk-ecdsa-sha2-nistp256@openssh.com)",
                      text_or_empty(type));
    }
    const char *text = take_word(line);
    if (!text || !base64_decode(text, strlen(text), &signer->blob)) {
        return refuse(line, error, "the key is not base64");
    }
    struct ssh_bytes blob = {(const uint8_t *)signer->blob.data, signer->blob.size};
    struct ssh_bytes rest = blob, inner;
    struct error why;
    if (!ssh_take_string(&rest, &inner) || !ssh_bytes_are(inner, type)) {
        return refuse(line, error, "the key is not of type %s as the line says", type);
    }
    return ssh_key_check(blob, &why) || refuse(line, error, "the key: %s", why.message);
}

static bool read_line(struct line *line, struct signer *signer, struct error *error)
{
    if (is_key_type(line->at)) {
        bool read = read_key(line, signer, error);
        skip_blanks(line);
        signer->name = mem_string(line->at);
        return read;
    }
    const char *principals = take_word(line);
    if (!principals || !*principals) {
        return refuse(line, error, "there are no principals");
    }
    signer->name = mem_string(principals);
    skip_blanks(line);
    if (!is_key_type(line->at)) {
        char *options = take_options(line);
        if (!options || !*options) {
            return refuse(line, error, "there is no key, or a quote is open");
        }
        if (!read_options(line, options, signer, error)) {
            return false;
        }
        skip_blanks(line);
    }
    return read_key(line, signer, error);
}

static void signer_release(struct signer *signer)
{
    buf_release(&signer->blob);
    free(signer->name);
    free(signer->namespaces);
}

static bool add_line(struct line *line, struct signers *signers, struct error *error)
{
    skip_blanks(line);
    if (!*line->at || *line->at == '#') {
        return true;
    }
    if (text_has_prefix(line->at, "-----BEGIN ")) {
        return refuse(line, error, "this is no public key; a private key must not be given away");
    }
    struct signer signer = {.valid_after = INT64_MIN, .valid_before = INT64_MAX};
    buf_init(&signer.blob, KEY_MAXIMUM);
    if (!read_line(line, &signer, error)) {
        signer_release(&signer);
        return false;
    }
    signers->items = mem_resize(signers->items, signers->count + 1, sizeof *signers->items);
    signers->items[signers->count++] = signer;
    return true;
}

bool signers_parse(const char *text, size_t size, const char *file, struct signers *ret,
                   struct error *error)
{
    if (memchr(text, '\0', size) || !text_is_utf8(text, size)) {
        return error_set(error, ERROR_INVALID, "%s is not a text of SSH keys, nor an OpenPGP key",
                         file);
    }
    AUTO_FREE char *copy = mem_string_n(text, size);
    unsigned number = 0;
    for (char *at = copy; at && *at;) {
        char *newline = strchr(at, '\n');
        if (newline) {
            *newline = '\0';
        }
        struct line line = {file, ++number, at};
        if (ret->count >= SIGNERS_MAXIMUM) {
            return refuse(&line, error, "more than 100,000 keys");
        }
        if (!add_line(&line, ret, error)) {
            return false;
        }
        at = newline ? newline + 1 : NULL;
    }
    return true;
}

void signers_release(struct signers *signers)
{
    for (size_t i = 0; i < signers->count; i++) {
        signer_release(&signers->items[i]);
    }
    free(signers->items);
    *signers = (struct signers){0};
}

/* ---- Matching ---- */

/* `*` and `?`, as ssh_config(5) PATTERNS. Linear memory, at worst quadratic time. */
static bool matches(const char *pattern, size_t size, const char *text)
{
    const char *end = pattern + size;
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (pattern < end && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*') {
        pattern++;
    }
    return pattern == end;
}

/* A comma-separated list; one with "!" that matches refuses whatever the others say. */
static bool list_matches(const char *list, const char *text)
{
    bool found = false;
    while (*list) {
        size_t size = strcspn(list, ",");
        bool negated = size > 0 && *list == '!';
        if (matches(list + negated, size - negated, text)) {
            if (negated) {
                return false;
            }
            found = true;
        }
        list += size;
        list += *list == ',';
    }
    return found;
}

const struct signer *signers_find(const struct signers *signers, struct ssh_bytes key,
                                  const char *namespace_, int64_t time, struct error *why)
{
    char fingerprint[SSH_FINGERPRINT_SIZE];
    ssh_key_fingerprint(key, fingerprint);
    error_set(why, ERROR_DENIED, "the signing key %s is not among the keys given", fingerprint);
    for (size_t i = 0; i < signers->count; i++) {
        const struct signer *signer = &signers->items[i];
        struct ssh_bytes blob = {(const uint8_t *)signer->blob.data, signer->blob.size};
        if (!ssh_bytes_equal(blob, key)) {
            continue;
        }
        if (signer->namespaces && !list_matches(signer->namespaces, namespace_)) {
            error_set(why, ERROR_DENIED,
                      "the signing key %s (%.200s) may not sign for Git: its "
                      "namespaces are \"%.200s\"",
                      fingerprint, signer->name, signer->namespaces);
        } else if (time < signer->valid_after || time > signer->valid_before) {
            error_set(why, ERROR_DENIED,
                      "the signing key %s (%.200s) was not valid at the date of the commit or tag",
                      fingerprint, signer->name);
        } else {
            return signer;
        }
    }
    return NULL;
}
