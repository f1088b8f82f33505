/* What all file trees have in common: order of entries, and the resolution of symbolic links
 * within the root. Resolution is done here, on names, for both kinds of tree alike, so that the
 * command line and the worker judge the same repository the same way. */
#include "differ/render/source.h"

#include "common/base/text.h"

#include <stdlib.h>
#include <string.h>

void source_free(struct source *source)
{
    if (source) {
        source->class_->free(source);
    }
}

void source_cleanup(struct source **source)
{
    source_free(*source);
}

bool source_stat(struct source *source, const char *path, enum source_type *ret,
                 struct error *error)
{
    return source->class_->stat(source, path, ret, error);
}

bool source_read(struct source *source, const char *path, struct buf *out, struct error *error)
{
    return source->class_->read(source, path, out, error);
}

bool source_read_link(struct source *source, const char *path, struct buf *out, struct error *error)
{
    return source->class_->read_link(source, path, out, error);
}

const char *source_id(struct source *source, const char *path, struct arena *arena)
{
    return source->class_->id(source, path, arena);
}

const char *source_join(struct arena *arena, const char *directory, const char *name)
{
    return *directory ? arena_format(arena, "%s/%s", directory, name) : arena_string(arena, name);
}

/* The byte at `index` of the name as it appears in the full paths below it. */
static unsigned char source_path_byte(const struct source_entry *entry, size_t index, size_t length)
{
    if (index < length) {
        return (unsigned char)entry->name[index];
    }
    return index == length && entry->type == SOURCE_DIRECTORY ? '/' : '\0';
}

static int source_compare_entries(const void *left_pointer, const void *right_pointer)
{
    const struct source_entry *left = left_pointer;
    const struct source_entry *right = right_pointer;
    size_t left_length = strlen(left->name);
    size_t right_length = strlen(right->name);
    size_t shorter = left_length < right_length ? left_length : right_length;
    int order = memcmp(left->name, right->name, shorter);
    if (order) {
        return order;
    }
    return (int)source_path_byte(left, shorter, left_length) -
           (int)source_path_byte(right, shorter, right_length);
}

bool source_list(struct source *source, const char *path, struct arena *arena,
                 struct source_entry **ret, size_t *ret_count, struct error *error)
{
    if (!source->class_->list(source, path, arena, ret, ret_count, error)) {
        return false;
    }
    if (*ret_count) {
        qsort(*ret, *ret_count, sizeof(**ret), source_compare_entries);
    }
    return true;
}

/* One resolution under way: `done` is resolved and holds no link; `rest` is still to be walked. */
struct source_walk {
    struct source *source;
    struct arena *arena;
    void (*visit)(const char *path, void *context);
    void *context;
    const char *asked;
    char done[SOURCE_PATH_MAXIMUM];
    struct buf rest;
    unsigned links;
    enum source_type type; /* of `done` */
};

static bool source_walk_leaves(const struct source_walk *walk, const char *link,
                               struct error *error)
{
    if (*link) {
        return error_set(error, ERROR_DENIED,
                         "the symbolic link %s leads out of the repository; only links that stay "
                         "inside are followed",
                         link);
    }
    return error_set(error, ERROR_DENIED, "the path %s leads out of the repository", walk->asked);
}

static void source_walk_up(struct source_walk *walk)
{
    char *slash = strrchr(walk->done, '/');
    *(slash ? slash : walk->done) = '\0';
    walk->type = SOURCE_DIRECTORY;
}

