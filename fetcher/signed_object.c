#include "fetcher/signed_object.h"

#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

static const char pgp_signature[] = "-----BEGIN PGP SIGNATURE-----";
static const char pgp_message[] = "-----BEGIN PGP MESSAGE-----";
static const char ssh_signature[] = "-----BEGIN SSH SIGNATURE-----";
static const char x509_signature[] = "-----BEGIN SIGNED MESSAGE-----";

static bool begins(const char *text, size_t size, const char *with)
{
    size_t length = strlen(with);
    return size >= length && memcmp(text, with, length) == 0;
}

static enum signature_format format_of(const char *text, size_t size)
{
    if (begins(text, size, pgp_signature) || begins(text, size, pgp_message)) {
        return SIGNATURE_OPENPGP;
    }
    if (begins(text, size, ssh_signature)) {
        return SIGNATURE_SSH;
    }
    return begins(text, size, x509_signature) ? SIGNATURE_OTHER : SIGNATURE_NONE;
}

/* The line at `at`, with its newline. */
static size_t line_size(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return (size_t)((newline ? newline + 1 : end) - at);
}

/* Copies headers and body to the payload but for headers that begin with "gpgsig"; the one called
 * gpgsig goes to the signature, if that is wanted. */
static void split_headers(const char *raw, size_t size, bool take_signature,
                          struct signed_object *ret)
{
    const char *end = raw + size;
    enum { KEPT, OURS, DROPPED } kind = KEPT;
    for (const char *line = raw; line < end;) {
        size_t length = line_size(line, end);
        if (*line == '\n') {
            buf_append(&ret->payload, line, (size_t)(end - line));
            return;
        }
        size_t skipped = 0;
        if (*line == ' ') {
            skipped = 1; /* goes on with the header above */
        } else if (begins(line, length, "gpgsig ")) {
            kind = take_signature ? OURS : DROPPED;
            skipped = strlen("gpgsig ");
        } else {
            kind = begins(line, length, "gpgsig") ? DROPPED : KEPT;
        }
        if (kind == OURS) {
            buf_append(&ret->signature, line + skipped, length - skipped);
        } else if (kind == KEPT) {
            buf_append(&ret->payload, line, length);
        }
        line += length;
    }
}

/* Where the signature of a tag begins: at the last line that begins one. */
static size_t find_tag_signature(const char *raw, size_t size)
{
    const char *end = raw + size;
    size_t found = size;
    for (const char *line = raw; line < end; line += line_size(line, end)) {
        if (format_of(line, (size_t)(end - line)) != SIGNATURE_NONE) {
            found = (size_t)(line - raw);
        }
    }
    return found;
}

/* "committer A U Thor <a@b> 1700000000 +0100": after the last ">". */
static int64_t read_date(const char *payload, size_t size, const char *header)
{
    const char *end = payload + size;
    for (const char *line = payload; line < end && *line != '\n';) {
        size_t length = line_size(line, end);
        if (begins(line, length, header)) {
            const char *bracket = memrchr(line, '>', length);
            char *after = NULL;
            if (!bracket || bracket[1] != ' ' || bracket[2] < '0' || bracket[2] > '9') {
                return INT64_MIN;
            }
            return strtoll(bracket + 2, &after, 10);
        }
        line += length;
    }
    return INT64_MIN;
}

void signed_object_split(const char *raw, size_t size, bool is_tag, struct signed_object *ret)
{
    *ret = (struct signed_object){0};
    buf_init(&ret->payload, size);
    buf_init(&ret->signature, size);
    if (is_tag) {
        size_t at = find_tag_signature(raw, size);
        split_headers(raw, at, false, ret);
        buf_append(&ret->signature, raw + at, size - at);
    } else {
        split_headers(raw, size, true, ret);
    }
    ret->format = format_of(ret->signature.data, ret->signature.size);
    if (ret->signature.size > 0 && ret->format == SIGNATURE_NONE) {
        ret->format = SIGNATURE_OTHER;
    }
    ret->date = read_date(ret->payload.data, ret->payload.size, is_tag ? "tagger " : "committer ");
}

void signed_object_release(struct signed_object *object)
{
    buf_release(&object->payload);
    buf_release(&object->signature);
}
