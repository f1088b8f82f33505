/* The files that a build reads: found within the root, part of the render key, and copied to a
 * directory of their own for the program that builds. Links are copied as links, so that the
 * program judges them as it would in a checkout; all that they lead to is inside of the copy,
 * since only links that stay inside of the root are noted. */
#include "common/base/directory.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/render/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *render_tree_join(struct arena *arena, const char *directory, const char *value)
{
    size_t used = strlen(directory);
    char *path = arena_new(arena, used + strlen(value) + 2);
    memcpy(path, directory, used);
    if (*value == '/') {
        return NULL;
    }
    while (*value) {
        size_t length = strcspn(value, "/");
        if (length == 2 && value[0] == '.' && value[1] == '.') {
            if (used == 0) {
                return NULL;
            }
            path[used] = '\0';
            char *slash = strrchr(path, '/');
            used = slash ? (size_t)(slash - path) : 0;
        } else if (length && !(length == 1 && *value == '.')) {
            if (used) {
                path[used++] = '/';
            }
            memcpy(path + used, value, length);
            used += length;
        }
        value += length;
        value += *value == '/';
    }
    path[used] = '\0';
    return path;
}

/* ---- Noting ---- */

static bool tree_is_new(struct render_scan *scan, const char *path)
{
    if (map_has(&scan->added, path)) {
        return false;
    }
    map_set(&scan->added, path, scan);
    render_key_add(scan, path);
    return true;
}

void render_tree_add(struct render_scan *scan, const char *path)
{
    if (tree_is_new(scan, path)) {
        path = arena_string(&scan->arena, path);
        render_add_file(scan, path, path);
    }
}

/* A link on the way, or a name that is not there. What cannot be read of it is told when it is
 * resolved. */
static void tree_visit(const char *path, void *context)
{
    struct render_scan *scan = context;
    enum source_type type = SOURCE_NONE;
    AUTO_BUF struct buf target;
    buf_init(&target, SOURCE_PATH_MAXIMUM - 1);
    if (tree_is_new(scan, path) && source_stat(scan->source, path, &type, NULL) &&
        type == SOURCE_LINK && source_read_link(scan->source, path, &target, NULL)) {
        size_t before = scan->count;
        path = arena_string(&scan->arena, path);
        render_add_file(scan, path, path);
        if (scan->count > before && !scan->items[before].problem) {
            scan->items[before].target = arena_string(&scan->arena, target.data);
        }
    }
}

bool render_tree_find(struct render_scan *scan, const char *path, const char **ret_path,
                      enum source_type *ret_type, struct error *error)
{
    return source_resolve(scan->source, path, &scan->arena, tree_visit, scan, ret_path, ret_type,
                          error);
}

/* ---- Whole directories ---- */

static bool tree_add_below(struct render_scan *scan, const char *path, unsigned depth,
                           struct error *error);

/* A link is noted with what it leads to; one that leads nowhere, or out, is told. */
static bool tree_add_link(struct render_scan *scan, const char *path, unsigned depth,
                          struct error *error)
{
    const char *target;
    enum source_type type;
    if (!render_tree_find(scan, path, &target, &type, error)) {
        if (!render_is_result(error)) {
            return false;
        }
        render_add_problem(scan, path, 0, error->message);
        return true;
    }
    if (type == SOURCE_FILE) {
        render_tree_add(scan, target);
    } else if (type == SOURCE_DIRECTORY) {
        return tree_add_below(scan, target, depth + 1, error);
    }
    return true;
}

static bool tree_add_entry(struct render_scan *scan, const char *directory,
                           const struct source_entry *entry, unsigned depth, struct error *error)
{
    const char *path = source_join(&scan->arena, directory, entry->name);
    switch (entry->type) {
    case SOURCE_FILE:
        render_tree_add(scan, path);
        return true;
    case SOURCE_DIRECTORY:
        /* On disk the repository's own data may stand there; in Git nothing can have that name. */
        return strcmp(entry->name, ".git") == 0 ? true
                                                : tree_add_below(scan, path, depth + 1, error);
    case SOURCE_LINK:
        return tree_add_link(scan, path, depth, error);
    case SOURCE_SUBMODULE:
        render_add_problem(scan, path, 0, "it is a Git submodule, and submodules are not fetched");
        return true;
    default:
        return true;
    }
}

