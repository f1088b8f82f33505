/* Log: JSON lines on standard error: time, level, process, message, then the caller's pairs.
 * Only processes log, at the place that handles an event; library code returns errors. */
#ifndef GITMOOR_RUN_LOG_H
#define GITMOOR_RUN_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `process` is a literal: "fetcher". `level` is "debug", "info", "warn" or "error". */
struct error;
#include <stdbool.h>
bool log_open(const char *process, const char *level, struct error *error);

/* Pairs of key and string value, ended by NULL: log_write(LOG_INFO, "applied", "application",
 * "shop/shop", NULL). A NULL value is left out. Never a secret. */
void log_write(enum log_level level, const char *message, ...) __attribute__((sentinel));

#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__, NULL)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__, NULL)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__, NULL)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__, NULL)

#endif
