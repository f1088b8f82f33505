#include "differ/settings.h"

/* What a request that names no field manager is filed under is its user agent up to the slash:
 * "Mozilla" is a browser before a proxied API, "node-fetch" what Lens and its kin are built on. */
#define ROW(field, flag, type, otherwise, argument, help)                                          \
    {                                                                                              \
        flag, type, offsetof(struct differ_settings, field), otherwise, argument, help, false      \
    }

const struct setting differ_settings_table[] = {
    PROCESS_SETTINGS(struct differ_settings, "127.0.0.1:9402"),
    ROW(data_dir, "data-dir", SETTING_STRING, "/var/lib/gitmoor/differ", "DIR",
        "Where the objects of the revisions in use are kept; it may be lost."),
    ROW(memory_dir, "memory-dir", SETTING_STRING, "/dev/shm", "DIR",
        "A directory in memory (tmpfs), where stands for the time of a build what has been "
        "decrypted "
        "for it. Without such a one, Applications that need it are refused."),
    ROW(generators, "generators", SETTING_STRING, NULL, "FILE",
        "The programs that render other languages (docs/generators.md); read at start."),
    ROW(fetcher, "fetcher", SETTING_STRING, NULL, "ADDRESS", "The fetcher's inbox on the bus."),
    ROW(applier, "applier", SETTING_STRING, NULL, "ADDRESS", "The applier's inbox on the bus."),
    ROW(admission, "admission", SETTING_STRING, NULL, "ADDRESS",
        "Admission's inbox on the bus; without it refused edits make no Events."),
    ROW(render_timeout, "render-timeout", SETTING_DURATION, "2m", "DURATION",
        "How long one run of the worker may take: rendering a revision's plain manifests, or a "
        "few builds."),
    ROW(build_timeout, "build-timeout", SETTING_DURATION, "30s", "DURATION",
        "How long Kustomize or Helm may take for one application."),
    ROW(builds, "builds", SETTING_INT, "2", "NUMBER",
        "How many applications Kustomize, Helm and generators may build at once, of all "
        "repositories together, which take turns."),
    ROW(render_memory, "render-memory", SETTING_SIZE, "1Gi", "SIZE",
        "How much memory rendering may take, without builds; 0 for no limit."),
    ROW(build_memory, "build-memory", SETTING_SIZE, "512Mi", "SIZE",
        "How much memory each build may take; 0 for no limit. With --builds, within the "
        "container's."),
    ROW(render_output, "render-output", SETTING_SIZE, "256Mi", "SIZE",
        "How large the rendered objects of one run of the worker may be together."),
    ROW(without_secrets, "without-secrets", SETTING_BOOL, NULL, NULL,
        "Keep away from Secrets: they are not watched, and an Application that declares one is "
        "refused."),
    PROCESS_SETTING(struct differ_settings, health_rules, "health-rules", NULL, "FILE",
                    "Health rules that come before those that are shipped, read anew when it "
                    "changes; docs/health.md."),
    TENANCY_SETTING(struct differ_settings),
    ROW(take_over, "take-over", SETTING_STRING, DIFFER_PEOPLE, "MANAGERS",
        "Field managers whose fields on managed objects are taken over, so that what they add "
        "goes: patterns, comma-separated; \"!\" before one takes it out again."),
    {NULL, SETTING_STRING, 0, NULL, NULL, NULL, false},
};
