/* The scan: which files an application consists of, and the key over all that decides it.
 *
 * The key covers the id of the application's tree (which covers all below it), and beyond it: the
 * .sourceignore files above, each symbolic link that was followed and what stands at its target.
 * The walk is deterministic, and so is the order in which these are added to the digest. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "differ/render/internal.h"

#include <string.h>

/* Changed whenever the same files would render differently than they did before. */
#define RENDER_KEY_VERSION "plain/1" /* of the others: their programs' versions are in it too */

#define SUBSTITUTE_KEY_VERSION "substitute 2"
#define DECRYPTION_KEY_VERSION "decryption 1"
#define SPEC_MAXIMUM ((size_t)4 << 20) /* what etcd stores is less */

/* A directory being visited, and those that led there. */
struct render_place {
    const char *file; /* as it is named to people */
    const char *path; /* resolved */
    unsigned depth;
    const struct render_place *above;
};

static struct render_item *scan_add(struct render_scan *scan)
{
    if (scan->count == scan->capacity) {
        scan->capacity = scan->capacity ? scan->capacity * 2 : 32;
        scan->items = mem_resize(scan->items, scan->capacity, sizeof(*scan->items));
    }
    struct render_item *item = &scan->items[scan->count++];
    *item = (struct render_item){0};
    return item;
}

void render_add_problem(struct render_scan *scan, const char *file, unsigned line,
                        const char *problem)
{
    struct render_item *item = scan_add(scan);
    item->file = arena_string(&scan->arena, file);
    item->problem = arena_string(&scan->arena, problem);
    item->line = line;
    scan->problems++;
}

static void scan_add_problem(struct render_scan *scan, const char *file, const char *problem)
{
    render_add_problem(scan, file, 0, problem);
}

bool render_is_result(const struct error *error)
{
    return error->code == ERROR_INVALID || error->code == ERROR_DENIED ||
           error->code == ERROR_LIMIT || error->code == ERROR_NOT_FOUND;
}

/* ---- The key ---- */

void render_key_add(struct render_scan *scan, const char *path)
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
    if (scan->options.explainer) {
        scan->options.explainer->path(path, id, scan->options.explainer->context);
    }
}

void render_key_add_setting(struct render_scan *scan, const char *what, const char *text)
{
    digest_update(scan->key_state, text, strlen(text) + 1);
    if (scan->options.explainer) {
        scan->options.explainer->setting(what, text, scan->options.explainer->context);
    }
}

