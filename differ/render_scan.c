/* The scan: which files an application consists of, and the key over all that decides it.
 *
 * The key covers the id of the application's tree (which covers all below it), and beyond it: the
 * .sourceignore files above, each symbolic link that was followed and what stands at its target.
 * The walk is deterministic, and so is the order in which these are added to the digest. */
#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/ignore.h"
#include "differ/render.h"

#include <string.h>

/* Changed whenever the same files would render differently than they did before. */
#define RENDER_KEY_VERSION "plain/1"

struct render_scan {
    struct arena arena;
    struct source *source;
    const char *revision;
    struct render_item *items;
    size_t count;
    size_t capacity;
    size_t directories;
    struct ignore ignore;
    struct map ignore_read; /* directories whose .sourceignore has been looked for */
    struct digest_state *key_state;
    bool key_known; /* every id was there */
    struct digest key;
};

/* A directory being visited, and those that led there. */
struct render_place {
    const char *file; /* as it is named to people */
    const char *path; /* resolved */
    unsigned depth;
    const struct render_place *above;
};

static void scan_add(struct render_scan *scan, const char *file, const char *path,
                     const char *problem)
{
    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity ? scan->capacity * 2 : 32;
        scan->items = mem_resize(scan->items, scan->capacity, sizeof(*scan->items));
    }
    scan->items[scan->count++] = (struct render_item){file, path, problem};
}

static void scan_add_problem(struct render_scan *scan, const char *file, const char *problem)
{
    scan_add(scan, arena_string(&scan->arena, file), NULL, arena_string(&scan->arena, problem));
}

/* Whether the failure says something about the files, and so is a result. */
static bool scan_is_result(const struct error *error)
{
    return error->code == ERROR_INVALID || error->code == ERROR_DENIED ||
           error->code == ERROR_LIMIT || error->code == ERROR_NOT_FOUND;
}

/* ---- The key ---- */

static void scan_key_add(struct render_scan *scan, const char *path)
{
    const char *id = source_id(scan->source, path, &scan->arena);
    enum source_type type = SOURCE_NONE;
    if (!id && (!source_stat(scan->source, path, &type, NULL) || type != SOURCE_NONE)) {
        scan->key_known = false;
        return;
    }
    id = text_or_empty(id);
    digest_update(scan->key_state, path, strlen(path) + 1);
    digest_update(scan->key_state, id, strlen(id) + 1);
}

static void scan_key_visit(const char *path, void *context)
{
    scan_key_add(context, path);
}

bool render_scan_key(const struct render_scan *scan, struct digest *ret)
{
    if (scan->key_known) {
        *ret = scan->key;
    }
    return scan->key_known;
}

/* ---- .sourceignore ---- */

static bool scan_read_ignore(struct render_scan *scan, const char *directory, struct error *error)
{
    const char *path = source_join(&scan->arena, directory, IGNORE_FILE);
    enum source_type type;
    if (!source_stat(scan->source, path, &type, error)) {
        return false;
    }
    scan_key_add(scan, path);
    if (type == SOURCE_NONE) {
        return true;
    }
    if (type != SOURCE_FILE) {
        scan_add_problem(scan, path, "it must be a regular file; links are not followed here");
        return true;
    }
    AUTO_BUF struct buf text;
    buf_init(&text, IGNORE_FILE_MAXIMUM);
    if (source_read(scan->source, path, &text, error) &&
        ignore_add(&scan->ignore, directory, path, text.data, text.size, error)) {
        return true;
    }
    if (!scan_is_result(error)) {
        return false;
    }
    scan_add_problem(scan, path, error->message);
    return true;
}

/* Reads the .sourceignore of the directory and of all above it, from the root down. */
static bool scan_read_ignores(struct render_scan *scan, const char *directory, struct error *error)
{
    const char *end = directory;
    for (;;) {
        AUTO_FREE char *above = mem_string_n(directory, (size_t)(end - directory));
        if (!map_has(&scan->ignore_read, above)) {
            map_set(&scan->ignore_read, above, scan);
            if (!scan_read_ignore(scan, above, error)) {
                return false;
            }
        }
        if (*end == '\0') {
            return true;
        }
        end += *end == '/';
        end += strcspn(end, "/");
    }
}

/* ---- The walk ---- */

