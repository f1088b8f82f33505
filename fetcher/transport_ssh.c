#include "fetcher/transport_ssh.h"

#include "common/base/base64.h"
#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/spawn.h"
#include "fetcher/ssh_key.h"

#include <ctype.h>
#include <errno.h>
#include <git2/sys/transport.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECT_SECONDS "15"
/* A server that answers no keep-alive three times, ten seconds apart, is taken for dead. */
#define ALIVE_SECONDS "10"
#define SAID_MAXIMUM ((size_t)2048)
/* How long ssh may take to end once the server has closed, before it is killed. */
#define END_MS 2000
#define URL_SCHEME "ssh://"

struct stream {
    git_smart_subtransport_stream parent; /* first: libgit2 knows the stream by it */
    struct session *session;
    struct spawned ssh;
    int identity, known_hosts; /* memfds */
    struct buf said;           /* the beginning of its standard error */
    uint64_t advertised;       /* bytes read before the first request */
    bool requested;
};

struct session {
    git_smart_subtransport parent; /* first */
    struct transport *transport;
    struct stream *stream; /* one connection serves the list and the pack */
};

/* ---- The address ---- */

static char *take(const char **from, const char *end)
{
    char *taken = mem_string_n(*from, (size_t)(end - *from));
    *from = end;
    return taken;
}

/* No control characters, blanks or quotes: what is left of it goes on a command line, in quotes. */
static bool is_plain(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c <= ' ' || *c == 0x7F || *c == '\'' || *c == '\\') {
            return false;
        }
    }
    return text[0] != '\0' && text[0] != '-';
}

static bool is_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= 5 && text[digits] == '\0';
}

bool ssh_address_parse(const char *url, struct ssh_address *ret, struct error *error)
{
    *ret = (struct ssh_address){0};
    const char *at = text_has_prefix(url, URL_SCHEME) ? url + strlen(URL_SCHEME) : "";
    const char *slash = strchr(at, '/');
    const char *end = slash ? slash : at + strlen(at);
    const char *user_end = memchr(at, '@', (size_t)(end - at));
    ret->user = user_end ? take(&at, user_end) : mem_string("git");
    at += user_end != NULL;
    const char *bracket = *at == '[' ? memchr(at, ']', (size_t)(end - at)) : NULL;
    at += bracket != NULL;
    const char *colon =
        memchr(bracket ? bracket : at, ':', (size_t)(end - (bracket ? bracket : at)));
    ret->host = take(&at, bracket ? bracket : colon ? colon : end);
    at = colon ? colon + 1 : end;
    ret->port = colon ? take(&at, end) : mem_string("22");
    ret->path = mem_string(text_has_prefix(end, "/~") ? end + 1 : end);
    if (is_plain(ret->user) && !strchr(ret->user, ':') && is_plain(ret->host) &&
        is_port(ret->port) && is_plain(ret->path) && strlen(ret->path) > 1) {
        return true;
    }
    bool tells_password = strchr(ret->user, ':') != NULL;
    ssh_address_release(ret);
    return tells_password
               ? error_set(error, ERROR_INVALID,
                           "spec.url holds a password. Take it out, and put a key into the Secret "
                           "of spec.secretRef: a URL is shown to everybody")
               : error_set(error, ERROR_INVALID,
                           "%.300s: the URL must be ssh://USER@HOST[:PORT]/PATH without blanks and "
                           "quotes",
                           url);
}

void ssh_address_release(struct ssh_address *address)
{
    free(address->user);
    free(address->host);
    free(address->port);
    free(address->path);
    *address = (struct ssh_address){0};
}

/* ---- The identity ---- */

/* A key in OpenSSH's own format names its cipher after "openssh-key-v1\0" (PROTOCOL.key). */
static bool has_cipher(const char *body, const char *end)
{
    static const char magic[] = "openssh-key-v1";
    struct buf binary AUTO_BUF;
    buf_init(&binary, (size_t)1 << 20);
    if (!base64_decode(body, (size_t)(end - body), &binary) || binary.size < sizeof magic ||
        memcmp(binary.data, magic, sizeof magic) != 0) {
        return false; /* damaged: ssh says so */
    }
    struct ssh_bytes rest = {(const uint8_t *)binary.data + sizeof magic,
                             binary.size - sizeof magic};
    struct ssh_bytes cipher;
    bool ciphered = ssh_take_string(&rest, &cipher) && !ssh_bytes_are(cipher, "none");
    explicit_bzero(binary.data, binary.size);
    return ciphered;
}

