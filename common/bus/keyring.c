#include "common/bus/keyring.h"

#include "common/base/buf.h"
#include "common/base/digest.h"
#include "common/base/memory.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>

#define KEY_FILE_MAXIMUM ((size_t)4096) /* 64 digits and generous white space */
#define DERIVED_COUNT 32u               /* a power of two; lives of peers, times keys */

struct key_file {
    char *path;
    struct stat seen; /* zeroed: not there */
    bool present;
    struct seal_key key;
};

struct derived {
    struct seal_key link_key;
    enum bus_link link;
    uint64_t epoch;
    char instance[FRAME_INSTANCE_SIZE];
    struct seal_key key;
};

struct keyring {
    bool open;
    struct key_file current[BUS_LINKS], previous[BUS_LINKS];
    struct derived derived[DERIVED_COUNT];
};

static bool has_changed(const struct stat *left, const struct stat *right)
{
    return left->st_ino != right->st_ino || left->st_dev != right->st_dev ||
           left->st_size != right->st_size || left->st_mtim.tv_sec != right->st_mtim.tv_sec ||
           left->st_mtim.tv_nsec != right->st_mtim.tv_nsec;
}

static bool read_key(const char *path, struct seal_key *ret, struct error *error)
{
    struct buf text;
    buf_init(&text, KEY_FILE_MAXIMUM);
    bool read = buf_read_file(&text, path, error);
    if (read && memchr(text.data, '\0', text.size)) {
        read = error_set(error, ERROR_INVALID, "it is not text");
    }
    read = read && seal_key_parse(text.data, ret, error);
    OPENSSL_cleanse(text.data, text.size);
    buf_release(&text);
    return read || error_prefix(error, "reading the bus key %s", path);
}

/* Whether the key changed. A file that is gone: `keep` says whether its key stays. */
static bool refresh(struct key_file *file, bool keep, struct error *error)
{
    struct stat now;
    if (stat(file->path, &now) != 0) {
        bool gone = file->present && !keep && (errno == ENOENT || errno == ENOTDIR);
        if (gone) {
            OPENSSL_cleanse(&file->key, sizeof file->key);
            memset(&file->seen, 0, sizeof file->seen);
            file->present = false;
        }
        return gone;
    }
    if (!has_changed(&file->seen, &now)) {
        return false;
    }
    /* Noted before reading: if it is replaced meanwhile, the next look reads it once more. */
    file->seen = now;
    struct seal_key key;
    if (!read_key(file->path, &key, error)) {
        return false;
    }
    bool changed = !file->present || CRYPTO_memcmp(key.bytes, file->key.bytes, SEAL_KEY_SIZE) != 0;
    file->key = key;
    file->present = true;
    OPENSSL_cleanse(&key, sizeof key);
    return changed;
}

bool keyring_reload(struct keyring *ring, struct error *error)
{
    bool changed = false;
    for (size_t i = 0; !ring->open && i < BUS_LINKS; i++) {
        changed |= refresh(&ring->previous[i], false, error);
        changed |= refresh(&ring->current[i], true, error);
    }
    return changed;
}

static void use_well_known_keys(struct keyring *ring)
{
    ring->open = true;
    for (size_t i = 0; i < BUS_LINKS; i++) {
        AUTO_FREE char *text =
            mem_format("gitmoor bus without a key: %s", bus_link_name((enum bus_link)i));
        struct digest digest;
        digest_of(text, strlen(text), &digest);
        memcpy(ring->current[i].key.bytes, digest.bytes, SEAL_KEY_SIZE);
        ring->current[i].key.id = 0;
        ring->current[i].present = true;
    }
}

static bool use_directory(struct keyring *ring, const char *directory, struct error *error)
{
    for (size_t i = 0; i < BUS_LINKS; i++) {
        const char *name = bus_link_name((enum bus_link)i);
        ring->current[i].path = mem_format("%s/%s.key", directory, name);
        ring->previous[i].path = mem_format("%s/%s.previous", directory, name);
    }
    struct error first = {0};
    keyring_reload(ring, &first);
    if (first.code != ERROR_NONE) {
        if (error) {
            *error = first;
        }
        return false;
    }
    for (size_t i = 0; i < BUS_LINKS; i++) {
        if (ring->current[i].present) {
            return true;
        }
    }
    return error_set(error, ERROR_NOT_FOUND,
                     "there is no bus key in %s: put the key of each link of this process there, "
                     "as \"openssl rand -hex 32 >%s.key\" makes one, the same for both ends",
                     directory, bus_link_name(BUS_FETCHER_DIFFER));
}

struct keyring *keyring_new(const char *directory, struct error *error)
{
    struct keyring *ring = NEW(struct keyring);
    if (!directory) {
        use_well_known_keys(ring);
    } else if (!use_directory(ring, directory, error)) {
        keyring_free(ring);
        return NULL;
    }
    return ring;
}

void keyring_free(struct keyring *ring)
{
    if (!ring) {
        return;
    }
    for (size_t i = 0; i < BUS_LINKS; i++) {
        free(ring->current[i].path);
        free(ring->previous[i].path);
    }
    OPENSSL_cleanse(ring, sizeof *ring);
    free(ring);
}

bool keyring_is_open(const struct keyring *ring)
{
    return ring->open;
}

const struct seal_key *keyring_current(const struct keyring *ring, enum bus_link link)
{
    return ring->current[link].present ? &ring->current[link].key : NULL;
}

const struct seal_key *keyring_previous(const struct keyring *ring, enum bus_link link)
{
    return ring->previous[link].present ? &ring->previous[link].key : NULL;
}

const struct seal_key *keyring_find(const struct keyring *ring, enum bus_link link, uint32_t id)
{
    const struct seal_key *current = keyring_current(ring, link);
    const struct seal_key *previous = keyring_previous(ring, link);
    if (current && current->id == id) {
        return current;
    }
    return previous && previous->id == id ? previous : NULL;
}

void keyring_derive(struct keyring *ring, const struct seal_key *link_key,
                    const struct frame_header *header, struct seal_key *ret)
{
    struct derived *slot =
        &ring->derived[(header->sender_epoch ^ link_key->id ^ header->link) % DERIVED_COUNT];
    if (slot->epoch != header->sender_epoch || slot->link != header->link ||
        strcmp(slot->instance, header->instance) != 0 ||
        CRYPTO_memcmp(slot->link_key.bytes, link_key->bytes, SEAL_KEY_SIZE) != 0) {
        frame_derive_key(link_key, header, &slot->key);
        slot->link_key = *link_key;
        slot->link = header->link;
        slot->epoch = header->sender_epoch;
        memcpy(slot->instance, header->instance, sizeof slot->instance);
    }
    *ret = slot->key;
}
