/* How a child lives: child_start forks and execs, with pipes for the three standard streams and a
 * pidfd that tells of its end. When it has ended, what is left in the pipes is read, the rest of
 * its process group is killed, and `done` is called. Killing (deadline, too much output) only sends
 * the signal: the end is then noticed as any other. */
#include "common/run/child.h"

#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/run/spawn.h"

#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Of what it says on standard error: how it begins, for Go's programs say why and then print their
 * stacks; and how it ends. */
#define ERROR_HEAD_MAXIMUM ((size_t)600)
#define ERROR_TAIL_MAXIMUM ((size_t)4096)
#define EXPLANATION_MAXIMUM ((size_t)ERROR_MESSAGE_SIZE - 256)
#define READ_SIZE ((size_t)65536)
/* How long child_cancel waits for a killed child to be gone: it is a matter of microseconds, unless
 * the kernel holds it (disk). Then it is reaped from the loop. */
#define CANCEL_WAIT_MS 200
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

struct child {
    char *name;
    struct spawned spawned;
    struct event *on_input, *on_output, *on_error, *on_exit, *on_deadline;
    char *input;
    size_t input_size, input_sent;
    struct buf output;
    size_t output_size; /* of all of it, taken or not */
    struct buf error_head;
    size_t error_size;     /* of all of it */
    struct buf error_tail; /* twice the size of the tail; halved when full */
    int64_t timeout_ms;
    int64_t cpu_seconds;
    bool timed_out;
    bool too_much_output;
    child_fn done;                                                  /* NULL: cancelled */
    size_t (*part)(const char *output, size_t size, void *context); /* or NULL */
    void *context;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void drop_event(struct event **event)
{
    if (*event) {
        event_free(*event);
        *event = NULL;
    }
}

static void child_free(struct child *child)
{
    drop_event(&child->on_input);
    drop_event(&child->on_output);
    drop_event(&child->on_error);
    drop_event(&child->on_exit);
    drop_event(&child->on_deadline);
    close_fd(&child->spawned.input);
    close_fd(&child->spawned.output);
    close_fd(&child->spawned.error);
    close_fd(&child->spawned.pidfd);
    buf_release(&child->output);
    buf_release(&child->error_head);
    buf_release(&child->error_tail);
    free(child->input);
    free(child->name);
    free(child);
}

static void kill_group(struct child *child)
{
    kill(-child->spawned.pid, SIGKILL);
}

/* ---- Streams ---- */

static void send_input(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct child *child = context;
    while (child->input_sent < child->input_size) {
        ssize_t sent =
            write(fd, child->input + child->input_sent, child->input_size - child->input_sent);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno == EAGAIN) {
            return;
        }
        if (sent < 0) {
            break; /* EPIPE: it does not want to know; its exit code tells what that means */
        }
        child->input_sent += (size_t)sent;
    }
    drop_event(&child->on_input);
    close_fd(&child->spawned.input);
}

static void keep_output(struct child *child, const char *data, size_t size)
{
    size_t room = child->output.maximum - child->output_size;
    if (!child->too_much_output && (size > room || !buf_append(&child->output, data, size))) {
        child->too_much_output = true;
        kill_group(child);
    } else if (!child->too_much_output) {
        child->output_size += size;
    }
}

/* Hands over what has come. */
static void give_part(struct child *child)
{
    if (child->part && child->output.size > 0) {
        buf_consume(&child->output,
                    child->part(child->output.data, child->output.size, child->context));
    }
}

static void keep_error(struct child *child, const char *data, size_t size)
{
    struct buf *tail = &child->error_tail;
    size_t room = ERROR_HEAD_MAXIMUM - child->error_head.size;
    buf_append(&child->error_head, data, size < room ? size : room);
    child->error_size += size;
    if (size > ERROR_TAIL_MAXIMUM) {
        data += size - ERROR_TAIL_MAXIMUM;
        size = ERROR_TAIL_MAXIMUM;
    }
    if (tail->size + size > tail->maximum) {
        buf_consume(tail, tail->size - ERROR_TAIL_MAXIMUM);
    }
    buf_append(tail, data, size);
}

