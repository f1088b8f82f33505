/* What went wrong, as one message for a person: a Status object, or a failure of the transport. */
#include "common/base/text.h"
#include "common/kube/internal.h"

#include <stdio.h>
#include <string.h>

#define CAUSES_SHOWN 10

static enum error_code code_of(int status)
{
    switch (status) {
    case 400:
    case 405:
    case 406:
    case 415:
    case 422:
        return ERROR_INVALID;
    case 401:
    case 403:
        return ERROR_DENIED;
    case 404:
    case 410:
        return ERROR_NOT_FOUND;
    case 408:
        return ERROR_TIMEOUT;
    case 409:
    case 412:
        return ERROR_CONFLICT;
    case 413:
        return ERROR_LIMIT;
    case 429:
        return ERROR_UNAVAILABLE;
    default:
        return status >= 500 ? ERROR_UNAVAILABLE : ERROR_INVALID;
    }
}

/* Those causes that the message does not name already: the server repeats most of them there. */
static void append_causes(struct buf *out, const cJSON *causes)
{
    unsigned shown = 0;
    for (const cJSON *cause = json_first(causes); cause; cause = cause->next) {
        const char *message = json_string(cause, "message");
        const char *field = json_string(cause, "field");
        if (text_is_empty(message) ||
            (strstr(out->data, message) && (text_is_empty(field) || strstr(out->data, field)))) {
            continue;
        }
        if (shown++ == CAUSES_SHOWN) {
            buf_append_string(out, "; and more");
            return;
        }
        buf_append_string(out, "; ");
        if (!text_is_empty(field)) {
            buf_append_string(out, field);
            buf_append_string(out, ": ");
        }
        buf_append_string(out, message);
    }
}

void kube_status_to_error(int http_status, const cJSON *status, struct error *ret,
                          char ret_reason[64])
{
    enum error_code code = code_of(http_status);
    const char *message = json_string(status, "message");
    const char *reason = json_string(status, "reason");
    snprintf(ret_reason, 64, "%s", text_or_empty(reason));
    if (text_is_empty(message)) {
        error_set(ret, code, "the API server answered %d%s%s", http_status,
                  text_is_empty(reason) ? "" : " ", text_or_empty(reason));
    } else {
        AUTO_BUF struct buf text = {0};
        buf_init(&text, 4 * ERROR_MESSAGE_SIZE);
        buf_append_string(&text, message);
        if (text.overflowed) {
            buf_clear(&text);
            buf_append(&text, message, 2 * ERROR_MESSAGE_SIZE);
        }
        append_causes(&text, json_get_path(status, "details.causes"));
        error_set(ret, code, "%s", text.data);
    }
    ret->retryable = code == ERROR_UNAVAILABLE || code == ERROR_TIMEOUT;
}

bool kube_transfer_error(const struct kube_client *client, const char *method, const char *path,
                         CURLcode result, const char *detail, struct error *error)
{
    const char *why = *detail ? detail : curl_easy_strerror(result);
    const char *advice = "";
    if (result == CURLE_PEER_FAILED_VERIFICATION) {
        advice = "; check certificate-authority and tls-server-name in the kubeconfig";
    } else if (result == CURLE_SSL_CERTPROBLEM) {
        advice = "; check client-certificate and client-key in the kubeconfig";
    } else if (result == CURLE_COULDNT_CONNECT || result == CURLE_COULDNT_RESOLVE_HOST) {
        advice = "; is the API server up, and its address right?";
    }
    return error_set(error, ERROR_UNAVAILABLE, "%s %s%s: %s%s", method, client->origin, path, why,
                     advice);
}

void kube_client_url(const struct kube_client *client, const char *path, struct buf *out)
{
    buf_append_string(out, client->origin);
    buf_append_string(out, path);
}
