#include "common/run/sandbox.h"

#include "common/base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Landlock's system calls have no wrappers in glibc, and the kernel headers of the build machine
 * may be older than the kernel it runs on; so the interface is written out here. Source:
 * Documentation/userspace-api/landlock.rst and include/uapi/linux/landlock.h of Linux. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

#define QUERY_VERSION 1u
#define RULE_PATH_BENEATH 1

enum file_right {
    FILE_EXECUTE = 1 << 0,
    FILE_WRITE = 1 << 1,
    FILE_READ = 1 << 2,
    DIRECTORY_READ = 1 << 3,
    FIRST_VERSION = (1 << 13) - 1, /* those, and making and removing of all sorts */
    REFER = 1 << 13,               /* since ABI 2 */
    TRUNCATE = 1 << 14,            /* since ABI 3 */
    DEVICE_IOCTL = 1 << 15,        /* since ABI 5 */
};
/* What may be asked for on a file; the others make sense on a directory only. */
#define ON_FILES (FILE_EXECUTE | FILE_WRITE | FILE_READ | TRUNCATE | DEVICE_IOCTL)
#define TCP_ALL (1u << 0 | 1u << 1)   /* bind, connect; since ABI 4 */
#define SCOPE_ALL (1u << 0 | 1u << 1) /* abstract Unix sockets, signals; since ABI 6 */
#define ABI_FILES_WHOLE 3
#define ABI_TCP 4

struct ruleset {
    uint64_t files;
    uint64_t network;
    uint64_t scoped;
};

struct path_rule {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

static uint64_t file_rights(int abi)
{
    uint64_t rights = FIRST_VERSION;
    rights |= abi >= 2 ? REFER : 0;
    rights |= abi >= 3 ? TRUNCATE : 0;
    rights |= abi >= 5 ? DEVICE_IOCTL : 0;
    return rights;
}

static bool allow(int ruleset, const char *const *paths, uint64_t rights, struct error *error)
{
    for (; paths && *paths; paths++) {
        AUTO_CLOSE int fd = open(*paths, O_PATH | O_CLOEXEC);
        struct stat status;
        if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
            continue;
        }
        if (fd < 0 || fstat(fd, &status) != 0) {
            return error_set_errno(error, errno, "sandbox: cannot open %s", *paths);
        }
        struct path_rule rule = {.allowed = rights, .parent_fd = fd};
        if (!S_ISDIR(status.st_mode)) {
            rule.allowed &= ON_FILES;
        }
        if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0) {
            return error_set_errno(error, errno, "sandbox: cannot allow %s", *paths);
        }
    }
    return true;
}

/* The ruleset's descriptor, -1 if it cannot be made. */
static int make_ruleset(int abi, const struct sandbox_options *options, struct error *error)
{
    uint64_t files = file_rights(abi);
    struct ruleset rules = {
        .files = files,
        .network = abi >= ABI_TCP && !options->network ? TCP_ALL : 0,
        .scoped = abi >= 6 ? SCOPE_ALL : 0,
    };
    /* An older kernel refuses a structure that is larger than it knows only if the rest is not 0.
     */
    AUTO_CLOSE int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (ruleset < 0) {
        error_set_errno(error, errno, "sandbox: cannot make a Landlock ruleset");
        return -1;
    }
    const uint64_t read = FILE_READ | DIRECTORY_READ;
    if (!allow(ruleset, options->read_only, read, error) ||
        !allow(ruleset, options->read_write, files & ~(uint64_t)FILE_EXECUTE, error) ||
        !allow(ruleset, options->execute, read | FILE_EXECUTE, error)) {
        return -1;
    }
    int made = ruleset;
    ruleset = -1;
    return made;
}

static int query_version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0, QUERY_VERSION);
}

bool sandbox_prepare(const struct sandbox_options *options, int *ret, struct error *error)
{
    int abi = query_version();
    if (abi < ABI_FILES_WHOLE) {
        return error_set(error, ERROR_SYSTEM,
                         "this kernel has no Landlock, or an early version of it (6.2 has what is "
                         "needed), so the program cannot be kept from the files around it");
    }
    *ret = make_ruleset(abi, options, error);
    return *ret >= 0;
}

bool sandbox_enter_prepared(int ruleset)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}

bool sandbox_enter(const struct sandbox_options *options, enum sandbox_strength *ret,
                   struct error *error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return error_set_errno(error, errno, "sandbox: cannot give up new privileges");
    }
    int abi = query_version();
    if (abi < 1) {
        *ret = SANDBOX_PARTIAL; /* no Landlock in this kernel, or switched off at boot */
        return true;
    }
    AUTO_CLOSE int ruleset = make_ruleset(abi, options, error);
    if (ruleset < 0) {
        return false;
    }
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        return error_set_errno(error, errno, "sandbox: Landlock refuses");
    }
    bool whole = abi >= ABI_FILES_WHOLE && (options->network || abi >= ABI_TCP);
    *ret = whole ? SANDBOX_FULL : SANDBOX_PARTIAL;
    return true;
}