static bool tree_add_below(struct render_scan *scan, const char *path, unsigned depth,
                           struct error *error)
{
    struct source_entry *entries;
    size_t count;
    const char *seen = arena_format(&scan->arena, "%s/", path);
    if (map_has(&scan->added, seen) || scan->problems >= RENDER_ERRORS_MAXIMUM) {
        return true;
    }
    map_set(&scan->added, seen, scan);
    if (depth > RENDER_DEPTH_MAXIMUM || ++scan->directories > RENDER_DIRECTORIES_MAXIMUM) {
        render_add_problem(scan, path, 0, "there are too many directories, or too deep ones");
        return true;
    }
    if (!source_list(scan->source, path, &scan->arena, &entries, &count, error)) {
        if (!render_is_result(error)) {
            return false;
        }
        render_add_problem(scan, path, 0, error->message);
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!tree_add_entry(scan, path, &entries[i], depth, error)) {
            return false;
        }
    }
    return true;
}

bool render_tree_add_all(struct render_scan *scan, const char *path, struct error *error)
{
    return tree_add_below(scan, path, 0, error);
}

/* ---- Writing ---- */

struct tree_copy {
    struct render_scan *scan;
    const char *directory;
    size_t bytes;
};

/* The directories above a file of the copy. */
static bool tree_make_parents(const struct tree_copy *copy, char *path, struct error *error)
{
    char *slash = path + strlen(copy->directory);
    while ((slash = strchr(slash + 1, '/'))) {
        *slash = '\0';
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!made) {
            return error_set_errno(error, errno, "cannot make the directories of %s", path);
        }
    }
    return true;
}

bool render_tree_write_file(const char *path, const struct buf *text, struct error *error)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    size_t written = 0;
    while (fd >= 0 && written < text->size) {
        ssize_t count = write(fd, text->data + written, text->size - written);
        if (count < 0 && errno != EINTR) {
            return error_set_errno(error, errno, "cannot write %s", path);
        }
        written += count > 0 ? (size_t)count : 0;
    }
    return fd >= 0 ? true : error_set_errno(error, errno, "cannot write %s", path);
}

/* https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: less than 1024 bytes, this line first.
 */
bool render_tree_check_content(const char *name, const struct buf *text, struct error *error)
{
    static const char mark[] = "version https://git-lfs.github.com/spec/";
    bool is_pointer = text->size < 1024 && text_has_prefix(text->data, mark);
    return !is_pointer || error_set(error, ERROR_INVALID,
                                    "%s is a pointer of Git LFS, and what it points to is not "
                                    "fetched; commit the file itself",
                                    name);
}

/* A chart may hold pictures and documents that no template reads. */
static bool tree_is_read(const struct render_scan *scan, const char *path)
{
    return scan->type != RENDER_HELM || text_has_suffix(path, ".yaml") ||
           text_has_suffix(path, ".yml") || text_has_suffix(path, ".json") ||
           text_has_suffix(path, ".tpl") || text_has_suffix(path, ".tgz");
}

static bool tree_take_decrypted(const struct render_decrypted *file, struct buf *out,
                                struct error *error)
{
    return render_decrypted_write(file, out)
               ? true
               : error_set(error, ERROR_LIMIT, "%s has more than %zu MiB when it is decrypted",
                           file->name, RENDER_FILE_MAXIMUM >> 20);
}

static bool tree_copy_item(struct tree_copy *copy, const struct render_item *item,
                           struct error *error)
{
    AUTO_FREE char *path = mem_format("%s/%s", copy->directory, item->path);
    if (!tree_make_parents(copy, path, error)) {
        return false;
    }
    if (item->target) {
        return symlink(item->target, path) == 0
                   ? true
                   : error_set_errno(error, errno, "cannot make the link %s", path);
    }
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    const struct render_decrypted *decrypted = render_decrypted_file(copy->scan, item->path);
    if (!(decrypted ? tree_take_decrypted(decrypted, &text, error)
                    : source_read(copy->scan->source, item->path, &text, error)) ||
        (tree_is_read(copy->scan, item->path) &&
         !render_tree_check_content(item->path, &text, error))) {
        return false;
    }
    copy->bytes += text.size;
    if (copy->bytes > RENDER_TOTAL_MAXIMUM) {
        return error_set(error, ERROR_LIMIT,
                         "the application's files have more than %zu MiB together",
                         RENDER_TOTAL_MAXIMUM >> 20);
    }
    return render_tree_write_file(path, &text, error);
}

bool render_tree_write(struct render_scan *scan, const char *directory, struct error *error)
{
    struct tree_copy copy = {.scan = scan, .directory = directory};
    struct map written;
    map_init(&written);
    for (size_t i = 0; i < scan->count; i++) {
        const struct render_item *item = &scan->items[i];
        /* Plain manifests may be reached by several links. */
        if (!item->problem && !map_set(&written, item->path, scan) &&
            !tree_copy_item(&copy, item, error)) {
            map_release(&written, NULL);
            return false;
        }
    }
    map_release(&written, NULL);
    return true;
}
