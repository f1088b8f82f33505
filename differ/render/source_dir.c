/* A file tree on disk, for the command line. Each name is opened below its parent without following
 * links, so that what a concurrent writer swaps in cannot lead out of the root either.
 *
 * Cost: one open per part of a path and operation; the command line reads hundreds of files. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/render/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct source_dir {
    struct source base;
    int root;
    char *name; /* of the root, for messages */
};

static bool source_dir_fail(struct source *source, const char *path, int sys, struct error *error)
{
    struct source_dir *dir = (struct source_dir *)source;
    return error_set_errno(error, sys, "cannot read %s%s%s", dir->name, *path ? "/" : "", path);
}

/* Opens the directory that holds the last part of `path`, which is written to ret_name ("." for
 * the root). -1 with errno. */
static int source_dir_open_parent(struct source *source, const char *path,
                                  char ret_name[NAME_MAX + 1])
{
    int fd = dup(((struct source_dir *)source)->root);
    while (fd >= 0) {
        const char *slash = strchr(path, '/');
        size_t length = slash ? (size_t)(slash - path) : strlen(path);
        if (length > NAME_MAX) {
            close(fd);
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(ret_name, path, length);
        ret_name[length] = '\0';
        if (!slash) {
            break;
        }
        AUTO_CLOSE int parent = fd;
        fd = openat(parent, ret_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        path = slash + 1;
    }
    if (fd >= 0 && *ret_name == '\0') {
        ret_name[0] = '.';
        ret_name[1] = '\0';
    }
    return fd;
}

static enum source_type source_dir_type(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return SOURCE_FILE;
    case S_IFDIR:
        return SOURCE_DIRECTORY;
    case S_IFLNK:
        return SOURCE_LINK;
    default:
        return SOURCE_OTHER;
    }
}

static bool source_dir_stat(struct source *source, const char *path, enum source_type *ret,
                            struct error *error)
{
    char name[NAME_MAX + 1];
    struct stat status;
    AUTO_CLOSE int parent = source_dir_open_parent(source, path, name);
    if (parent >= 0 && fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        *ret = source_dir_type(status.st_mode);
        return true;
    }
    if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG) {
        *ret = SOURCE_NONE;
        return true;
    }
    return source_dir_fail(source, path, errno, error);
}

static bool source_dir_grow(struct arena *arena, struct source_entry **entries, size_t count)
{
    /* Doubled in the arena; what is left behind is freed with it. */
    if (count >= SOURCE_ENTRIES_MAXIMUM) {
        return false;
    }
    if (count >= 64 && (count & (count - 1)) == 0) {
        struct source_entry *larger = arena_new(arena, count * 2 * sizeof(*larger));
        memcpy(larger, *entries, count * sizeof(*larger));
        *entries = larger;
    }
    return true;
}

static void source_dir_close(DIR **stream)
{
    if (*stream) {
        closedir(*stream);
    }
}

static bool source_dir_list(struct source *source, const char *path, struct arena *arena,
                            struct source_entry **ret, size_t *ret_count, struct error *error)
{
    char name[NAME_MAX + 1];
    AUTO_CLOSE int parent = source_dir_open_parent(source, path, name);
    int fd =
        parent < 0 ? -1 : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    __attribute__((cleanup(source_dir_close))) DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        return source_dir_fail(source, path, errno, error);
    }
    struct source_entry *entries = arena_new(arena, 64 * sizeof(*entries));
    size_t count = 0;
    for (;;) {
        struct stat status;
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry) {
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW)) {
            continue;
        }
        if (!source_dir_grow(arena, &entries, count)) {
            return error_set(error, ERROR_LIMIT, "%s has more than %d entries", path,
                             SOURCE_ENTRIES_MAXIMUM);
        }
        entries[count].name = arena_string(arena, entry->d_name);
        entries[count++].type = source_dir_type(status.st_mode);
    }
    if (errno) {
        return source_dir_fail(source, path, errno, error);
    }
    *ret = entries;
    *ret_count = count;
    return true;
}

static bool source_dir_read(struct source *source, const char *path, struct buf *out,
                            struct error *error)
{
    char name[NAME_MAX + 1];
    struct stat status;
    AUTO_CLOSE int parent = source_dir_open_parent(source, path, name);
    /* Non-blocking, so that a pipe put in a file's place cannot stall us. */
    AUTO_CLOSE int fd =
        parent < 0 ? -1 : openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status)) {
        return source_dir_fail(source, path, errno, error);
    }
    if (!S_ISREG(status.st_mode)) {
        return error_set(error, ERROR_INVALID, "%s is not a regular file", path);
    }
    if ((uint64_t)status.st_size > out->maximum - out->size) {
        return error_set(error, ERROR_LIMIT, "%s has %lld bytes; the limit is %zu", path,
                         (long long)status.st_size, out->maximum);
    }
    return buf_read_fd(out, fd, path, error);
}

static bool source_dir_read_link(struct source *source, const char *path, struct buf *out,
                                 struct error *error)
{
    char name[NAME_MAX + 1];
    char target[SOURCE_PATH_MAXIMUM];
    AUTO_CLOSE int parent = source_dir_open_parent(source, path, name);
    ssize_t size = parent < 0 ? -1 : readlinkat(parent, name, target, sizeof(target));
    if (size < 0) {
        return source_dir_fail(source, path, errno, error);
    }
    if ((size_t)size >= sizeof(target) || !buf_append(out, target, (size_t)size)) {
        return error_set(error, ERROR_LIMIT, "the symbolic link %s has a target of over %d bytes",
                         path, SOURCE_PATH_MAXIMUM);
    }
    return true;
}

static const char *source_dir_id(struct source *source, const char *path, struct arena *arena)
{
    (void)source;
    (void)path;
    (void)arena;
    return NULL;
}

static void source_dir_free(struct source *source)
{
    struct source_dir *dir = (struct source_dir *)source;
    close(dir->root);
    free(dir->name);
    free(dir);
}

static const struct source_class source_dir_class = {
    .stat = source_dir_stat,
    .list = source_dir_list,
    .read = source_dir_read,
    .read_link = source_dir_read_link,
    .id = source_dir_id,
    .free = source_dir_free,
};

bool source_open_directory(const char *root, struct source **ret, struct error *error)
{
    int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open the directory %s", root);
    }
    struct source_dir *dir = NEW(struct source_dir);
    dir->base.class_ = &source_dir_class;
    dir->root = fd;
    dir->name = mem_string(strcmp(root, "/") == 0 ? "" : root);
    *ret = &dir->base;
    return true;
}
