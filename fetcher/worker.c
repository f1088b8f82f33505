#include "fetcher/worker.h"

#include "common/base/base64.h"
#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/run/child.h"
#include "common/run/sandbox.h"
#include "fetcher/chart.h"
#include "fetcher/fetch.h"
#include "fetcher/mirror.h"
#include "fetcher/pack.h"
#include "fetcher/transport_curl.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A Secret is 1 MiB at most; a pack request names at most some thousand commits. */
#define REQUEST_MAXIMUM ((size_t)4 << 20)
#define ANSWER_MAXIMUM ((size_t)64 << 10)

/* What name resolution, TLS and the C library's modules read. Missing ones are skipped. */
#define NETWORK_FILES                                                                              \
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf",     \
        "/etc/services", "/etc/ssl", "/etc/pki", "/etc/ca-certificates",                           \
        "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/lib/ssl",          \
        "/run/systemd/resolve", "/etc/ld.so.cache", "/lib", "/lib64", "/usr/lib", "/dev/urandom"

/* What ssh reads besides: who it runs as, and the key that we hold open for it. */
#define PROGRAM_FILES "/etc/passwd", "/etc/group", "/proc"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZER_FILES "/proc" /* the leak check at the end reads its own threads and mappings */
#else
#define SANITIZER_FILES "/dev/null"
#endif

static bool write_all(const void *data, size_t size, struct error *error)
{
    const char *bytes = data;
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return error_set_errno(error, errno, "cannot write the answer");
        }
        bytes += written;
        size -= (size_t)written;
    }
    return true;
}

static bool write_answer(cJSON *answer, struct error *error)
{
    struct buf text AUTO_BUF;
    buf_init(&text, ANSWER_MAXIMUM);
    bool whole = json_write(answer, &text) && buf_append_char(&text, '\n');
    json_free(answer);
    if (!whole) {
        return error_set(error, ERROR_INTERNAL, "the answer is too long");
    }
    return write_all(text.data, text.size, error);
}

static bool write_failure(enum fetch_reason reason, const struct error *failure,
                          int64_t retry_after_ms, struct error *error)
{
    cJSON *answer = json_new_object();
    json_add_bool(answer, "ok", false);
    if (retry_after_ms > 0) {
        json_add_int(answer, "retryAfterMs", retry_after_ms);
    }
    json_add_string(answer, "reason", fetch_reason_name(reason));
    /* What servers and libgit2 say need not be UTF-8, and must not end the worker's answer. */
    bool readable = text_is_utf8(failure->message, strlen(failure->message));
    json_add_string(answer, "message", readable ? failure->message : "(unreadable message)");
    return write_answer(answer, error);
}

/* ---- The sandbox ---- */

/* Only the mirror can be written; a fetch may also use the network, run ssh and gpgv, and, with a
 * file URL, read there. */
static bool lock_down_fetch(const char *directory, const char *url, struct error *error)
{
    bool is_file = text_has_prefix(url, "file://");
    const char *source = is_file ? url + strlen("file://") : "/dev/null";
    AUTO_FREE char *ssh = child_find_program("ssh");
    AUTO_FREE char *gpgv = child_find_program("gpgv");
    const char *const reads[] = {NETWORK_FILES, PROGRAM_FILES, source, NULL};
    const char *const writes[] = {directory, "/dev/null", NULL};
    const char *const programs[] = {
        "/lib", "/lib64", "/usr/lib", ssh ? ssh : "/dev/null", gpgv ? gpgv : "/dev/null", NULL};
    struct sandbox_options options = {
        .read_only = reads, .read_write = writes, .execute = programs, .network = !is_file};
    enum sandbox_strength strength; /* the parent has logged what the kernel lacks */
    setenv("TMPDIR", directory, 1); /* gpgv reads files; the mirror's sweep removes them */
    return sandbox_enter(&options, &strength, error);
}

/* A chart needs the network and the mirror, and runs nothing. */
static bool lock_down_chart(const char *directory, struct error *error)
{
    const char *const reads[] = {NETWORK_FILES, SANITIZER_FILES, NULL};
    const char *const writes[] = {directory, "/dev/null", NULL};
    const char *const nothing[] = {NULL};
    struct sandbox_options options = {
        .read_only = reads, .read_write = writes, .execute = nothing, .network = true};
    enum sandbox_strength strength;
    return sandbox_enter(&options, &strength, error);
}

/* A pack only reads the mirror. */
static bool lock_down_pack(const char *directory, struct error *error)
{
    const char *const reads[] = {SANITIZER_FILES, directory, NULL};
    const char *const nothing[] = {NULL};
    struct sandbox_options options = {
        .read_only = reads, .read_write = nothing, .execute = nothing};
    enum sandbox_strength strength;
    return sandbox_enter(&options, &strength, error);
}

/* ---- fetch ---- */

static void free_keys(struct verify_keys **keys)
{
    verify_keys_free(*keys);
}