static void scan_key_visit(const char *path, void *context)
{
    render_key_add(context, path);
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
    render_key_add(scan, path);
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
    if (!render_is_result(error)) {
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

static const struct {
    const char *name;
    enum render_type type;
} builders[] = {
    {"kustomization.yaml", RENDER_KUSTOMIZE},
    {"kustomization.yml", RENDER_KUSTOMIZE},
    {"Kustomization", RENDER_KUSTOMIZE},
    {"Chart.yaml", RENDER_HELM},
};

const char *render_find_builder(const struct source_entry *entries, size_t count,
                                enum render_type *ret_type)
{
    for (size_t i = 0; i < sizeof(builders) / sizeof(builders[0]); i++) {
        for (size_t j = 0; j < count; j++) {
            if (entries[j].type != SOURCE_DIRECTORY &&
                strcmp(entries[j].name, builders[i].name) == 0) {
                *ret_type = builders[i].type;
                return entries[j].name;
            }
        }
    }
    return NULL;
}

static bool scan_is_builder(const char *name)
{
    for (size_t i = 0; i < sizeof(builders) / sizeof(builders[0]); i++) {
        if (strcmp(name, builders[i].name) == 0) {
            return true;
        }
    }
    return false;
}

void render_add_file(struct render_scan *scan, const char *file, const char *path)
{
    if (scan->count < RENDER_FILES_MAXIMUM) {
        struct render_item *item = scan_add(scan);
        item->file = file;
        item->path = path;
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
        if (!render_is_result(error)) {
            return false;
        }
        scan_add_problem(scan, file, error->message);
        return true;
    }
    render_key_add(scan, target);
    if (type == SOURCE_FILE && scan_is_manifest(file)) {
        render_add_file(scan, file, target);
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
        /* There is one only where the spec says that the manifests are plain. */
        if (scan_is_manifest(entry->name) && !scan_is_builder(entry->name)) {
            render_add_file(scan, file, path);
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
        if (!render_is_result(error)) {
            return false;
        }
        scan_add_problem(scan, place->file, error->message);
        return true;
    }
    count = scan_drop_ignored(scan, place->path, entries, count);
    enum render_type type;
    const char *found = render_find_builder(entries, count, &type);
    if (found && scan->type_is_detected) {
        scan_add_problem(scan, source_join(&scan->arena, place->file, found),
                         arena_format(&scan->arena,
                                      "the directory is to be built by %s, and stands within plain "
                                      "manifests. Make it an Application of its own, list it in a "
                                      "kustomization.yaml above, or exclude it in " IGNORE_FILE,
                                      type == RENDER_HELM ? "Helm" : "Kustomize"));
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

/* No option is passed over in silence. */
static void scan_check_spec(struct render_scan *scan, const struct source_entry *entries,
                            size_t count)
{
    bool chart = scan->type == RENDER_HELM;
    if (json_size(json_object(scan->options.spec, chart ? "kustomize" : "helm"))) {
        scan_add_problem(scan, "spec.render",
                         chart ? "kustomize is set, and the directory is a chart"
                               : "helm is set, and the directory is not a chart");
    }
    for (size_t i = 0; scan->type_is_detected && scan->type == RENDER_KUSTOMIZE && i < count; i++) {
        if (strcmp(entries[i].name, "Chart.yaml") == 0) {
            scan_add_problem(
                scan, scan->builder_file,
                "the directory holds a Chart.yaml too; say in spec.render.type whether "
                "Kustomize or Helm is to build it, or exclude one in " IGNORE_FILE);
        }
    }
}

/* How the directory is to be built. False as render_scan. */
static bool scan_find_type(struct render_scan *scan, const char *file, struct error *error)
{
    static const char *const names[] = {"Plain", "Kustomize", "Helm", "Generator"};
    const char *asked = json_string(scan->options.spec, "type");
    bool generated = json_object(scan->options.spec, "generator");
    asked = !asked && generated ? "Generator" : asked;
    struct source_entry *entries;
    size_t count;
    if (!scan_read_ignores(scan, scan->path, error) ||
        !source_list(scan->source, scan->path, &scan->arena, &entries, &count, error)) {
        return false;
    }
    count = scan_drop_ignored(scan, scan->path, entries, count);
    scan->type_is_detected = true;
    const char *found = render_find_builder(entries, count, &scan->type);
    scan->builder_file = source_join(&scan->arena, file, text_or_empty(found));
    for (size_t i = 0; asked && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(asked, names[i]) == 0) {
            scan->type = (enum render_type)i;
            scan->type_is_detected = false;
        }
    }
    if (scan->type_is_detected && scan->type == RENDER_KUSTOMIZE) {
        render_key_add(scan, source_join(&scan->arena, scan->path, "Chart.yaml"));
    }
    if (generated != (scan->type == RENDER_GENERATOR)) {
        scan_add_problem(scan, "spec.render",
                         generated ? "generator is set, and type is not Generator"
                                   : "type is Generator, and generator does not name one");
    }
    scan_check_spec(scan, entries, count);
    return true;
}

/* Other keys may decrypt what these did not. Their names count as well: they tell of which sort a
 * key is. */
static void scan_key_add_decryption(struct render_scan *scan)
{
    static const char *const sorts[] = {"age", "pgp"};
    if (!scan->options.decryption) {
        return;
    }
    render_key_add_setting(scan, RENDER_SETTING_PROGRAM, DECRYPTION_KEY_VERSION);
    for (size_t i = 0; i < sizeof(sorts) / sizeof(sorts[0]); i++) {
        const cJSON *keys = json_object(scan->options.decryption, sorts[i]);
        for (const cJSON *it = json_first(keys); it; it = it->next) {
            render_key_add_setting(scan, "decryption key", it->string);
            render_key_add_setting(scan, "value", text_or_empty(it->valuestring));
        }
    }
}

/* What of the spec decides about the objects. */
static void scan_key_add_spec(struct render_scan *scan)
{
    AUTO_BUF struct buf text;
    buf_init(&text, SPEC_MAXIMUM);
    if (scan->options.spec) {
        json_write(scan->options.spec, &text);
        render_key_add_setting(scan, RENDER_SETTING_SPEC, text.data);
    }
    if (scan->type != RENDER_PLAIN) {
        render_key_add_setting(scan, RENDER_SETTING_TARGET,
                               text_or_empty(scan->options.target_namespace));
    }
    if (scan->options.variables) {
        render_key_add_setting(scan, RENDER_SETTING_PROGRAM, SUBSTITUTE_KEY_VERSION);
        for (const cJSON *it = json_first(scan->options.variables); it; it = it->next) {
            render_key_add_setting(scan, RENDER_SETTING_VARIABLE, it->string);
            render_key_add_setting(scan, "value", text_or_empty(it->valuestring));
        }
    }
    scan_key_add_decryption(scan);
}

static bool scan_by_type(struct render_scan *scan, const char *file, struct error *error)
{
    const struct render_place top = {file, scan->path, 0, NULL};
    switch (scan->type) {
    case RENDER_KUSTOMIZE:
        return render_kustomize_scan(scan, error);
    case RENDER_HELM:
        return render_helm_scan(scan, error);
    case RENDER_GENERATOR:
        return render_generator_scan(scan, error);
    default:
        render_key_add(scan, scan->path);
        return scan_directory(scan, &top, error) &&
               (!render_overlay_is_wanted(scan) || render_kustomize_scan(scan, error));
    }
}

static bool scan_start(struct render_scan *scan, const char *asked, struct error *error)
{
    const char *file = scan_clean_path(&scan->arena, asked);
    enum source_type type;
    render_key_add_setting(scan, RENDER_SETTING_PROGRAM, RENDER_KEY_VERSION);
    render_key_add_setting(scan, RENDER_SETTING_PATH, file);
    if (!source_resolve(scan->source, asked, &scan->arena, scan_key_visit, scan, &scan->path, &type,
                        error)) {
        if (!render_is_result(error)) {
            return false;
        }
        scan_add_problem(scan, file, error->message);
        return true;
    }
    if (type != SOURCE_DIRECTORY) {
        render_key_add(scan, scan->path);
        scan_add_problem(
            scan, file,
            arena_format(&scan->arena, "the path %s %s%s%s. Correct spec.source.path, or commit it",
                         file, type == SOURCE_NONE ? "does not exist" : "is not a directory",
                         scan->options.revision ? " in revision " : "",
                         text_or_empty(scan->options.revision)));
        return true;
    }
    if (!scan_find_type(scan, file, error)) {
        if (!render_is_result(error)) {
            return false;
        }
        scan_add_problem(scan, file, error->message);
        return true;
    }
    scan_key_add_spec(scan);
    return scan_by_type(scan, file, error);
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
    scan->options = *options;
    map_init(&scan->added);
    map_init(&scan->public);
    map_init(&scan->values_files);
    map_init(&scan->decrypted);
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
        map_release(&scan->added, NULL);
        map_release(&scan->public, NULL);
        map_release(&scan->values_files, NULL);
        render_decrypted_release(scan);
        ignore_release(&scan->ignore);
        arena_release(&scan->arena);
        free(scan->items);
        free(scan);
    }
}

bool render_scan_is_built(const struct render_scan *scan)
{
    return scan->type != RENDER_PLAIN || render_overlay_is_wanted(scan);
}

bool render_scan_is_chart(const struct render_scan *scan)
{
    return scan->type == RENDER_HELM;
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