/* Reads what there is. False at the end of the stream. `rounds` bounds the work of one call. */
static bool read_stream(struct child *child, int fd, int rounds,
                        void (*keep)(struct child *child, const char *data, size_t size))
{
    AUTO_FREE char *chunk = mem_new(READ_SIZE, 1);
    while (rounds-- > 0) {
        ssize_t got = read(fd, chunk, READ_SIZE);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 && errno == EAGAIN;
        }
        keep(child, chunk, (size_t)got);
    }
    return true;
}

static void on_output(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct child *child = context;
    if (!read_stream(child, fd, 4, keep_output)) {
        drop_event(&child->on_output);
        close_fd(&child->spawned.output);
    }
    give_part(child);
}

static void on_error_output(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    struct child *child = context;
    if (!read_stream(child, fd, 4, keep_error)) {
        drop_event(&child->on_error);
        close_fd(&child->spawned.error);
    }
}

/* ---- The end ---- */

/* A cut may have gone through a character of several bytes: without its first part. */
static const char *skip_broken(const char *text)
{
    while (((unsigned char)*text & 0xC0) == 0x80) {
        text++;
    }
    return text;
}

/* Without a last one that may lack a part. */
static size_t length_of_whole(const struct buf *text)
{
    size_t length = text->size;
    while (length > 0 && ((unsigned char)text->data[length - 1] & 0x80)) {
        length--;
    }
    return length;
}

/* Standard error as one readable piece for the caller to free: no blanks around it, no control
 * characters; of a long one the beginning and the end. */
static char *explanation(struct child *child)
{
    const struct buf *tail = &child->error_tail;
    char *text;
    if (child->error_size <= EXPLANATION_MAXIMUM) {
        text = mem_string(tail->data);
    } else {
        const char *end = tail->data + tail->size - (EXPLANATION_MAXIMUM - ERROR_HEAD_MAXIMUM);
        text = mem_format("%.*s … %s", (int)length_of_whole(&child->error_head),
                          child->error_head.data, skip_broken(end));
    }
    bool utf8 = text_is_utf8(text, strlen(text));
    for (char *c = text; *c; c++) {
        unsigned char byte = (unsigned char)*c;
        if ((byte < ' ' && *c != '\n') || byte == 0x7F || (byte >= 0x80 && !utf8)) {
            *c = byte < 0x80 ? ' ' : '?';
        }
    }
    size_t length = strlen(text), start = strspn(text, " \n");
    while (length > start && (unsigned char)text[length - 1] <= ' ') {
        length--;
    }
    memmove(text, text + start, length - start);
    text[length - start] = '\0';
    return text;
}

static bool explain(struct child *child, int status, struct error *error)
{
    AUTO_FREE char *why = explanation(child);
    const char *colon = *why ? ": " : "";
    if (child->too_much_output) {
        return error_set(error, ERROR_LIMIT, "%s wrote more than %zu bytes and was ended",
                         child->name, child->output.maximum);
    }
    if (child->timed_out) {
        return error_set(error, ERROR_TIMEOUT, "%s did not finish within %lld ms and was ended%s%s",
                         child->name, (long long)child->timeout_ms, colon, why);
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
        return error_set(error, ERROR_LIMIT,
                         "%s used more than %lld s of CPU time and was ended%s%s", child->name,
                         (long long)child->cpu_seconds, colon, why);
    }
    if (WIFSIGNALED(status)) {
        return error_set(error, ERROR_SYSTEM, "%s died of signal %d (%s)%s%s", child->name,
                         WTERMSIG(status), strsignal(WTERMSIG(status)), colon, why);
    }
    if (WEXITSTATUS(status) != 0 && *why) {
        return error_set(error, ERROR_INVALID, "%s", why);
    }
    if (WEXITSTATUS(status) != 0) {
        return error_set(error, ERROR_INVALID, "%s failed with exit status %d and said nothing",
                         child->name, WEXITSTATUS(status));
    }
    return true;
}

static void finish(struct child *child, int status)
{
    /* What the group left behind (a child of the child) would hold the pipes open. */
    kill_group(child);
    if (child->done) {
        if (child->spawned.output >= 0) {
            read_stream(child, child->spawned.output, INT_MAX, keep_output);
        }
        if (child->spawned.error >= 0) {
            read_stream(child, child->spawned.error, INT_MAX, keep_error);
        }
        give_part(child);
        struct error error;
        bool ok = explain(child, status, &error);
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        child->done(child->output.data, child->output.size, code, ok ? NULL : &error,
                    child->context);
    }
    child_free(child);
}