bool ssh_transport_check_identity(const char *identity, struct error *error)
{
    static const char begin[] = "-----BEGIN OPENSSH PRIVATE KEY-----";
    const char *header = strstr(identity, "-----BEGIN ");
    if (!header || !strstr(header, "PRIVATE KEY-----")) {
        return error_set(error, ERROR_INVALID,
                         "identity of the Secret is no private key in PEM or OpenSSH format. Put "
                         "the file there that ssh-keygen wrote, the one without .pub");
    }
    const char *body = text_has_prefix(header, begin) ? header + strlen(begin) : NULL;
    const char *end = body ? strstr(body, "-----END") : NULL;
    if (strstr(header, "ENCRYPTED") || (end && has_cipher(body, end))) {
        return error_set(
            error, ERROR_INVALID,
            "identity of the Secret is protected by a passphrase, which nobody is "
            "there to type. Use a deploy key without one: ssh-keygen -t ed25519 -N ''");
    }
    return true;
}

/* ---- What a failure means ---- */

enum fetch_reason ssh_transport_judge(const char *said)
{
    static const struct {
        const char *words;
        enum fetch_reason reason;
    } table[] = {
        {"Host key verification failed", FETCH_HOST_KEY_INVALID},
        {"host key is known", FETCH_HOST_KEY_INVALID},
        {"IDENTIFICATION HAS CHANGED", FETCH_HOST_KEY_INVALID},
        {"Permission denied", FETCH_AUTHENTICATION_FAILED},
        {"Too many authentication failures", FETCH_AUTHENTICATION_FAILED},
        {"Load key", FETCH_SECRET_INVALID},
        {"Could not resolve hostname", FETCH_UNREACHABLE},
        {"Connection refused", FETCH_UNREACHABLE},
        {"Connection timed out", FETCH_UNREACHABLE},
        {"Connection closed", FETCH_UNREACHABLE},
        {"Connection reset", FETCH_UNREACHABLE},
        {"No route to host", FETCH_UNREACHABLE},
        {"Network is unreachable", FETCH_UNREACHABLE},
        {"not responding", FETCH_UNREACHABLE},
        {"does not appear to be a git repository", FETCH_REPOSITORY_NOT_FOUND},
        {"epository not found", FETCH_REPOSITORY_NOT_FOUND},
        {"could not be found", FETCH_REPOSITORY_NOT_FOUND},
    };
    /* What comes first has caused the rest: a server that turns us away also closes. */
    const char *first = NULL;
    enum fetch_reason reason = FETCH_FAILED;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const char *found = strstr(said, table[i].words);
        if (found && (!first || found < first)) {
            first = found;
            reason = table[i].reason;
        }
    }
    /* ssh tells of a key that it cannot load and goes on without it. */
    return strstr(said, "Load key") ? FETCH_SECRET_INVALID : reason;
}

static const char *advice(enum fetch_reason reason)
{
    switch (reason) {
    case FETCH_HOST_KEY_INVALID:
        return "Put the server's keys into known_hosts of the Secret (ssh-keyscan HOST), after "
               "checking them";
    case FETCH_AUTHENTICATION_FAILED:
        return "Check that the server knows the public key of identity and lets it read this "
               "repository";
    case FETCH_SECRET_INVALID:
        return "Check that identity in the Secret is a whole private key, its last line end "
               "included";
    case FETCH_REPOSITORY_NOT_FOUND:
        return "Check spec.url";
    default:
        return "Check the server and the network to it";
    }
}

/* For a message: one line, printable. */
static void tidy(struct buf *said)
{
    bool is_text = text_is_utf8(said->data, said->size);
    for (size_t i = 0; i < said->size; i++) {
        unsigned char c = (unsigned char)said->data[i];
        if (c < ' ' || c == 0x7F || (c >= 0x80 && !is_text)) {
            said->data[i] = ' ';
        }
    }
    while (said->size > 0 && said->data[said->size - 1] == ' ') {
        said->data[--said->size] = '\0';
    }
}

static int fail_said(struct stream *stream)
{
    struct transport *transport = stream->session->transport;
    tidy(&stream->said);
    const char *said = stream->said.size > 0 ? stream->said.data : "it gave no reason";
    enum fetch_reason reason = ssh_transport_judge(said);
    return transport_fail(transport, reason, ERROR_UNAVAILABLE, "ssh cannot fetch %s: %s. %s",
                          transport->url, said, advice(reason));
}

/* ---- The program ---- */

/* A file in memory that only we can read. ssh closes what it inherits, hence opens it by the path
 * in /proc of ours. */