/* The files of public keys, name to base64. *ret is NULL if there are none to be looked at. */
static bool read_keys(const cJSON *files, struct verify_keys **ret, struct error *error)
{
    struct verify_keys *keys = files ? verify_keys_new() : NULL;
    *ret = keys;
    for (const cJSON *file = json_first(files); file; file = file->next) {
        struct buf content AUTO_BUF;
        buf_init(&content, REQUEST_MAXIMUM);
        const char *text = cJSON_IsString(file) ? file->valuestring : "";
        if (!base64_decode(text, strlen(text), &content)) {
            return error_set(error, ERROR_INVALID, "%s is not base64", file->string);
        }
        if (!verify_keys_add(keys, file->string, content.data, content.size, error)) {
            return error_prefix(error, "the Secret of spec.verify");
        }
    }
    return true;
}

static bool do_fetch(const cJSON *request, struct error *error)
{
    struct fetch_request fetch;
    fetch_request_read(request, &fetch);
    if (!fetch.directory || !fetch.url) {
        return error_set(error, ERROR_INVALID, "the request has no directory or no url");
    }
    if (!transport_curl_library_open(error) ||
        !(fetch.chart ? lock_down_chart(fetch.directory, error)
                      : lock_down_fetch(fetch.directory, fetch.url, error)) ||
        !mirror_library_open(error)) {
        return false;
    }
    struct fetch_result result = {0};
    enum fetch_reason reason = FETCH_SECRET_INVALID;
    struct error failure;
    __attribute__((cleanup(free_keys))) struct verify_keys *keys = NULL;
    bool fetched = read_keys(json_object(request, "keys"), &keys, &failure);
    if (fetched) {
        fetch.keys = keys;
        reason = FETCH_FAILED;
        fetched = (fetch.chart ? chart_run : fetch_run)(&fetch, &result, &reason, &failure);
    }
    mirror_library_close();
    if (!fetched) {
        return write_failure(reason, &failure, result.retry_after_ms, error);
    }
    cJSON *answer = json_new_object();
    json_add_bool(answer, "ok", true);
    json_add_string(answer, "commit", result.commit);
    json_add_string(answer, "revision", result.revision);
    json_add_bool(answer, "forced", result.forced);
    json_add_bool(answer, "cloned", result.cloned);
    if (keys) {
        json_add_string(answer, "signer", result.signer);
    }
    json_add_string(answer, "digest", result.digest[0] ? result.digest : NULL);
    json_add_int(answer, "receivedBytes", (int64_t)result.received_bytes);
    return write_answer(answer, error);
}

/* ---- pack ---- */

static bool write_pack(const void *data, size_t size, void *context, struct error *error)
{
    (void)context;
    return write_all(data, size, error);
}

static bool do_pack(const cJSON *request, struct error *error)
{
    const cJSON *have = json_array(request, "have");
    AUTO_FREE const char **commits = mem_new(json_size(have) + 1, sizeof *commits);
    struct pack_request pack = {
        .directory = json_string(request, "directory"),
        .want = json_string(request, "want"),
        .have = commits,
        .size_maximum = (uint64_t)json_int(request, "sizeMaximum", 0),
    };
    for (const cJSON *item = json_first(have); item; item = item->next) {
        if (cJSON_IsString(item)) {
            commits[pack.have_count++] = item->valuestring;
        }
    }
    if (!pack.directory || !pack.want) {
        return error_set(error, ERROR_INVALID, "the request has no directory or no want");
    }
    /* libgit2 last: in there it cannot parse certificates that nobody here needs, for 3 ms. */
    if (!lock_down_pack(pack.directory, error) || !mirror_library_open(error)) {
        return false;
    }
    enum fetch_reason reason = FETCH_FAILED;
    struct error failure;
    bool packed = pack_write(&pack, write_pack, NULL, &reason, &failure);
    mirror_library_close();
    if (!write_all("\n", 1, error)) { /* between the pack, or the part of it, and the answer */
        return false;
    }
    if (!packed) {
        return write_failure(reason, &failure, 0, error);
    }
    cJSON *answer = json_new_object();
    json_add_bool(answer, "ok", true);
    return write_answer(answer, error);
}

static bool work(struct error *error)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); /* a core would hold the credentials */
    signal(SIGPIPE, SIG_IGN);      /* an ssh that ends is told by the write */
    struct buf text AUTO_BUF;
    buf_init(&text, REQUEST_MAXIMUM);
    cJSON *request AUTO_JSON = NULL;
    struct json_limits limits = {REQUEST_MAXIMUM, 10, 100000};
    if (!buf_read_fd(&text, STDIN_FILENO, "the request", error) ||
        !json_parse(text.data, text.size, &limits, &request, error)) {
        return false;
    }
    const char *operation = json_string(request, "operation");
    if (text_equal(operation, "fetch")) {
        return do_fetch(request, error);
    }
    if (text_equal(operation, "pack")) {
        return do_pack(request, error);
    }
    return error_set(error, ERROR_INVALID, "unknown operation in the request");
}

int fetch_worker_main(void)
{
    struct error error;
    if (work(&error)) {
        return 0;
    }
    fprintf(stderr, "gitmoor-fetcher worker: %s\n", error.message);
    return 1;
}
