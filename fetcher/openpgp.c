#include "fetcher/openpgp.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

#define PACKET_PUBLIC_KEY 6
#define CRC24_INIT 0xB704CEu /* RFC 4880, 6.1 */
#define CRC24_POLYNOMIAL 0x1864CFBu

static const char armour_begin[] = "-----BEGIN PGP ";
static const char public_block[] = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
static const char public_end[] = "-----END PGP PUBLIC KEY BLOCK-----";

bool openpgp_is_key_file(const char *data, size_t size)
{
    return size > 0 && ((unsigned char)data[0] & 0x80
                            ? !text_is_utf8(data, size)
                            : memmem(data, size, armour_begin, sizeof armour_begin - 1) != NULL);
}

/* ---- Packets ---- */

/* Header of the packet at `at`: its tag, and the size of header and body; false if it is cut off,
 * or of a length that keys do not have (partial, indeterminate). */
static bool read_packet(const unsigned char *at, size_t left, unsigned *ret_tag, size_t *ret_size)
{
    static const size_t old_sizes[] = {1, 2, 4};
    if (left < 2 || !(at[0] & 0x80)) {
        return false;
    }
    bool is_new = at[0] & 0x40;
    size_t field;
    if (!is_new) {
        *ret_tag = at[0] >> 2 & 15;
        if ((at[0] & 3) == 3) {
            return false;
        }
        field = old_sizes[at[0] & 3];
    } else {
        *ret_tag = at[0] & 63;
        if (at[1] >= 224 && at[1] < 255) {
            return false;
        }
        field = at[1] < 192 ? 1 : at[1] < 224 ? 2 : 5;
    }
    if (left < 1 + field) {
        return false;
    }
    size_t length = 0;
    size_t skipped = is_new && field == 5 ? 1 : 0;
    for (size_t i = skipped; i < field; i++) {
        length = length << 8 | at[1 + i];
    }
    if (is_new && field == 2) {
        length = ((size_t)(at[1] - 192) << 8) + at[2] + 192;
    }
    *ret_size = 1 + field + length;
    return *ret_size <= left;
}

static bool check_packets(const char *data, size_t size, const char *file, struct error *error)
{
    for (size_t at = 0; at < size;) {
        unsigned tag;
        size_t packet;
        if (!read_packet((const unsigned char *)data + at, size - at, &tag, &packet)) {
            return error_set(error, ERROR_INVALID, "%s: not an OpenPGP key, or a damaged one",
                             file);
        }
        if (at == 0 && tag != PACKET_PUBLIC_KEY) {
            return error_set(error, ERROR_INVALID,
                             "%s: not an OpenPGP public key (gpg --export makes one)", file);
        }
        at += packet;
    }
    return size > 0 || error_set(error, ERROR_INVALID, "%s: an empty OpenPGP key", file);
}

/* ---- Armour ---- */

static uint32_t crc24(const char *data, size_t size)
{
    uint32_t crc = CRC24_INIT;
    for (size_t i = 0; i < size; i++) {
        crc ^= (uint32_t)(unsigned char)data[i] << 16;
        for (int bit = 0; bit < 8; bit++) {
            crc <<= 1;
            if (crc & 0x1000000) {
                crc ^= CRC24_POLYNOMIAL;
            }
        }
    }
    return crc & 0xFFFFFF;
}

/* The line after the one at `at`; `end` at the end. */
static const char *next_line(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline ? newline + 1 : end;
}

static bool is_blank_line(const char *at, const char *end)
{
    const char *next = next_line(at, end);
    for (; at < next; at++) {
        if (*at != ' ' && *at != '\t' && *at != '\r' && *at != '\n') {
            return false;
        }
    }
    return true;
}

static bool check_sum(const char *line, const char *end, const struct buf *block)
{
    struct buf sum AUTO_BUF;
    buf_init(&sum, 3);
    const char *next = next_line(line, end);
    if (!base64_decode(line + 1, (size_t)(next - line - 1), &sum) || sum.size != 3) {
        return false;
    }
    const unsigned char *bytes = (const unsigned char *)sum.data;
    return crc24(block->data, block->size) ==
           ((uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2]);
}

/* One block, from behind its BEGIN line up to its END line. */
static bool read_block(const char *at, const char *end, const char *file, struct buf *keyring,
                       struct error *error)
{
    while (at < end && !is_blank_line(at, end)) {
        if (!memchr(at, ':', (size_t)(next_line(at, end) - at))) {
            break; /* some leave out the empty line after no headers */
        }
        at = next_line(at, end);
    }
    const char *sum = at;
    while (sum < end && *sum != '=') {
        sum = next_line(sum, end);
    }
    struct buf block AUTO_BUF;
    buf_init(&block, keyring->maximum);
    if (!base64_decode(at, (size_t)(sum - at), &block) ||
        (sum < end && !check_sum(sum, end, &block))) {
        return error_set(error, ERROR_INVALID, "%s: the armour of the OpenPGP key is damaged",
                         file);
    }
    if (!check_packets(block.data, block.size, file, error)) {
        return false;
    }
    return buf_append(keyring, block.data, block.size) ||
           error_set(error, ERROR_LIMIT, "%s: the OpenPGP keys are larger than %zu bytes together",
                     file, keyring->maximum);
}

