#include "common/base/error.h"

#include <stdio.h>
#include <string.h>

static bool code_is_retryable(enum error_code code)
{
    return code == ERROR_UNAVAILABLE || code == ERROR_TIMEOUT || code == ERROR_CONFLICT;
}

/* Marks a text that did not fit its `capacity`, so that nobody takes its end for the end of the
 * story. `wanted` is what vsnprintf returned. */
static void mark_truncation(char *text, size_t capacity, int wanted)
{
    static const char ellipsis[] = "…";
    if (wanted < 0) {
        text[0] = '\0';
    }
    if (wanted < 0 || (size_t)wanted < capacity) {
        return;
    }
    size_t end = capacity - sizeof ellipsis;
    while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) {
        end--; /* never cut inside a UTF-8 sequence */
    }
    memcpy(text + end, ellipsis, sizeof ellipsis);
}

static void set_message(struct error *error, enum error_code code, const char *format,
                        va_list arguments)
{
    char message[ERROR_MESSAGE_SIZE] = ""; /* the arguments may point into the old message */
    int wanted = vsnprintf(message, sizeof message, format, arguments);
    mark_truncation(message, sizeof message, wanted);
    memcpy(error->message, message, sizeof message);
    error->code = code;
    error->sys = 0;
    error->retryable = code_is_retryable(code);
}

bool error_set_list(struct error *error, enum error_code code, const char *format,
                    va_list arguments)
{
    if (error) {
        set_message(error, code, format, arguments);
    }
    return false;
}

bool error_set(struct error *error, enum error_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_list(error, code, format, arguments);
    va_end(arguments);
    return false;
}

/* What a caller was doing may take half of the message; the reason comes after it. */
#define CONTEXT_SIZE (ERROR_MESSAGE_SIZE / 2)

static void format_context(char context[CONTEXT_SIZE], const char *format, va_list arguments)
{
    int wanted = vsnprintf(context, CONTEXT_SIZE, format, arguments);
    mark_truncation(context, CONTEXT_SIZE, wanted);
}

bool error_set_errno(struct error *error, int sys, const char *format, ...)
{
    if (!error) {
        return false;
    }
    char context[CONTEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    format_context(context, format, arguments);
    va_end(arguments);
    error_set(error, ERROR_SYSTEM, "%s: %s", context, strerror(sys));
    error->sys = sys;
    return false;
}

bool error_prefix(struct error *error, const char *format, ...)
{
    if (!error) {
        return false;
    }
    char context[CONTEXT_SIZE];
    va_list arguments;
    va_start(arguments, format);
    format_context(context, format, arguments);
    va_end(arguments);

    struct error before = *error;
    error_set(error, before.code, "%s: %s", context, before.message);
    error->sys = before.sys;
    error->retryable = before.retryable;
    return false;
}

void error_clear(struct error *error)
{
    error->code = ERROR_NONE;
    error->sys = 0;
    error->retryable = false;
    error->message[0] = '\0';
}

const char *error_code_name(enum error_code code)
{
    static const char *const names[] = {
        [ERROR_NONE] = "None",       [ERROR_INVALID] = "Invalid",
        [ERROR_LIMIT] = "Limit",     [ERROR_NOT_FOUND] = "NotFound",
        [ERROR_DENIED] = "Denied",   [ERROR_CONFLICT] = "Conflict",
        [ERROR_TIMEOUT] = "Timeout", [ERROR_UNAVAILABLE] = "Unavailable",
        [ERROR_SYSTEM] = "System",   [ERROR_INTERNAL] = "Internal",
    };
    if ((unsigned)code >= sizeof names / sizeof names[0]) {
        return "Unknown";
    }
    return names[code];
}