static bool scan_is_manifest(const char *name)
{
    return text_has_suffix(name, ".yaml") || text_has_suffix(name, ".yml") ||
           text_has_suffix(name, ".json");
}

const char *render_find_builder(const struct source_entry *entries, size_t count,
                                const char **ret_builder)
{
    static const struct {
        const char *name;
        const char *builder;
    } builders[] = {
        {"kustomization.yaml", "kustomize"},
        {"kustomization.yml", "kustomize"},
        {"Kustomization", "kustomize"},
        {"Chart.yaml", "Helm"},
    };
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < sizeof(builders) / sizeof(builders[0]); j++) {
            if (entries[i].type != SOURCE_DIRECTORY &&
                strcmp(entries[i].name, builders[j].name) == 0) {
                *ret_builder = builders[j].builder;
                return entries[i].name;
            }
        }
    }
    return NULL;
}

static void scan_add_file(struct render_scan *scan, const char *file, const char *path)
{
    if (scan->count < RENDER_FILES_MAXIMUM) {
        scan_add(scan, file, path, NULL);
    } else if (scan->count == RENDER_FILES_MAXIMUM) {
        scan_add_problem(scan, file,
                         arena_format(&scan->arena, "the application has more than %d files",
                                      RENDER_FILES_MAXIMUM));
    }
}

static bool scan_directory(struct render_scan *scan, const struct render_place *place,
                           struct error *error);

static bool scan_enter(struct render_scan *scan, const struct render_place *above, const char *file,
                       const char *path, struct error *error)
{
    const struct render_place place = {file, path, above->depth + 1, above};
    for (const struct render_place *at = above; at; at = at->above) {
        if (strcmp(at->path, path) == 0) {
            scan_add_problem(scan, file,
                             "the symbolic link leads back to a directory that it is in; following "
                             "it would never end");
            return true;
        }
    }
    if (place.depth > RENDER_DEPTH_MAXIMUM) {
        scan_add_problem(scan, file,
                         arena_format(&scan->arena, "directories are nested deeper than %d levels",
                                      RENDER_DEPTH_MAXIMUM));
        return true;
    }
    return scan_directory(scan, &place, error);
}

static bool scan_link(struct render_scan *scan, const struct render_place *place, const char *file,
                      const char *link, struct error *error)
{
    const char *target;
    enum source_type type;
    if (!source_resolve(scan->source, link, &scan->arena, scan_key_visit, scan, &target, &type,
                        error)) {
        if (!scan_is_result(error)) {
            return false;
        }
        scan_add_problem(scan, file, error->message);
        return true;
    }
    scan_key_add(scan, target);
    if (type == SOURCE_FILE && scan_is_manifest(file)) {
        scan_add_file(scan, file, target);
    } else if (type == SOURCE_DIRECTORY) {
        return ignore_matches(&scan->ignore, link, true)
                   ? true
                   : scan_enter(scan, place, file, target, error);
    } else if (type == SOURCE_NONE) {
        scan_add_problem(scan, file,
                         arena_format(&scan->arena,
                                      "the symbolic link leads to %s, which does not exist",
                                      target));
    }
    return true;
}

static bool scan_entry(struct render_scan *scan, const struct render_place *place,
                       const struct source_entry *entry, struct error *error)
{
    const char *file = source_join(&scan->arena, place->file, entry->name);
    const char *path = source_join(&scan->arena, place->path, entry->name);
    switch (entry->type) {
    case SOURCE_FILE:
        if (scan_is_manifest(entry->name)) {
            scan_add_file(scan, file, path);
        }
        return true;
    case SOURCE_DIRECTORY:
        return scan_enter(scan, place, file, path, error);
    case SOURCE_LINK:
        return scan_link(scan, place, file, path, error);
    case SOURCE_SUBMODULE:
        scan_add_problem(scan, file,
                         "it is a Git submodule, and submodules are not fetched in this version; "
                         "exclude it in " IGNORE_FILE " if it holds no manifests");
        return true;
    default:
        return true;
    }
}

/* Entries that are excluded are not there: moved out of the way before anything looks at them. */
static size_t scan_drop_ignored(struct render_scan *scan, const char *path,
                                struct source_entry *entries, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        const char *full = source_join(&scan->arena, path, entries[i].name);
        if (!ignore_matches(&scan->ignore, full, entries[i].type == SOURCE_DIRECTORY)) {
            entries[kept++] = entries[i];
        }
    }
    return kept;
}