static void on_exit_event(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct child *child = context;
    int status = 0;
    pid_t reaped = waitpid(child->spawned.pid, &status, WNOHANG);
    if (reaped == 0 || (reaped < 0 && errno == EINTR)) {
        return;
    }
    finish(child, reaped < 0 ? 0x7F00 : status); /* 127: somebody else reaped it */
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct child *child = context;
    child->timed_out = true;
    kill_group(child);
}

static struct event *watch(struct event_base *base, int fd, short what, event_callback_fn callback,
                           struct child *child)
{
    struct event *event = event_new(base, fd, what | EV_PERSIST, callback, child);
    event_add(event, NULL);
    return event;
}

struct child *child_start(struct event_base *base, const struct child_options *options,
                          child_fn done, void *context, struct error *error)
{
    struct spawned spawned;
    if (!spawn(options, &spawned, error)) {
        return NULL;
    }
    struct child *child = NEW(struct child);
    const char *slash = strrchr(options->argv[0], '/');
    child->name = mem_string(slash ? slash + 1 : options->argv[0]);
    child->spawned = spawned;
    child->done = done;
    child->part = options->part;
    child->context = context;
    child->timeout_ms = options->timeout_ms;
    child->cpu_seconds = options->cpu_seconds;
    buf_init(&child->output, options->output_maximum);
    buf_init(&child->error_head, ERROR_HEAD_MAXIMUM);
    buf_init(&child->error_tail, 2 * ERROR_TAIL_MAXIMUM);
    child->input_size = options->input_size;
    child->input = options->input_size ? mem_new(options->input_size, 1) : NULL;
    if (child->input) {
        memcpy(child->input, options->input, options->input_size);
    }
    child->on_input = watch(base, spawned.input, EV_WRITE, send_input, child);
    child->on_output = watch(base, spawned.output, EV_READ, on_output, child);
    child->on_error = watch(base, spawned.error, EV_READ, on_error_output, child);
    child->on_exit = watch(base, spawned.pidfd, EV_READ, on_exit_event, child);
    if (options->timeout_ms > 0) {
        struct timeval deadline = {.tv_sec = options->timeout_ms / 1000,
                                   .tv_usec = options->timeout_ms % 1000 * 1000};
        child->on_deadline = event_new(base, -1, 0, on_deadline, child);
        event_add(child->on_deadline, &deadline);
    }
    return child;
}

void child_cancel(struct child *child)
{
    if (!child) {
        return;
    }
    child->done = NULL;
    kill_group(child);
    struct pollfd gone = {.fd = child->spawned.pidfd, .events = POLLIN};
    int status;
    if (poll(&gone, 1, CANCEL_WAIT_MS) == 1 &&
        waitpid(child->spawned.pid, &status, WNOHANG) == child->spawned.pid) {
        child_free(child);
        return;
    }
    drop_event(&child->on_input);
    drop_event(&child->on_output);
    drop_event(&child->on_error);
    drop_event(&child->on_deadline);
}

const char *child_self_path(void)
{
    /* Of the running program, whatever became of its file: exec resolves it in the child, which is
     * still a copy of this process. */
    return "/proc/self/exe";
}

/* In the directory of the running program, where an image or a build has what belongs together. */
static char *find_beside(const char *name)
{
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self);
    const char *slash = size > 0 ? memrchr(self, '/', (size_t)size) : NULL;
    char *candidate = slash ? mem_format("%.*s/%s", (int)(slash - self), self, name) : NULL;
    if (candidate && access(candidate, X_OK) == 0) {
        return candidate;
    }
    free(candidate);
    return NULL;
}

char *child_find_program(const char *name)
{
    const char *path = getenv("PATH");
    path = path && *path ? path : DEFAULT_PATH;
    while (*path) {
        size_t size = strcspn(path, ":");
        char *candidate = mem_format("%.*s/%s", (int)size, path, name);
        if (size > 0 && access(candidate, X_OK) == 0) {
            return candidate;
        }
        free(candidate);
        path += size;
        path += *path == ':';
    }
    return find_beside(name);
}