static int memory_file(const char *name, const char *content)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    size_t size = strlen(content);
    bool missing_end = size > 0 && content[size - 1] != '\n'; /* ssh refuses a key without it */
    if (fd >= 0 && (fchmod(fd, 0600) != 0 || write(fd, content, size) != (ssize_t)size ||
                    (missing_end && write(fd, "\n", 1) != 1))) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool run_ssh(struct stream *stream, const struct ssh_address *address, const char *program,
                    struct error *error)
{
    AUTO_FREE char *identity = mem_format("/proc/%d/fd/%d", (int)getpid(), stream->identity);
    AUTO_FREE char *hosts =
        mem_format("UserKnownHostsFile=/proc/%d/fd/%d", (int)getpid(), stream->known_hosts);
    AUTO_FREE char *command = mem_format("git-upload-pack '%s'", address->path);
    const char *const arguments[] = {program, "-F",
                                     "none",  "-T",
                                     "-x",    "-a",
                                     "-i",    identity,
                                     "-p",    address->port,
                                     "-l",    address->user,
                                     "-o",    hosts,
                                     "-o",    "GlobalKnownHostsFile=/dev/null",
                                     "-o",    "StrictHostKeyChecking=yes",
                                     "-o",    "UpdateHostKeys=no",
                                     "-o",    "CheckHostIP=no",
                                     "-o",    "IdentitiesOnly=yes",
                                     "-o",    "IdentityAgent=none",
                                     "-o",    "BatchMode=yes",
                                     "-o",    "PreferredAuthentications=publickey",
                                     "-o",    "LogLevel=ERROR",
                                     "-o",    "ConnectTimeout=" CONNECT_SECONDS,
                                     "-o",    "ServerAliveInterval=" ALIVE_SECONDS,
                                     "-o",    "ServerAliveCountMax=3",
                                     "-o",    "ClearAllForwardings=yes",
                                     "-o",    "ControlMaster=no",
                                     "-o",    "PermitLocalCommand=no",
                                     "--",    address->host,
                                     command, NULL};
    const struct child_options options = {.argv = arguments};
    return spawn(&options, &stream->ssh, error);
}

