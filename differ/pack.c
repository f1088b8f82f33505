#include "differ/pack.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PACK_TIMEOUT_MS 300000
#define HAVES_MAXIMUM 16 /* commits named to the fetcher; the newest are what matters */
#define KEPT_REFS "refs/gitmoor"

void pack_drop(struct repository *repository)
{
    if (repository->pack_path) {
        unlink(repository->pack_path);
        free(repository->pack_path);
        repository->pack_path = NULL;
    }
}

char *pack_database(const struct repository *repository)
{
    return mem_format("%s/%s.git", repository->differ->settings->data_dir, repository->uid);
}

/* The commits whose objects are complete here: the worker keeps a ref for each. */
static cJSON *list_haves(const struct repository *repository)
{
    cJSON *haves = json_new_array();
    AUTO_FREE char *database = pack_database(repository);
    AUTO_FREE char *path = mem_format("%s/" KEPT_REFS, database);
    DIR *directory = repository->objects_missing ? NULL : opendir(path);
    if (!directory) {
        return haves;
    }
    struct dirent *entry;
    while ((entry = readdir(directory)) && json_size(haves) < HAVES_MAXIMUM) {
        size_t length = strlen(entry->d_name);
        if (length == 40 || length == 64) {
            json_append(haves, json_new_string(entry->d_name));
        }
    }
    closedir(directory);
    return haves;
}

bool pack_has_commit(const struct repository *repository, const char *commit)
{
    AUTO_FREE char *database = pack_database(repository);
    AUTO_FREE char *path = mem_format("%s/" KEPT_REFS "/%s", database, commit);
    return !repository->objects_missing && access(path, F_OK) == 0;
}

/* The question is answered, or of no interest any more. */
void pack_unask(struct repository *repository)
{
    if (repository->pack_asked && repository->fetcher) {
        bus_unsend(repository->fetcher, repository->pack_hint);
    }
    repository->pack_asked = false;
}

void pack_ask(struct repository *repository, const char *commit)
{
    char *wanted = mem_string(commit);
    free(repository->pack_wanted);
    repository->pack_wanted = wanted;
    AUTO_JSON cJSON *body = json_new_object();
    json_add_string(body, "repository", repository->key);
    json_add_string(body, "want", wanted);
    json_add(body, "have", list_haves(repository));
    AUTO_BUF struct buf text;
    buf_init(&text, BUS_HINT_MAXIMUM);
    json_write(body, &text);
    struct error error;
    repository->fetcher = members_owner(repository->differ->members, "fetcher", repository->key);
    if (!repository->fetcher) {
        repository_set_trouble(repository,
                               "no fetcher is there that could be asked for its content");
        return;
    }
    repository->pack_hint =
        bus_send(repository->fetcher, "pack-wanted", text.data, text.size, &error);
    if (!repository->pack_hint) {
        repository_set_trouble(repository, error.message);
        return;
    }
    repository->pack_asked = true;
    struct timeval again = {.tv_sec = PACK_TIMEOUT_MS / 1000};
    evtimer_add(repository->timer, &again);
}

static bool write_file(const char *path, const char *data, size_t size, struct error *error)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot write %s", path);
    }
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return error_set_errno(error, errno, "cannot write %s", path);
        }
        data += written;
        size -= (size_t)written;
    }
    return true;
}

static void on_pack(char *data, size_t size, const struct error *error, void *context)
{
    struct repository *repository = context;
    repository->pack_fetching = false;
    if (!data) {
        repository_set_trouble(repository, error->message);
        return;
    }
    struct error failure;
    pack_drop(repository);
    repository->pack_path =
        mem_format("%s/incoming-%s.pack", repository->differ->settings->data_dir, repository->uid);
    bool written = write_file(repository->pack_path, data, size, &failure);
    free(data);
    if (!written) {
        pack_drop(repository);
        repository_set_trouble(repository, failure.message);
        return;
    }
    repository_step(repository);
}

bool repository_pack_offered(struct differ *differ, struct bus_peer *peer, const cJSON *body)
{
    const char *key = json_string(body, "repository");
    const char *want = json_string(body, "want");
    struct repository *repository = key ? map_get(&differ->repositories, key) : NULL;
    if (!key || !want) {
        return false;
    }
    if (!repository || !repository->pack_asked || !text_equal(want, repository->pack_wanted)) {
        return true; /* an answer to a question of before */
    }
    pack_unask(repository);
    const char *problem = json_string(body, "error");
    struct digest digest;
    if (problem) {
        repository_set_trouble(repository, problem);
        return true;
    }
    int64_t size = json_int(body, "size", -1);
    if (!digest_from_hex(json_string(body, "digest"), &digest) || size < 0) {
        repository_set_trouble(repository, "the fetcher offers a pack without a digest");
        return false;
    }
    repository->pack_fetching = true;
    bus_blob_fetch(peer, &digest, (size_t)size, PACK_TIMEOUT_MS, on_pack, repository);
    return true;
}

/* The pack that is asked for, or on its way, is of a commit before. One that a look reads is left
 * to it. */
void pack_forget(struct repository *repository)
{
    pack_unask(repository);
    if (repository->pack_fetching) {
        bus_blob_cancel(repository->differ->bus, repository);
        repository->pack_fetching = false;
    }
    if (!repository->look) {
        pack_drop(repository);
    }
}
