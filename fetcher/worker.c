#include "fetcher/worker.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/run/sandbox.h"
#include "fetcher/fetch.h"
#include "fetcher/mirror.h"
#include "fetcher/pack.h"
#include "fetcher/transport_http.h"

#include <errno.h>
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
                          struct error *error)
{
    cJSON *answer = json_new_object();
    json_add_bool(answer, "ok", false);
    json_add_string(answer, "reason", fetch_reason_name(reason));
    /* What servers and libgit2 say need not be UTF-8, and must not end the worker's answer. */
    bool readable = text_is_utf8(failure->message, strlen(failure->message));
    json_add_string(answer, "message", readable ? failure->message : "(unreadable message)");
    return write_answer(answer, error);
}

/* ---- The sandbox ---- */

/* Only the mirror can be written; a fetch may also use the network and, with a file URL, read
 * there. */
static bool lock_down(const char *directory, bool is_fetch, const char *url, struct error *error)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none); /* a core would hold the credentials */
    bool is_file = is_fetch && text_has_prefix(url, "file://");
    const char *source = is_file ? url + strlen("file://") : "/dev/null";
    const char *const fetch_reads[] = {NETWORK_FILES, SANITIZER_FILES, source, NULL};
    const char *const pack_reads[] = {SANITIZER_FILES, directory, NULL};
    const char *const fetch_writes[] = {directory, NULL};
    const char *const nothing[] = {NULL};
    struct sandbox_options options = {
        .read_only = is_fetch ? fetch_reads : pack_reads,
        .read_write = is_fetch ? fetch_writes : nothing,
        .execute = nothing,
        .network = is_fetch && !is_file,
    };
    enum sandbox_strength strength; /* the parent has logged what the kernel lacks */
    return sandbox_enter(&options, &strength, error);
}

/* ---- fetch ---- */

static bool do_fetch(const cJSON *request, struct error *error)
{
    struct fetch_request fetch = {
        .directory = json_string(request, "directory"),
        .url = json_string(request, "url"),
        .branch = json_string(request, "branch"),
        .tag = json_string(request, "tag"),
        .commit = json_string(request, "commit"),
        .previous = json_string(request, "previous"),
        .username = json_string(request, "username"),
        .password = json_string(request, "password"),
        .bearer_token = json_string(request, "bearerToken"),
        .authorities = json_string(request, "authorities"),
        .size_maximum = (uint64_t)json_int(request, "sizeMaximum", 0),
        .timeout_ms = json_int(request, "timeoutMs", 0),
        .allow_file_urls = json_bool(request, "allowFileUrls", false),
        .fresh = json_bool(request, "fresh", false),
    };
    if (!fetch.directory || !fetch.url) {
        return error_set(error, ERROR_INVALID, "the request has no directory or no url");
    }
    if (!http_transport_library_open(error) ||
        !lock_down(fetch.directory, true, fetch.url, error)) {
        return false;
    }
    struct fetch_result result;
    enum fetch_reason reason = FETCH_FAILED;
    struct error failure;
    if (!fetch_run(&fetch, &result, &reason, &failure)) {
        return write_failure(reason, &failure, error);
    }
    cJSON *answer = json_new_object();
    json_add_bool(answer, "ok", true);
    json_add_string(answer, "commit", result.commit);
    json_add_string(answer, "revision", result.revision);
    json_add_bool(answer, "forced", result.forced);
    json_add_bool(answer, "cloned", result.cloned);
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
    if (!lock_down(pack.directory, false, NULL, error)) {
        return false;
    }
    enum fetch_reason reason = FETCH_FAILED;
    struct error failure;
    bool packed = pack_write(&pack, write_pack, NULL, &reason, &failure);
    if (!write_all("\n", 1, error)) { /* between the pack, or the part of it, and the answer */
        return false;
    }
    if (!packed) {
        return write_failure(reason, &failure, error);
    }
    cJSON *answer = json_new_object();
    json_add_bool(answer, "ok", true);
    return write_answer(answer, error);
}

static bool work(struct error *error)
{
    struct buf text AUTO_BUF;
    buf_init(&text, REQUEST_MAXIMUM);
    cJSON *request AUTO_JSON = NULL;
    struct json_limits limits = {REQUEST_MAXIMUM, 10, 100000};
    if (!buf_read_fd(&text, STDIN_FILENO, "the request", error) ||
        !json_parse(text.data, text.size, &limits, &request, error) ||
        !mirror_library_open(error)) {
        return false;
    }
    const char *operation = json_string(request, "operation");
    bool done = false;
    if (text_equal(operation, "fetch")) {
        done = do_fetch(request, error);
    } else if (text_equal(operation, "pack")) {
        done = do_pack(request, error);
    } else {
        error_set(error, ERROR_INVALID, "unknown operation in the request");
    }
    mirror_library_close();
    return done;
}

int worker_main(void)
{
    struct error error;
    if (work(&error)) {
        return 0;
    }
    fprintf(stderr, "gitmoor-fetcher worker: %s\n", error.message);
    return 1;
}
