#include "common/base/directory.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

bool directory_exists(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* One level; that it exists already is no failure, but that something else has its name is. */
static bool make_one(const char *path, struct error *error)
{
    if (mkdir(path, 0700) == 0) {
        return true;
    }
    int sys = errno;
    if (sys == EEXIST && directory_exists(path)) {
        return true;
    }
    return error_set_errno(error, sys, "cannot make directory %s", path);
}

bool directory_make(const char *path, struct error *error)
{
    AUTO_FREE char *part = mem_string(path);
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        char *end = part + (slash - path);
        *end = '\0';
        if (end > part && !make_one(part, error)) {
            return false;
        }
        *end = '/';
    }
    return make_one(part, error);
}

bool directory_make_private(const char *path, struct error *error)
{
    struct stat status;
    if (!directory_make(path, error)) {
        return false;
    }
    if (lstat(path, &status) != 0) {
        return error_set_errno(error, errno, "cannot look at %s", path);
    }
    return S_ISDIR(status.st_mode) && status.st_uid == geteuid() && !(status.st_mode & 077)
               ? true
               : error_set(error, ERROR_DENIED, "%s is there already, and others may use it", path);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void directory_clear(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            AUTO_FREE char *inside = mem_format("%s/%s", path, entry->d_name);
            directory_remove(inside, NULL);
        }
    }
    if (directory) {
        closedir(directory);
    }
}

bool directory_is_in_memory(const char *path, struct error *error)
{
    struct statfs status;
    if (statfs(path, &status) != 0) {
        return error_set_errno(error, errno, "cannot look at %s", path);
    }
    return status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC
               ? true
               : error_set(error, ERROR_INVALID, "%s is not in memory (no tmpfs)", path);
}

bool directory_remove(const char *path, struct error *error)
{
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        return error_set_errno(error, errno, "cannot remove %s", path);
    }
    return true;
}

bool directory_is_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
    size_t size = strlen(name);
    return size > 0 && size <= 128 && strspn(name, allowed) == size;
}

void directory_each_mirror(const char *path, void (*visit)(const char *stem, void *context),
                           void *context)
{
    static const char suffix[] = ".git";
    DIR *entries = opendir(path);
    if (!entries) {
        return;
    }
    for (struct dirent *entry = readdir(entries); entry; entry = readdir(entries)) {
        if (text_has_suffix(entry->d_name, suffix)) {
            AUTO_FREE char *stem =
                mem_string_n(entry->d_name, strlen(entry->d_name) - strlen(suffix));
            if (directory_is_name(stem)) {
                visit(stem, context);
            }
        }
    }
    closedir(entries);
}
