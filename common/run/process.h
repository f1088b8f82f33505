/* What the four processes have in common: start-up, the loop, signals, and the HTTP endpoint for
 * /metrics, /healthz and /readyz. A main.c reads: settings, process_open, its own parts,
 * sandbox, process_run. */
#ifndef GITMOOR_RUN_PROCESS_H
#define GITMOOR_RUN_PROCESS_H

#include "common/run/settings.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct process;

/* The settings every process has; embed as the first member `common` of the process's own struct
 * and begin its table with PROCESS_SETTINGS(struct of it). */
struct process_settings {
    const char *kubeconfig; /* NULL: in-cluster, then the default kubeconfig */
    const char *context;
    const char *log_level;
    const char *listen;          /* "127.0.0.1:9401": of /metrics, /healthz, /readyz; "" for none */
    const char *bus;             /* own inbox: ipc:// or tcp:// */
    const char *bus_keys;        /* directory of link keys */
    const char *bus_advertise;   /* the inbox as others reach it; NULL: as it is bound */
    const char *lease_namespace; /* where the Leases of all replicas are; NULL: peers by flags */
    const char *instance;        /* NULL: the host name */
    const char *pod_uid;         /* of the Pod named `instance`; NULL: the Lease has no owner */
    const char *tenancy;         /* file of the tenancy settings (tenancy.h); NULL: none */
    const char *health_rules;    /* file of the operator's (health_rules.h); NULL: none */
};

#define PROCESS_SETTING(owner, field, flag, otherwise, argument, help)                             \
    {                                                                                              \
        flag, SETTING_STRING, offsetof(owner, common.field), otherwise, argument, help, false      \
    }
#define PROCESS_SETTINGS(owner, default_listen)                                                    \
    PROCESS_SETTING(owner, kubeconfig, "kubeconfig", NULL, "FILE",                                 \
                    "Kubeconfig; without it the Pod's service account, then ~/.kube/config."),     \
        PROCESS_SETTING(owner, context, "context", NULL, "NAME", "Context of the kubeconfig."),    \
        PROCESS_SETTING(owner, log_level, "log-level", "info", "LEVEL",                            \
                        "debug, info, warn or error."),                                            \
        PROCESS_SETTING(owner, listen, "listen", default_listen, "HOST:PORT",                      \
                        "Where /metrics, /healthz and /readyz are served; empty: nowhere."),       \
        PROCESS_SETTING(owner, bus, "bus", NULL, "ADDRESS",                                        \
                        "Inbox of this process on the bus: ipc:///PATH or tcp://IP:PORT."),        \
        PROCESS_SETTING(owner, bus_keys, "bus-keys", NULL, "DIR",                                  \
                        "Directory with the keys of this process's links; needed for tcp://."),    \
        PROCESS_SETTING(owner, bus_advertise, "bus-advertise", NULL, "ADDRESS",                    \
                        "The inbox as other replicas reach it, where that is not --bus."),         \
        PROCESS_SETTING(owner, lease_namespace, "lease-namespace", NULL, "NAMESPACE",              \
                        "Find peers and share work by Leases in this namespace, not by flags."),   \
        PROCESS_SETTING(owner, instance, "instance", NULL, "NAME",                                 \
                        "Name of this process among its peers; default: the host name."),          \
        PROCESS_SETTING(owner, pod_uid, "pod-uid", NULL, "UID",                                    \
                        "UID of the Pod named by --instance: its Lease is deleted with it.")

/* The row of those processes that keep to the tenancy settings. */
#define TENANCY_SETTING(owner)                                                                     \
    PROCESS_SETTING(owner, tenancy, "tenancy", NULL, "FILE",                                       \
                    "What each namespace may use, read anew when it changes; docs/tenancy.md.")

/* Opens the log, ignores SIGPIPE, makes the loop, and serves the HTTP endpoint. `name` is a literal
 * such as "fetcher". */
bool process_open(const char *name, const struct process_settings *settings, struct process **ret,
                  struct error *error);
struct event_base *process_loop(struct process *process);
const char *process_instance(const struct process *process);
/* The port that --listen got ("127.0.0.1:0" asks for any); 0 if there is none. */
unsigned process_port(const struct process *process);

/* Ready when every named part is: /readyz lists those that are not. Parts start unready when first
 * named with false. */
void process_set_ready(struct process *process, const char *part, bool ready);

/* Runs until SIGTERM or SIGINT, then calls `drain` (may be NULL), which may run the loop for a
 * bounded time; a second signal ends at once. Returns the exit status. */
int process_run(struct process *process, void (*drain)(void *context), void *context);
void process_stop(struct process *process); /* as SIGTERM does */
void process_free(struct process *process);

/* Prints "gitmoor-<name>: <message>" on standard error; returns 1, for main to return. */
int process_fail(const char *name, const struct error *error);

#endif
