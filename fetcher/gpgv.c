/* openpgp_verify: gpgv in a directory of its own, which holds the keyring, the signature and what
 * it signs, and is removed afterwards. */
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/child.h"
#include "fetcher/openpgp.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 30000
#define OUTPUT_MAXIMUM ((size_t)1 << 20)

struct run {
    struct event_base *base;
    struct buf status;
    struct error error; /* of the child; code ERROR_NONE: it exited 0 */
};

static bool write_file(const char *path, const struct buf *content, struct error *error)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t written = 0;
    while (fd >= 0 && written < content->size) {
        ssize_t size = write(fd, content->data + written, content->size - written);
        if (size < 0 && errno != EINTR) {
            break;
        }
        written += size > 0 ? (size_t)size : 0;
    }
    return (fd >= 0 && written == content->size) ||
           error_set_errno(error, errno, "cannot write %s", path);
}

static void on_done(const char *output, size_t size, int exit_code, const struct error *error,
                    void *context)
{
    (void)exit_code;
    struct run *run = context;
    buf_append(&run->status, output, size);
    if (error) {
        run->error = *error;
    }
    event_base_loopbreak(run->base);
}

static bool run_gpgv(const char *directory, struct run *run, struct error *error)
{
    AUTO_FREE char *gpgv = child_find_program("gpgv");
    if (!gpgv) {
        return error_set(error, ERROR_NOT_FOUND,
                         "gpgv is not installed, and OpenPGP signatures "
                         "cannot be checked without it");
    }
    AUTO_FREE char *keyring = mem_format("%s/keyring", directory);
    AUTO_FREE char *signature = mem_format("%s/signature", directory);
    AUTO_FREE char *payload = mem_format("%s/payload", directory);
    const char *const arguments[] = {gpgv,      "--homedir", directory, "--status-fd",
                                     "1",       "--keyring", keyring,   "--",
                                     signature, payload,     NULL};
    const struct child_options options = {
        .argv = arguments, .output_maximum = OUTPUT_MAXIMUM, .timeout_ms = TIMEOUT_MS};
    run->base = event_base_new();
    bool ran = child_start(run->base, &options, on_done, run, error);
    if (ran) {
        event_base_dispatch(run->base);
    }
    event_base_free(run->base);
    return ran;
}

static bool verify_in(const char *directory, const struct buf *keyring, const struct buf *signature,
                      const struct buf *payload, struct run *run, struct error *error)
{
    AUTO_FREE char *keyring_path = mem_format("%s/keyring", directory);
    AUTO_FREE char *signature_path = mem_format("%s/signature", directory);
    AUTO_FREE char *payload_path = mem_format("%s/payload", directory);
    return write_file(keyring_path, keyring, error) &&
           write_file(signature_path, signature, error) &&
           write_file(payload_path, payload, error) && run_gpgv(directory, run, error);
}

bool openpgp_verify(const struct buf *keyring, const struct buf *signature,
                    const struct buf *payload, int64_t date, bool *ret_good,
                    char ret_signer[OPENPGP_SIGNER_SIZE], struct error *why, struct error *error)
{
    const char *temporary = getenv("TMPDIR");
    AUTO_FREE char *directory =
        mem_format("%s/gitmoor-verify-XXXXXX", text_is_empty(temporary) ? "/tmp" : temporary);
    if (!mkdtemp(directory)) {
        return error_set_errno(error, errno, "cannot make a directory %s", directory);
    }
    struct run run = {0};
    buf_init(&run.status, OUTPUT_MAXIMUM);
    bool ran = verify_in(directory, keyring, signature, payload, &run, error);
    struct error ignored; /* what is left there is public */
    directory_remove(directory, &ignored);
    bool said_anything = false;
    if (ran) {
        *ret_good = openpgp_judge(run.status.data, date, &said_anything, ret_signer, why);
    }
    buf_release(&run.status);
    if (ran && !said_anything) {
        *error = run.error;
        return error_prefix(error, "gpgv gave no answer");
    }
    return ran;
}