static int start(struct stream *stream)
{
    struct transport *transport = stream->session->transport;
    AUTO_FREE char *program = child_find_program("ssh");
    if (!program) {
        return transport_fail(transport, FETCH_FAILED, ERROR_NOT_FOUND,
                              "ssh is not installed, and %s cannot be fetched without it",
                              transport->url);
    }
    struct error error;
    struct ssh_address address;
    if (!ssh_address_parse(transport->url, &address, &error)) {
        return transport_fail(transport, FETCH_UNSUPPORTED_URL, error.code, "%s", error.message);
    }
    stream->identity = memory_file("identity", transport->identity);
    stream->known_hosts = memory_file("known_hosts", transport->known_hosts);
    bool ran = stream->identity >= 0 && stream->known_hosts >= 0
                   ? run_ssh(stream, &address, program, &error)
                   : error_set_errno(&error, errno, "cannot make a file in memory");
    ssh_address_release(&address);
    return ran ? 0
               : transport_fail(transport, FETCH_FAILED, error.code, "cannot fetch %s: %s",
                                transport->url, error.message);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void stop(struct stream *stream)
{
    struct spawned *ssh = &stream->ssh;
    close_fd(&ssh->input);
    close_fd(&ssh->output);
    close_fd(&ssh->error);
    close_fd(&ssh->pidfd);
    close_fd(&stream->identity);
    close_fd(&stream->known_hosts);
    if (ssh->pid > 0) {
        kill(-ssh->pid, SIGKILL);
        while (waitpid(ssh->pid, NULL, 0) < 0 && errno == EINTR) {
        }
        ssh->pid = 0;
    }
}

/* ---- Reading and writing ---- */

static void listen_to_errors(struct stream *stream)
{
    char text[512];
    ssize_t size;
    while ((size = read(stream->ssh.error, text, sizeof text)) > 0) {
        size_t room = SAID_MAXIMUM - stream->said.size;
        buf_append(&stream->said, text, (size_t)size < room ? (size_t)size : room);
    }
    if (size == 0) {
        close_fd(&stream->ssh.error);
    }
}

/* Waits until `fd` is ready for `events`, and listens to standard error meanwhile. */
static int wait_for(struct stream *stream, int fd, short events)
{
    struct transport *transport = stream->session->transport;
    for (;;) {
        int64_t left = transport->deadline_ms - clock_monotonic_ms();
        if (left <= 0) {
            return transport_fail_timeout(transport);
        }
        struct pollfd polled[] = {{.fd = fd, .events = events},
                                  {.fd = stream->ssh.error, .events = POLLIN}};
        int ready = poll(polled, 2, left > 1000 ? 1000 : (int)left);
        if (ready < 0 && errno != EINTR) {
            return transport_fail(transport, FETCH_FAILED, ERROR_SYSTEM, "cannot wait for ssh: %s",
                                  strerror(errno));
        }
        if (ready > 0 && polled[1].revents) {
            listen_to_errors(stream);
        }
        if (ready > 0 && polled[0].revents) {
            return 0;
        }
    }
}

/* ssh has closed its side: what it says of that is awaited. */
static int fail_ended(struct stream *stream)
{
    int64_t until = clock_monotonic_ms() + END_MS;
    while (stream->ssh.error >= 0 && clock_monotonic_ms() < until) {
        struct pollfd polled = {.fd = stream->ssh.error, .events = POLLIN};
        if (poll(&polled, 1, 100) > 0) {
            listen_to_errors(stream);
        }
    }
    return fail_said(stream);
}

static int stream_read(git_smart_subtransport_stream *parent, char *buffer, size_t size,
                       size_t *ret_size)
{
    struct stream *stream = (struct stream *)parent;
    struct transport *transport = stream->session->transport;
    for (;;) {
        ssize_t got = read(stream->ssh.output, buffer, size);
        if (got > 0) {
            transport->received += (uint64_t)got;
            stream->advertised += stream->requested ? 0 : (uint64_t)got;
            *ret_size = (size_t)got;
            return stream->advertised <= TRANSPORT_ADVERTISEMENT_MAXIMUM
                       ? 0
                       : transport_fail(transport, FETCH_TOO_LARGE, ERROR_LIMIT,
                                        "%s has more references than the fetcher takes",
                                        transport->url);
        }
        if (got == 0) {
            return fail_ended(stream);
        }
        if (errno != EAGAIN && errno != EINTR) {
            return transport_fail(transport, FETCH_FAILED, ERROR_SYSTEM, "cannot read from ssh: %s",
                                  strerror(errno));
        }
        if (wait_for(stream, stream->ssh.output, POLLIN) < 0) {
            return -1;
        }
    }
}

static int stream_write(git_smart_subtransport_stream *parent, const char *buffer, size_t size)
{
    struct stream *stream = (struct stream *)parent;
    stream->requested = true;
    while (size > 0) {
        ssize_t written = write(stream->ssh.input, buffer, size);
        if (written >= 0) {
            buffer += written;
            size -= (size_t)written;
        } else if (errno == EPIPE) {
            return fail_ended(stream);
        } else if (errno != EAGAIN && errno != EINTR) {
            return transport_fail(stream->session->transport, FETCH_FAILED, ERROR_SYSTEM,
                                  "cannot write to ssh: %s", strerror(errno));
        } else if (wait_for(stream, stream->ssh.input, POLLOUT) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ---- What libgit2 calls ---- */

static void stream_free(git_smart_subtransport_stream *parent)
{
    struct stream *stream = (struct stream *)parent;
    stop(stream);
    stream->session->stream = NULL;
    buf_release(&stream->said);
    free(stream);
}

static int session_action(git_smart_subtransport_stream **ret, git_smart_subtransport *parent,
                          const char *url, git_smart_service_t service)
{
    struct session *session = (struct session *)parent;
    (void)url; /* that of the transport */
    if (service == GIT_SERVICE_UPLOADPACK && session->stream) {
        *ret = &session->stream->parent;
        return 0;
    }
    if (service != GIT_SERVICE_UPLOADPACK_LS || session->stream) {
        return transport_fail(session->transport, FETCH_FAILED, ERROR_INTERNAL,
                              "this transport only fetches");
    }
    struct stream *stream = NEW(struct stream);
    stream->parent.subtransport = parent;
    stream->parent.read = stream_read;
    stream->parent.write = stream_write;
    stream->parent.free = stream_free;
    stream->session = session;
    stream->ssh = (struct spawned){.pidfd = -1, .input = -1, .output = -1, .error = -1};
    stream->identity = stream->known_hosts = -1;
    buf_init(&stream->said, SAID_MAXIMUM);
    if (start(stream) < 0) {
        stop(stream);
        buf_release(&stream->said);
        free(stream);
        return -1;
    }
    session->stream = stream;
    *ret = &stream->parent;
    return 0;
}

static int session_close(git_smart_subtransport *parent)
{
    (void)parent; /* the stream is freed by libgit2 */
    return 0;
}

static void session_free(git_smart_subtransport *parent)
{
    free(parent);
}

static int session_new(git_smart_subtransport **ret, git_transport *owner, void *transport)
{
    (void)owner;
    struct session *session = NEW(struct session);
    session->parent.action = session_action;
    session->parent.close = session_close;
    session->parent.free = session_free;
    session->transport = transport;
    *ret = &session->parent;
    return 0;
}

int ssh_transport_new(git_transport **ret, git_remote *owner, void *transport)
{
    git_smart_subtransport_definition definition = {session_new, 0, transport};
    return git_transport_smart(ret, owner, &definition);
}
