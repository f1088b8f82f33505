#include "common/run/confine.h"

#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/bus/address.h"
#include "common/run/log.h"
#include "common/run/sandbox.h"

#include <string.h>

#define PATHS_MAXIMUM 32

struct paths {
    char *items[PATHS_MAXIMUM + 1]; /* ended by NULL */
    unsigned count;
};

static void paths_release(struct paths *paths)
{
    for (unsigned i = 0; i < paths->count; i++) {
        free(paths->items[i]);
    }
}

static bool add(struct paths *paths, const char *path, struct error *error)
{
    if (text_is_empty(path)) {
        return true;
    }
    if (paths->count == PATHS_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "sandbox: more than %d paths", PATHS_MAXIMUM);
    }
    paths->items[paths->count++] = mem_string(path);
    return true;
}

/* The directory of a file: mounted Secrets rotate by a symbolic link beside it. */
static bool add_directory_of(struct paths *paths, const char *file, struct error *error)
{
    const char *slash = file ? strrchr(file, '/') : NULL;
    if (!file) {
        return true;
    }
    AUTO_FREE char *directory =
        slash ? mem_string_n(file, slash == file ? 1 : (size_t)(slash - file)) : mem_string(".");
    return add(paths, directory, error);
}

static bool add_all(struct paths *paths, const char *const *more, struct error *error)
{
    for (; more && *more; more++) {
        if (!add(paths, *more, error)) {
            return false;
        }
    }
    return true;
}

/* Name resolution, certificates, shared libraries, and what the metrics read of oneself. */
static const char *const system_paths[] = {
    "/etc", "/usr", "/lib", "/lib64", "/proc", "/dev", "/run/systemd/resolve", NULL};

static bool collect(const struct process_settings *settings, const struct kube_config *kube,
                    struct paths *read_only, struct paths *read_write, struct error *error)
{
    static const char scheme[] = "ipc://";
    bool ok = add_all(read_only, system_paths, error) &&
              add(read_only, settings->bus_keys, error) &&
              add_directory_of(read_only, settings->tenancy, error) &&
              add_directory_of(read_only, settings->health_rules, error) &&
              add(read_write, "/dev/null", error);
    if (ok && text_has_prefix(settings->bus, scheme)) {
        ok = add_directory_of(read_write, settings->bus + strlen(scheme), error);
    }
    if (ok && kube) {
        ok = add_directory_of(read_only, kube->ca_file, error) &&
             add_directory_of(read_only, kube->client_cert_file, error) &&
             add_directory_of(read_only, kube->client_key_file, error) &&
             add_directory_of(read_only, kube->token_file, error);
    }
    return ok;
}

/* Landlock knows only what is there: the directory of an ipc:// inbox is made before. */
static bool make_inbox_directory(const char *inbox, struct error *error)
{
    struct address address;
    return !text_has_prefix(inbox, "ipc://") || (bus_address_parse(inbox, &address, error) &&
                                                 bus_address_make_directory(&address, error));
}

bool process_confine(const struct process_settings *settings, const struct kube_config *kube,
                     const char *const *read_write, const char *const *execute, struct error *error)
{
    if (!make_inbox_directory(settings->bus, error)) {
        return false;
    }
    __attribute__((cleanup(paths_release))) struct paths readable = {0}, writable = {0};
    if (!collect(settings, kube, &readable, &writable, error) ||
        !add_all(&writable, read_write, error)) {
        return false;
    }
    const struct sandbox_options options = {.read_only = (const char *const *)readable.items,
                                            .read_write = (const char *const *)writable.items,
                                            .execute = execute,
                                            .network = true};
    enum sandbox_strength strength;
    if (!sandbox_enter(&options, &strength, error)) {
        return false;
    }
    if (strength == SANDBOX_FULL) {
        log_info("sandbox entered");
    } else {
        log_warn("sandbox entered without Landlock: this kernel lacks it, or an early version");
    }
    return true;
}
