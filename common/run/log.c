#include "common/run/log.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/error.h"
#include "common/base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

/* One line. Container runtimes split lines at 16 KiB; past this a value is cut, so that a line is
 * always whole JSON. */
#define VALUE_MAXIMUM ((size_t)8192)
#define LINE_MAXIMUM ((size_t)65536)

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* The one place of file-scope state besides the metrics: where the log goes is the process's. */
static const char *log_process = "gitmoor";
static enum log_level log_threshold = LOG_INFO;

bool log_open(const char *process, const char *level, struct error *error)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (text_equal(level, level_names[i])) {
            log_process = process;
            log_threshold = (enum log_level)i;
            return true;
        }
    }
    return error_set(error, ERROR_INVALID,
                     "log level \"%s\" is not one of debug, info, warn and error",
                     text_or_empty(level));
}

/* The bytes of the UTF-8 sequence that starts at `text`, 0 if it is none. */
static size_t sequence_size(const char *text, size_t left)
{
    for (size_t size = 1; size <= 4 && size <= left; size++) {
        if (text_is_utf8(text, size)) {
            return size;
        }
    }
    return 0;
}

/* Text may come from anywhere (a server, a child): what is not UTF-8 becomes U+FFFD. */
static void append_quoted(struct buf *line, const char *text)
{
    size_t size = strlen(text);
    size_t end = size < VALUE_MAXIMUM ? size : VALUE_MAXIMUM;
    buf_append_char(line, '"');
    for (size_t i = 0; i < end;) {
        unsigned char c = (unsigned char)text[i];
        size_t step = c < 0x80 ? 1 : sequence_size(text + i, size - i);
        if (step == 0) {
            buf_append_string(line, "\xEF\xBF\xBD");
            step = 1;
        } else if (c == '"' || c == '\\') {
            buf_append_char(line, '\\');
            buf_append_char(line, (char)c);
        } else if (c == '\n') {
            buf_append_string(line, "\\n");
        } else if (c < 0x20 || c == 0x7F) {
            buf_append_format(line, "\\u%04x", c);
        } else {
            buf_append(line, text + i, step);
        }
        i += step;
    }
    buf_append_string(line, end < size ? "…\"" : "\"");
}

static void append_pair(struct buf *line, const char *key, const char *value)
{
    buf_append_char(line, ',');
    append_quoted(line, key);
    buf_append_char(line, ':');
    append_quoted(line, value);
}

static void append_head(struct buf *line, enum log_level level, const char *message)
{
    char now[CLOCK_RFC3339_SIZE];
    clock_format_micro(clock_wall_ms(), now);
    buf_append_format(line, "{\"time\":\"%s\",\"level\":\"%s\",\"process\":\"%s\"", now,
                      level_names[level], log_process);
    append_pair(line, "message", message);
}

static void write_whole(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, data, size);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return; /* nobody to tell */
        }
        data += written;
        size -= (size_t)written;
    }
}

void log_write(enum log_level level, const char *message, ...)
{
    if (level < log_threshold) {
        return;
    }
    AUTO_BUF struct buf line;
    buf_init(&line, LINE_MAXIMUM);
    append_head(&line, level, message);
    va_list pairs;
    va_start(pairs, message);
    for (const char *key = va_arg(pairs, const char *); key; key = va_arg(pairs, const char *)) {
        const char *value = va_arg(pairs, const char *);
        if (value) {
            append_pair(&line, key, value);
        }
    }
    va_end(pairs);
    buf_append_string(&line, "}\n");
    if (line.overflowed) {
        buf_clear(&line);
        append_head(&line, level, message);
        buf_append_string(&line, ",\"truncated\":\"true\"}\n");
    }
    write_whole(line.data, line.size);
}