static bool scan_directory(struct render_scan *scan, const struct render_place *place,
                           struct error *error)
{
    struct source_entry *entries;
    size_t count;
    const char *builder;
    if (++scan->directories > RENDER_DIRECTORIES_MAXIMUM) {
        if (scan->directories == RENDER_DIRECTORIES_MAXIMUM + 1) {
            scan_add_problem(scan, place->file,
                             arena_format(&scan->arena,
                                          "more than %d directories are to be read; symbolic "
                                          "links may lead to the same ones again and again",
                                          RENDER_DIRECTORIES_MAXIMUM));
        }
        return true;
    }
    if (!scan_read_ignores(scan, place->path, error)) {
        return false;
    }
    if (!source_list(scan->source, place->path, &scan->arena, &entries, &count, error)) {
        if (!scan_is_result(error)) {
            return false;
        }
        scan_add_problem(scan, place->file, error->message);
        return true;
    }
    count = scan_drop_ignored(scan, place->path, entries, count);
    const char *found = render_find_builder(entries, count, &builder);
    if (found) {
        scan_add_problem(scan, source_join(&scan->arena, place->file, found),
                         arena_format(&scan->arena,
                                      "the directory is to be built by %s; this version renders "
                                      "plain manifests only. Commit the rendered manifests, or "
                                      "exclude the file in " IGNORE_FILE,
                                      builder));
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (!scan_entry(scan, place, &entries[i], error)) {
            return false;
        }
    }
    return true;
}

/* The path as people write it, without empty parts and ".". */
static const char *scan_clean_path(struct arena *arena, const char *path)
{
    char *clean = arena_new(arena, strlen(path) + 1);
    size_t used = 0;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (length && !(length == 1 && *path == '.')) {
            if (used) {
                clean[used++] = '/';
            }
            memcpy(clean + used, path, length);
            used += length;
        }
        path += length;
        path += *path == '/';
    }
    return clean;
}

static bool scan_start(struct render_scan *scan, const char *asked, struct error *error)
{
    const char *file = scan_clean_path(&scan->arena, asked);
    const char *path;
    enum source_type type;
    digest_update(scan->key_state, RENDER_KEY_VERSION, sizeof(RENDER_KEY_VERSION));
    digest_update(scan->key_state, file, strlen(file) + 1);
    if (!source_resolve(scan->source, asked, &scan->arena, scan_key_visit, scan, &path, &type,
                        error)) {
        if (!scan_is_result(error)) {
            return false;
        }
        scan_add_problem(scan, file, error->message);
        return true;
    }
    scan_key_add(scan, path);
    if (type != SOURCE_DIRECTORY) {
        scan_add_problem(scan, file,
                         arena_format(&scan->arena, "the path %s %s%s%s", file,
                                      type == SOURCE_NONE ? "does not exist" : "is not a directory",
                                      scan->revision ? " in revision " : "",
                                      text_or_empty(scan->revision)));
        return true;
    }
    const struct render_place top = {file, path, 0, NULL};
    return scan_directory(scan, &top, error);
}

bool render_scan(struct source *source, const struct render_options *options,
                 struct render_scan **ret, struct error *error)
{
    struct error reason = {0};
    AUTO_SCAN struct render_scan *scan = NEW(struct render_scan);
    arena_init(&scan->arena);
    map_init(&scan->ignore_read);
    ignore_init(&scan->ignore);
    scan->source = source;
    scan->revision = options->revision;
    scan->key_known = true;
    scan->key_state = digest_new();
    bool ok = scan_start(scan, options->path, &reason);
    digest_finish(scan->key_state, &scan->key);
    scan->key_state = NULL;
    if (!ok) {
        if (error) {
            *error = reason;
        }
        return false;
    }
    *ret = scan;
    scan = NULL;
    return true;
}

void render_scan_free(struct render_scan *scan)
{
    if (scan) {
        map_release(&scan->ignore_read, NULL);
        ignore_release(&scan->ignore);
        arena_release(&scan->arena);
        free(scan->items);
        free(scan);
    }
}

void render_scan_cleanup(struct render_scan **scan)
{
    render_scan_free(*scan);
}

const struct render_item *render_scan_items(const struct render_scan *scan, size_t *ret_count)
{
    *ret_count = scan->count;
    return scan->items;
}
