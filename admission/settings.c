#include "admission/settings.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define ROW(field, flag, type, otherwise, argument, help)                                          \
    {                                                                                              \
        flag, type, offsetof(struct admission_settings, field), otherwise, argument, help, false   \
    }

const struct setting admission_settings_table[] = {
    PROCESS_SETTINGS(struct admission_settings, "127.0.0.1:9404"),
    ROW(webhook_listen, "webhook-listen", SETTING_STRING, "0.0.0.0:9443", "HOST:PORT",
        "Where reviews are answered, over TLS."),
    ROW(webhook_url, "webhook-url", SETTING_STRING, NULL, "URL",
        "Where the API server reaches this process, without a path, when it runs outside the "
        "cluster; without it, the Service."),
    ROW(namespace_, "namespace", SETTING_STRING, "gitmoor-system", "NAME",
        "Namespace of this process: of its Service and of the Secret with its certificate. Its "
        "objects are not guarded."),
    ROW(service, "service", SETTING_STRING, "gitmoor-admission", "NAME",
        "Service that the API server reaches this process by."),
    ROW(service_port, "service-port", SETTING_INT, "443", "PORT", "Port of that Service."),
    {"applier", SETTING_STRING, offsetof(struct admission_settings, applier), NULL, "USER",
     "User name of the applier, whose requests pass.", true},
    ROW(failure_policy, "failure-policy", SETTING_STRING, "Fail", "POLICY",
        "What the API server does with edits of managed objects while nobody answers: Fail "
        "refuses them, Ignore lets them pass."),
    ROW(webhook_timeout, "webhook-timeout", SETTING_DURATION, "2s", "DURATION",
        "How long the API server waits for an answer: 1s to 3s."),
    ROW(controllers, "control-plane-controllers", SETTING_STRING,
        "system:kube-controller-manager,system:serviceaccount:kube-system:*", "USERS",
        "Users, separated by commas, that may copy Gitmoor's label to objects they make; * at the "
        "end stands for the rest."),
    ROW(differ, "differ", SETTING_STRING, NULL, "ADDRESS",
        "The differ's inbox on the bus; without it refused edits make no Events."),
    ROW(connections, "webhook-connections", SETTING_INT, "256", "COUNT",
        "Connections at once; beyond, the one idle for longest is closed."),
    ROW(certificate_days, "certificate-days", SETTING_INT, "90", "DAYS",
        "How long a certificate is valid; it is replaced after two thirds of that."),
    ROW(rotation_grace, "rotation-grace", SETTING_DURATION, "30s", "DURATION",
        "How long the API servers are given to learn of a new authority before its certificate is "
        "served, and again before the old authority is dropped."),
    ROW(floor, "floor", SETTING_BOOL, "false", NULL,
        "Register a ValidatingAdmissionPolicy too, which refuses most of the same while nobody "
        "answers; without it, one that is there is removed."),
    ROW(unregister, "unregister", SETTING_BOOL, "false", NULL,
        "Remove what was registered and exit: the first step of uninstalling."),
    {NULL, SETTING_STRING, 0, NULL, NULL, NULL, false},
};

static bool in_range(const char *flag, int64_t value, int64_t least, int64_t most,
                     struct error *error)
{
    if (value < least || value > most) {
        return error_set(error, ERROR_INVALID, "--%s must be between %lld and %lld", flag,
                         (long long)least, (long long)most);
    }
    return true;
}

bool admission_settings_check(const struct admission_settings *settings, struct error *error)
{
    if (text_is_empty(settings->applier)) {
        return error_set(error, ERROR_INVALID,
                         "--applier must name the applier's user, for example "
                         "system:serviceaccount:gitmoor-system:gitmoor-applier");
    }
    if (!text_equal(settings->failure_policy, "Fail") &&
        !text_equal(settings->failure_policy, "Ignore")) {
        return error_set(error, ERROR_INVALID, "--failure-policy: \"%s\" is not Fail or Ignore",
                         settings->failure_policy);
    }
    if (settings->webhook_timeout % 1000 != 0) {
        return error_set(error, ERROR_INVALID, "--webhook-timeout must be whole seconds");
    }
    if (settings->webhook_url && (!text_has_prefix(settings->webhook_url, "https://") ||
                                  strchr(settings->webhook_url + 8, '/'))) {
        return error_set(error, ERROR_INVALID,
                         "--webhook-url: \"%s\" is not https://HOST:PORT without a path",
                         settings->webhook_url);
    }
    return in_range("webhook-timeout", settings->webhook_timeout / 1000, 1, 3, error) &&
           in_range("webhook-connections", settings->connections, 1, 65536, error) &&
           in_range("service-port", settings->service_port, 1, 65535, error) &&
           in_range("certificate-days", settings->certificate_days, 1, 3650, error);
}

const char **admission_split(const char *list)
{
    size_t count = 1;
    for (const char *c = list; *c; c++) {
        count += *c == ',';
    }
    size_t array = (count + 1) * sizeof(char *);
    size_t size = strlen(list) + 1;
    const char **items = mem_new(1, array + size);
    char *copy = memcpy((char *)items + array, list, size);
    size_t used = 0;
    for (char *rest = copy, *item; (item = strsep(&rest, ","));) {
        if (*item) {
            items[used++] = item;
        }
    }
    return items;
}
