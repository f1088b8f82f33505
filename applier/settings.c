#include "applier/settings.h"

#define ROW(field, flag, type, otherwise, argument, help)                                          \
    {                                                                                              \
        flag, type, offsetof(struct applier_settings, field), otherwise, argument, help, false     \
    }

const struct setting applier_settings_table[] = {
    PROCESS_SETTINGS(struct applier_settings, "127.0.0.1:9403"),
    ROW(differ, "differ", SETTING_STRING, NULL, "ADDRESS", "The differ's inbox on the bus."),
    ROW(default_service_account, "default-service-account", SETTING_STRING, "default", "NAME",
        "Service account to write as where an Application names none: NAME, in the Application's "
        "namespace, or NAMESPACE/NAME."),
    ROW(user_name, "user-name", SETTING_STRING, NULL, "NAME",
        "The applier's own user name, by which admission knows it; default: what the API server "
        "says."),
    ROW(window_maximum, "window-max", SETTING_INT, "32", "N",
        "How many requests may be in flight at most; the number adapts to the server."),
    ROW(request_timeout, "request-timeout", SETTING_DURATION, "30s", "DURATION",
        "How long one request may take, retries included."),
    ROW(identity_timeout, "identity-timeout", SETTING_DURATION, "5s", "DURATION",
        "How long a plan waits for its Application to be known before it is refused."),
    ROW(await_deletions, "await-deletions", SETTING_DURATION, "0s", "DURATION",
        "Wait until deletions of Applications that are under way are done, for so long at most, "
        "and exit: the first step of uninstalling."),
    ROW(release, "release", SETTING_BOOL, "false", NULL,
        "Take the finalizer of spec.deletionPolicy off every Application and exit: the last step "
        "of uninstalling."),
    TENANCY_SETTING(struct applier_settings),
    {NULL, SETTING_STRING, 0, NULL, NULL, NULL, false},
};
