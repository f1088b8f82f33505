/* Errors: one caller-owned struct, filled where the failure happens, logged once by whoever handles
 * it. A function that can fail takes a `struct error *` as its last argument and returns bool:
 * true on success; false with the error filled. Outputs named `ret_…` are written only on success.
 *
 * A message is for a person: what failed, where (object, file, line), why, and what to do. */
#ifndef GITMOOR_BASE_ERROR_H
#define GITMOOR_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

enum error_code {
    ERROR_NONE = 0,
    ERROR_INVALID,     /* the input is wrong: it will fail again until somebody changes it */
    ERROR_LIMIT,       /* a named limit was exceeded */
    ERROR_NOT_FOUND,   /* what was asked for does not exist */
    ERROR_DENIED,      /* authentication or authorisation refused */
    ERROR_CONFLICT,    /* somebody else changed or owns it */
    ERROR_UNAVAILABLE, /* the other side cannot answer now; worth another try */
    ERROR_TIMEOUT,     /* a deadline passed; worth another try */
    ERROR_SYSTEM,      /* the operating system refused; `sys` has errno */
    ERROR_INTERNAL     /* a defect of ours */
};

#define ERROR_MESSAGE_SIZE 2048

struct error {
    enum error_code code;
    int sys;        /* errno, or 0 */
    bool retryable; /* the same call may succeed later without anybody changing anything */
    char message[ERROR_MESSAGE_SIZE];
};

/* Fills the error and returns false, so that a failing function can `return error_set(…)`.
 * Messages longer than the buffer end in "…". `error` may be NULL: then nothing is written. */
bool error_set(struct error *error, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, for functions that take a format themselves. */
bool error_set_list(struct error *error, enum error_code code, const char *format,
                    va_list arguments) __attribute__((format(printf, 3, 0)));

/* As error_set with ERROR_SYSTEM; appends ": " and the text of `sys`. */
bool error_set_errno(struct error *error, int sys, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<formatted>: " before the message that is there, as a caller adds what it was doing. */
bool error_prefix(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void error_clear(struct error *error);

/* "Invalid", "NotFound", …: stable words for logs, conditions and metrics. Never NULL. */
const char *error_code_name(enum error_code code);

#endif
