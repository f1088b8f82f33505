#include "common/base/error.h"

#include <stdio.h>
#include <string.h>

static bool code_is_retryable(enum error_code code)
{
    return code == ERROR_UNAVAILABLE || code == ERROR_TIMEOUT || code == ERROR_CONFLICT;
}

/* Marks a message that did not fit, so that nobody takes its end for the end of the story. */
static void mark_truncation(char *message, int wanted)
{
    static const char ellipsis[] = "…";
    if (wanted < ERROR_MESSAGE_SIZE) {
        return;
    }
    size_t end = ERROR_MESSAGE_SIZE - sizeof ellipsis;
    while (end > 0 && ((unsigned char)message[end] & 0xC0) == 0x80) {
        end--; /* never cut inside a UTF-8 sequence */
    }
    memcpy(message + end, ellipsis, sizeof ellipsis);
}

bool error_set(struct error *error, enum error_code code, const char *format, ...)
{
    if (!error) {
        return false;
    }
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    mark_truncation(error->message, wanted);
    error->code = code;
    error->sys = 0;
    error->retryable = code_is_retryable(code);
    return false;
}

bool error_set_errno(struct error *error, int sys, const char *format, ...)
{
    if (!error) {
        return false;
    }
    char context[ERROR_MESSAGE_SIZE / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context, sizeof context, format, arguments);
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
    char context[ERROR_MESSAGE_SIZE / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(context, sizeof context, format, arguments);
    va_end(arguments);

    char message[ERROR_MESSAGE_SIZE];
    memcpy(message, error->message, sizeof message);
    int wanted = snprintf(error->message, sizeof error->message, "%s: %s", context, message);
    mark_truncation(error->message, wanted);
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
        [ERROR_NONE] = "None",         [ERROR_INVALID] = "Invalid",
        [ERROR_LIMIT] = "Limit",       [ERROR_NOT_FOUND] = "NotFound",
        [ERROR_DENIED] = "Denied",     [ERROR_CONFLICT] = "Conflict",
        [ERROR_TIMEOUT] = "Timeout",   [ERROR_UNAVAILABLE] = "Unavailable",
        [ERROR_SYSTEM] = "System",     [ERROR_INTERNAL] = "Internal",
    };
    if ((unsigned)code >= sizeof names / sizeof names[0]) {
        return "Unknown";
    }
    return names[code];
}