/* Replaces the link at `done` by its target: put before what is still to be walked. */
static bool source_walk_link(struct source_walk *walk, struct error *error)
{
    AUTO_BUF struct buf target;
    buf_init(&target, SOURCE_PATH_MAXIMUM - 1);
    if (walk->visit) {
        walk->visit(walk->done, walk->context);
    }
    if (++walk->links > SOURCE_LINKS_MAXIMUM) {
        return error_set(error, ERROR_INVALID,
                         "%s: more than %d symbolic links lead on from each other; they go round "
                         "in a loop",
                         walk->asked, SOURCE_LINKS_MAXIMUM);
    }
    if (!walk->source->class_->read_link(walk->source, walk->done, &target, error)) {
        return false;
    }
    if (target.size == 0 || memchr(target.data, '\0', target.size)) {
        return error_set(error, ERROR_INVALID, "the symbolic link %s has no usable target",
                         walk->done);
    }
    if (target.data[0] == '/') {
        return source_walk_leaves(walk, walk->done, error);
    }
    buf_append_char(&target, '/');
    if (!buf_append(&target, walk->rest.data, walk->rest.size)) {
        return error_set(error, ERROR_LIMIT, "the symbolic link %s makes a path of over %d bytes",
                         walk->done, SOURCE_PATH_MAXIMUM);
    }
    source_walk_up(walk);
    buf_clear(&walk->rest);
    return buf_append(&walk->rest, target.data, target.size);
}

/* Takes one more name, which is not "." or "..". */
static bool source_walk_down(struct source_walk *walk, const char *name, struct error *error)
{
    size_t used = strlen(walk->done);
    size_t length = strlen(name);
    if (used + 1 + length >= SOURCE_PATH_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "%s is a path of over %d bytes", walk->asked,
                         SOURCE_PATH_MAXIMUM);
    }
    if (used) {
        walk->done[used++] = '/';
    }
    memcpy(walk->done + used, name, length + 1);
    if (!source_stat(walk->source, walk->done, &walk->type, error)) {
        return false;
    }
    if (walk->type == SOURCE_NONE && walk->visit) {
        walk->visit(walk->done, walk->context);
    }
    return walk->type == SOURCE_LINK ? source_walk_link(walk, error) : true;
}

static bool source_walk_name(struct source_walk *walk, const char *name, struct error *error)
{
    if (*name == '\0' || strcmp(name, ".") == 0) {
        return true;
    }
    /* As the kernel has it, "x/.." is an error unless x is a directory; here it is simply absent.
     */
    if (walk->type != SOURCE_DIRECTORY) {
        walk->type = SOURCE_NONE;
        buf_clear(&walk->rest);
        return true;
    }
    if (strcmp(name, "..") != 0) {
        return source_walk_down(walk, name, error);
    }
    if (walk->done[0] == '\0') {
        return source_walk_leaves(walk, walk->links ? walk->asked : "", error);
    }
    source_walk_up(walk);
    return true;
}

static bool source_walk_all(struct source_walk *walk, struct error *error)
{
    while (walk->rest.size) {
        char name[SOURCE_PATH_MAXIMUM];
        const char *slash = memchr(walk->rest.data, '/', walk->rest.size);
        size_t length = slash ? (size_t)(slash - walk->rest.data) : walk->rest.size;
        if (length >= sizeof(name)) {
            return error_set(error, ERROR_LIMIT, "a path has a name of over %d bytes",
                             SOURCE_PATH_MAXIMUM);
        }
        memcpy(name, walk->rest.data, length);
        name[length] = '\0';
        buf_consume(&walk->rest, length + (slash ? 1 : 0));
        if (!source_walk_name(walk, name, error)) {
            return false;
        }
    }
    return true;
}

bool source_resolve(struct source *source, const char *path, struct arena *arena,
                    void (*visit)(const char *path, void *context), void *context,
                    const char **ret_path, enum source_type *ret_type, struct error *error)
{
    struct source_walk walk = {source, arena, visit, context, path, "", {0}, 0, SOURCE_DIRECTORY};
    AUTO_BUF struct buf rest;
    buf_init(&rest, SOURCE_PATH_MAXIMUM * 2);
    if (!buf_append_string(&rest, path)) {
        return error_set(error, ERROR_LIMIT, "a path is over %d bytes long", SOURCE_PATH_MAXIMUM);
    }
    if (*path == '/') {
        return source_walk_leaves(&walk, "", error);
    }
    walk.rest = rest;
    bool ok = source_walk_all(&walk, error);
    rest = walk.rest;
    if (!ok) {
        return false;
    }
    *ret_path = arena_string(arena, walk.done);
    *ret_type = walk.type;
    return true;
}
