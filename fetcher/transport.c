#include "fetcher/transport.h"

#include <git2.h>
#include <git2/sys/errors.h>
#include <stdarg.h>
#include <stdio.h>

int transport_fail(struct transport *transport, enum fetch_reason reason, enum error_code code,
                   const char *format, ...)
{
    char message[ERROR_MESSAGE_SIZE / 2];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (transport->reason == FETCH_SUCCEEDED) {
        transport->reason = reason;
        error_set(&transport->error, code, "%s", message);
    }
    git_error_set_str(GIT_ERROR_HTTP, message);
    return -1;
}

int transport_fail_timeout(struct transport *transport)
{
    return transport_fail(transport, FETCH_TIMEOUT, ERROR_TIMEOUT,
                          "fetching %s took longer than spec.timeout allows. Raise spec.timeout if "
                          "the repository is large",
                          transport->url);
}