static bool read_armour(const char *data, size_t size, const char *file, struct buf *keyring,
                        struct error *error)
{
    const char *end = data + size;
    unsigned blocks = 0;
    for (const char *at = data; at < end;) {
        size_t left = (size_t)(end - at);
        if (left < sizeof armour_begin - 1 ||
            memcmp(at, armour_begin, sizeof armour_begin - 1) != 0) {
            at = next_line(at, end);
            continue;
        }
        if (left < sizeof public_block - 1 ||
            memcmp(at, public_block, sizeof public_block - 1) != 0) {
            return error_set(error, ERROR_INVALID,
                             "%s: holds something else than public keys; a private key must not be "
                             "given away (gpg --export --armor makes a public one)",
                             file);
        }
        const char *first = next_line(at, end);
        const char *last = memmem(first, (size_t)(end - first), public_end, sizeof public_end - 1);
        if (!last) {
            return error_set(error, ERROR_INVALID, "%s: the armour of the OpenPGP key has no end",
                             file);
        }
        if (!read_block(first, last, file, keyring, error)) {
            return false;
        }
        blocks++;
        at = next_line(last, end);
    }
    return blocks > 0 || error_set(error, ERROR_INVALID, "%s: no OpenPGP public key", file);
}

bool openpgp_read_keys(const char *data, size_t size, const char *file, struct buf *keyring,
                       struct error *error)
{
    if (size > 0 && !((unsigned char)data[0] & 0x80)) {
        return read_armour(data, size, file, keyring, error);
    }
    return check_packets(data, size, file, error) &&
           (buf_append(keyring, data, size) ||
            error_set(error, ERROR_LIMIT, "%s: the OpenPGP keys are larger than %zu bytes together",
                      file, keyring->maximum));
}

/* ---- What gpgv says (GnuPG's doc/DETAILS, "Format of the --status-fd output") ---- */

struct verdict {
    unsigned begun, valid, good, expired_key;
    bool refused;
    int64_t expiry; /* the earliest of a key that has expired */
    char fingerprint[128];
    char user[256];
    char refusal[256];
};

/* Copies the words from `at` to the end of the line, printable characters only. */
static void copy_words(char *to, size_t size, const char *at, bool one)
{
    size_t length = 0;
    for (; *at && *at != '\n' && !(one && *at == ' ') && length + 1 < size; at++) {
        to[length++] = (unsigned char)*at < ' ' ? '?' : *at;
    }
    to[length] = '\0';
}

static const char *second_word(const char *at)
{
    at += strcspn(at, " \n");
    return *at == ' ' ? at + 1 : at;
}

static void read_status_line(const char *line, struct verdict *verdict)
{
    static const char *const refusals[] = {"BADSIG", "ERRSIG", "NO_PUBKEY", "REVKEYSIG",
                                           "EXPSIG", "NODATA", "UNEXPECTED"};
    size_t size = strcspn(line, " \n");
    const char *rest = line[size] == ' ' ? line + size + 1 : line + size;
    if (size == 6 && strncmp(line, "NEWSIG", size) == 0) {
        verdict->begun++;
    } else if (size == 8 && strncmp(line, "VALIDSIG", size) == 0) {
        verdict->valid++;
        copy_words(verdict->fingerprint, sizeof verdict->fingerprint, rest, true);
    } else if (size == 7 && strncmp(line, "GOODSIG", size) == 0) {
        verdict->good++;
        copy_words(verdict->user, sizeof verdict->user, second_word(rest), false);
    } else if (size == 9 && strncmp(line, "EXPKEYSIG", size) == 0) {
        verdict->expired_key++;
        copy_words(verdict->user, sizeof verdict->user, second_word(rest), false);
    } else if (size == 10 && strncmp(line, "KEYEXPIRED", size) == 0) {
        int64_t expiry = strtoll(rest, NULL, 10);
        verdict->expiry = expiry < verdict->expiry ? expiry : verdict->expiry;
    }
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        if (size == strlen(refusals[i]) && strncmp(line, refusals[i], size) == 0) {
            verdict->refused = true;
            copy_words(verdict->refusal, sizeof verdict->refusal, line, false);
        }
    }
}

bool openpgp_judge(const char *status, int64_t date, bool *ret_said_anything,
                   char ret_signer[OPENPGP_SIGNER_SIZE], struct error *why)
{
    static const char prefix[] = "[GNUPG:] ";
    struct verdict verdict = {.expiry = INT64_MAX};
    *ret_said_anything = false;
    for (const char *line = status; *line; line += *line == '\n') {
        if (strncmp(line, prefix, sizeof prefix - 1) == 0) {
            *ret_said_anything = true;
            read_status_line(line + sizeof prefix - 1, &verdict);
        }
        line += strcspn(line, "\n");
    }
    if (verdict.refused) {
        return error_set(why, ERROR_DENIED, "gpgv refuses the OpenPGP signature: %s",
                         verdict.refusal);
    }
    if (verdict.begun > 1 || verdict.valid != 1 || verdict.good + verdict.expired_key != 1) {
        return error_set(why, ERROR_DENIED,
                         "gpgv finds no good OpenPGP signature, or more than one");
    }
    if (verdict.expired_key && (verdict.expiry == INT64_MAX || date >= verdict.expiry)) {
        return error_set(why, ERROR_DENIED,
                         "the OpenPGP key %s had expired at the date of the commit or tag",
                         verdict.fingerprint);
    }
    snprintf(ret_signer, OPENPGP_SIGNER_SIZE, "OpenPGP key %s (%s)", verdict.fingerprint,
             verdict.user);
    return true;
}
