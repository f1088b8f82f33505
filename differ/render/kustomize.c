/* What a kustomization reads: the files and directories that its fields name, and in turn what the
 * kustomizations in those directories do. Only these are copied for Kustomize to build, and only
 * their ids are the render key.
 *
 * What Kustomize would fetch or execute is refused here, with file and line: remote bases, plugins
 * that are programs, charts. It could do neither where it runs; but the reason would be hard to
 * read off its error. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"
#include "differ/render/internal.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KUSTOMIZATIONS_MAXIMUM 2000
/* Changed whenever the same files would be built differently: with the version of Kustomize that
 * scripts/setup builds. */
#define KUSTOMIZE_KEY_VERSION "kustomize/5.8"

static const char *const kustomization_names[] = {"kustomization.yaml", "kustomization.yml",
                                                  "Kustomization"};
#define NAME_COUNT (sizeof(kustomization_names) / sizeof(kustomization_names[0]))

/* The kustomization that is being read. */
struct kustomization {
    struct render_scan *scan;
    const char *file;      /* of the kustomization */
    const char *directory; /* that its paths start from */
    const char *text;      /* for the lines of its values; NULL: none */
    unsigned depth;
    const char
        *plugins; /* its resources configure plugins, whose paths start from there; or NULL */
};

enum reference_kind {
    REFERENCE_FILE,
    REFERENCE_DIRECTORY,
    REFERENCE_RESOURCE,      /* either */
    REFERENCE_PLUGIN,        /* either, or YAML in place */
    REFERENCE_FILE_OR_INLINE /* a patch as text */
};

static bool kustomize_directory(struct render_scan *scan, const struct kustomization *from,
                                const char *directory, unsigned line, const char *plugins,
                                struct error *error);

/* ---- Problems ---- */

static bool kustomize_is_word(char c)
{
    return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.' || c == '/';
}

/* The line on which the value stands, as a word of its own; 0 if it does not (folded, escaped). */
static unsigned kustomize_line_of(const char *text, const char *value)
{
    size_t length = strlen(value);
    const char *found = text && length ? strstr(text, value) : NULL;
    while (found &&
           ((found > text && kustomize_is_word(found[-1])) || kustomize_is_word(found[length]))) {
        found = strstr(found + 1, value);
    }
    unsigned line = found ? 1 : 0;
    for (const char *at = text; found && at < found; at++) {
        line += *at == '\n';
    }
    return line;
}

static void kustomize_problem(const struct kustomization *it, const char *value, const char *format,
                              ...) __attribute__((format(printf, 3, 4)));
static void kustomize_problem(const struct kustomization *it, const char *value, const char *format,
                              ...)
{
    struct error message;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message.message, sizeof(message.message), format, arguments);
    va_end(arguments);
    if (it->scan->problems < RENDER_ERRORS_MAXIMUM) {
        render_add_problem(it->scan, it->file, kustomize_line_of(it->text, value), message.message);
    }
}

/* ---- References ---- */

/* Whether Kustomize would fetch it: by its scheme it is sure to, and otherwise by its form (a
 * getter prefix, user@host:, a query, a well-known host) if the repository has nothing of that
 * name. */
static bool kustomize_is_url(const char *value)
{
    return strstr(value, "://") || text_has_prefix(value, "git::") ||
           text_has_prefix(value, "ssh:");
}

static bool kustomize_may_be_remote(const char *value)
{
    static const char *const prefixes[] = {"git@", "gh:"};
    static const char *const hosts[] = {"github.com", "gitlab.com", "bitbucket.org",
                                        "dev.azure.com"};
    const char *at = strchr(value, '@');
    bool found = strstr(value, "?ref=") || strstr(value, "&ref=") || strstr(value, ".git/") ||
                 strstr(value, "/_git/") || text_has_suffix(value, ".git") ||
                 (at && strchr(at, ':') && !strpbrk(value, " \n{"));
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        found |= text_has_prefix(value, prefixes[i]);
    }
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t length = strlen(hosts[i]);
        found |= strncasecmp(value, hosts[i], length) == 0 && value[length] &&
                 strchr("/:", value[length]);
    }
    return found;
}

static void kustomize_refuse_remote(const struct kustomization *it, const char *field,
                                    const char *value)
{
    kustomize_problem(it, value,
                      "%s: %s is remote, and nothing is fetched while rendering; copy it into "
                      "the repository",
                      field, value);
}

static bool kustomize_plugin_text(const struct kustomization *it, const char *text, size_t size,
                                  struct error *error);

static bool kustomize_plugin_file(const struct kustomization *it, const char *path,
                                  struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    if (!source_read(it->scan->source, path, &text, error)) {
        return false;
    }
    const char *start = it->plugins ? it->plugins : it->directory;
    const struct kustomization inner = {it->scan, path, start, text.data, it->depth, NULL};
    return kustomize_plugin_text(&inner, text.data, text.size, error);
}

static bool kustomize_found(const struct kustomization *it, const char *field, const char *value,
                            enum reference_kind kind, const char *path, enum source_type type,
                            struct error *error)
{
    bool file = kind != REFERENCE_DIRECTORY;
    bool directory = kind != REFERENCE_FILE && kind != REFERENCE_FILE_OR_INLINE;
    if (type == SOURCE_FILE && file) {
        render_tree_add(it->scan, path);
        return kind == REFERENCE_PLUGIN ? kustomize_plugin_file(it, path, error) : true;
    }
    if (type == SOURCE_DIRECTORY && directory) {
        const char *plugins = kind != REFERENCE_PLUGIN ? NULL
                              : it->plugins            ? it->plugins
                                                       : it->directory;
        return kustomize_directory(it->scan, it, path, kustomize_line_of(it->text, value), plugins,
                                   error);
    }
    if (type == SOURCE_SUBMODULE) {
        kustomize_problem(it, value, "%s: %s is a Git submodule, and submodules are not fetched",
                          field, value);
    } else if (type == SOURCE_NONE && kustomize_may_be_remote(value)) {
        kustomize_refuse_remote(it, field, value);
    } else if (type == SOURCE_NONE) {
        kustomize_problem(it, value, "%s: %s does not exist in the repository", field, value);
    } else {
        kustomize_problem(it, value, "%s: %s is not a %s", field, value,
                          !directory ? "file"
                          : !file    ? "directory"
                                     : "file or directory");
    }
    return true;
}

static bool kustomize_reference(const struct kustomization *it, const char *field,
                                const char *value, enum reference_kind kind, struct error *error)
{
    if (kustomize_is_url(value)) {
        kustomize_refuse_remote(it, field, value);
        return true;
    }
    const char *path = render_tree_join(&it->scan->arena, it->directory, value);
    enum source_type type = SOURCE_NONE;
    if (!path) {
        kustomize_problem(it, value, "%s: %s leads out of the repository", field, value);
        return true;
    }
    if (!render_tree_find(it->scan, path, &path, &type, error)) {
        if (!render_is_result(error)) {
            return false;
        }
        kustomize_problem(it, value, "%s: %s: %s", field, value, error->message);
        return true;
    }
    return kustomize_found(it, field, value, kind, path, type, error);
}

/* Whether the text is YAML in place, as opposed to the name of a file. */
static bool kustomize_is_inline(const char *value)
{
    return strchr(value, '\n') || strstr(value, ": ") || *value == '{' || *value == '[' ||
           text_has_suffix(value, ":");
}

static bool kustomize_value(const struct kustomization *it, const char *field, const cJSON *value,
                            enum reference_kind kind, struct error *error)
{
    if (!cJSON_IsString(value)) {
        return true; /* Kustomize says what is wrong with it */
    }
    const char *text = value->valuestring;
    bool may_be_inline = kind == REFERENCE_PLUGIN || kind == REFERENCE_FILE_OR_INLINE;
    if (may_be_inline && kustomize_is_inline(text)) {
        return kind == REFERENCE_PLUGIN ? kustomize_plugin_text(it, text, strlen(text), error)
                                        : true;
    }
    return kustomize_reference(it, field, text, kind, error);
}

static bool kustomize_list(const struct kustomization *it, const cJSON *tree, const char *field,
                           enum reference_kind kind, struct error *error)
{
    for (const cJSON *item = json_first(json_array(tree, field)); item; item = item->next) {
        if (!kustomize_value(it, field, item, kind, error)) {
            return false;
        }
    }
    return true;
}

/* `field: [{member: PATH}]`. */
static bool kustomize_members(const struct kustomization *it, const cJSON *tree, const char *field,
                              const char *member, struct error *error)
{
    for (const cJSON *item = json_first(json_array(tree, field)); item; item = item->next) {
        if (!text_is_empty(json_string(item, member)) &&
            !kustomize_value(it, field, json_get(item, member), REFERENCE_FILE, error)) {
            return false;
        }
    }
    return true;
}

/* What a ConfigMap is made of must not be decrypted for it. Links are followed. */
static void kustomize_mark_public(const struct kustomization *it, const char *field,
                                  const char *value)
{
    const char *path = render_tree_join(&it->scan->arena, it->directory, value);
    enum source_type type;
    struct error error = {0};
    if (text_equal(field, "configMapGenerator") && path &&
        render_tree_find(it->scan, path, &path, &type, &error)) {
        map_set(&it->scan->public, path, it->scan);
    }
}

/* `files: [key=path, path]`, `envs: [path]`, `env: path`. */
static bool kustomize_generator(const struct kustomization *it, const cJSON *arguments,
                                const char *field, struct error *error)
{
    for (const cJSON *item = json_first(json_array(arguments, "files")); item; item = item->next) {
        const char *text = cJSON_IsString(item) ? item->valuestring : "";
        const char *equals = strchr(text, '=');
        text = equals ? equals + 1 : text;
        kustomize_mark_public(it, field, text);
        if (*text && !kustomize_reference(it, field, text, REFERENCE_FILE, error)) {
            return false;
        }
    }
    for (const cJSON *item = json_first(json_array(arguments, "envs")); item; item = item->next) {
        kustomize_mark_public(it, field, cJSON_IsString(item) ? item->valuestring : "");
    }
    const char *env = text_or_empty(json_string(arguments, "env"));
    kustomize_mark_public(it, field, env);
    return kustomize_list(it, arguments, "envs", REFERENCE_FILE, error) &&
           (!*env || kustomize_reference(it, field, env, REFERENCE_FILE, error));
}

static bool kustomize_generators(const struct kustomization *it, const cJSON *tree,
                                 const char *field, struct error *error)
{
    for (const cJSON *item = json_first(json_array(tree, field)); item; item = item->next) {
        if (!kustomize_generator(it, item, field, error)) {
            return false;
        }
    }
    return true;
}

/* ---- Plugins ---- */

/* Any string of a built-in plugin's configuration may name a file that it reads. */
static bool kustomize_plugin_strings(const struct kustomization *it, const cJSON *tree,
                                     struct error *error)
{
    for (const cJSON *item = json_first(tree); item; item = item->next) {
        const char *equals = cJSON_IsString(item) ? strchr(item->valuestring, '=') : NULL;
        const char *value = cJSON_IsString(item) ? (equals ? equals + 1 : item->valuestring) : "";
        const char *path = *value && !kustomize_is_inline(value)
                               ? render_tree_join(&it->scan->arena, it->directory, value)
                               : NULL;
        enum source_type type = SOURCE_NONE;
        if (path && !render_tree_find(it->scan, path, &path, &type, error)) {
            if (!render_is_result(error)) {
                return false;
            }
            type = SOURCE_NONE;
        }
        if (type == SOURCE_FILE) {
            render_tree_add(it->scan, path);
        }
        if (!kustomize_plugin_strings(it, item, error)) {
            return false;
        }
    }
    return true;
}

static bool kustomize_plugin(cJSON *tree, unsigned line, void *context, struct error *error)
{
    const struct kustomization *it = context;
    AUTO_JSON cJSON *owned = tree;
    const char *kind = text_or_empty(json_string(tree, "kind"));
    const cJSON *annotations = json_object(json_object(tree, "metadata"), "annotations");
    bool function = json_get(annotations, "config.kubernetes.io/function") ||
                    json_get(annotations, "config.k8s.io/function");
    (void)line;
    if (text_equal(kind, "HelmChartInflationGenerator")) {
        kustomize_problem(it, kind,
                          "charts within kustomizations are refused, since Kustomize runs Helm for "
                          "them, which fetches; make the chart an Application of its own");
    } else if (function || !text_equal(json_string(tree, "apiVersion"), "builtin")) {
        kustomize_problem(it, kind,
                          "the plugin %s is a program, and programs of the repository are never "
                          "executed; only Kustomize's own plugins (apiVersion builtin) are",
                          kind);
    } else {
        return kustomize_plugin_strings(it, tree, error);
    }
    return true;
}

static bool kustomize_plugin_text(const struct kustomization *it, const char *text, size_t size,
                                  struct error *error)
{
    struct kustomization copy = *it;
    if (yaml_parse(text, size, it->file, NULL, kustomize_plugin, &copy, error)) {
        return true;
    }
    if (!render_is_result(error)) {
        return false;
    }
    kustomize_problem(it, "", "%s", error->message);
    return true;
}

/* ---- One kustomization ---- */

static bool kustomize_charts(const struct kustomization *it, const cJSON *tree)
{
    static const char *const fields[] = {"helmCharts", "helmChartInflationGenerator"};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (json_size(json_get(tree, fields[i]))) {
            kustomize_problem(
                it, fields[i],
                "%s is refused, since Kustomize runs Helm for it, which fetches; make "
                "the chart an Application of its own",
                fields[i]);
        }
    }
    return true;
}

static bool kustomize_fields(const struct kustomization *it, const cJSON *tree, struct error *error)
{
    static const struct {
        const char *field;
        enum reference_kind kind;
    } lists[] = {
        {"resources", REFERENCE_RESOURCE},   {"bases", REFERENCE_RESOURCE},
        {"components", REFERENCE_DIRECTORY}, {"crds", REFERENCE_FILE},
        {"configurations", REFERENCE_FILE},  {"patchesStrategicMerge", REFERENCE_FILE_OR_INLINE},
        {"generators", REFERENCE_PLUGIN},    {"transformers", REFERENCE_PLUGIN},
        {"validators", REFERENCE_PLUGIN},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        bool configures = it->plugins && lists[i].kind == REFERENCE_RESOURCE;
        enum reference_kind kind = configures ? REFERENCE_PLUGIN : lists[i].kind;
        if (!kustomize_list(it, tree, lists[i].field, kind, error)) {
            return false;
        }
    }
    const char *schema = json_string_path(tree, "openapi.path");
    return kustomize_charts(it, tree) && kustomize_members(it, tree, "patches", "path", error) &&
           kustomize_members(it, tree, "patchesJson6902", "path", error) &&
           kustomize_members(it, tree, "replacements", "path", error) &&
           kustomize_generators(it, tree, "configMapGenerator", error) &&
           kustomize_generators(it, tree, "secretGenerator", error) &&
           (text_is_empty(schema) ||
            kustomize_reference(it, "openapi.path", schema, REFERENCE_FILE, error));
}

struct kustomize_document {
    struct kustomization it;
    struct error error; /* of the source, as opposed to the file */
};

static bool kustomize_take(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct kustomize_document *document = context;
    AUTO_JSON cJSON *owned = tree;
    (void)line;
    if (!kustomize_fields(&document->it, tree, &document->error)) {
        return error_set(error, ERROR_UNAVAILABLE, "stopped");
    }
    return true;
}

static bool kustomize_read(struct render_scan *scan, const char *path, const char *directory,
                           unsigned depth, const char *plugins, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    if (!source_read(scan->source, path, &text, error)) {
        return false;
    }
    struct kustomize_document document = {.it = {scan, path, directory, text.data, depth, plugins}};
    struct error why = {0};
    if (yaml_parse(text.data, text.size, path, NULL, kustomize_take, &document, &why)) {
        return true;
    }
    if (document.error.code) {
        *error = document.error;
        return false;
    }
    const char *reason = why.message;
    unsigned line = 0;
    int used = 0;
    size_t length = strlen(path);
    if (text_has_prefix(reason, path) && sscanf(reason + length, ":%u: %n", &line, &used) >= 1) {
        reason += length + (size_t)used;
    }
    render_add_problem(scan, path, line, reason);
    return true;
}

/* The kustomization file of a directory; NULL if it has none. All three names count for the key. */
static bool kustomize_find_file(struct render_scan *scan, const char *directory,
                                const char **ret_path, struct error *error)
{
    *ret_path = NULL;
    for (size_t i = 0; i < NAME_COUNT; i++) {
        const char *path = source_join(&scan->arena, directory, kustomization_names[i]);
        const char *found;
        enum source_type type;
        if (!render_tree_find(scan, path, &found, &type, error)) {
            return false;
        }
        if (type == SOURCE_FILE) {
            render_tree_add(scan, found); /* several: Kustomize refuses that */
            *ret_path = *ret_path ? *ret_path : found;
        }
    }
    return true;
}

static bool kustomize_directory(struct render_scan *scan, const struct kustomization *from,
                                const char *directory, unsigned line, const char *plugins,
                                struct error *error)
{
    unsigned depth = from ? from->depth + 1 : 0;
    const char *named = from ? from->file : *directory ? directory : ".";
    const char *seen = arena_format(&scan->arena, "%s/", directory);
    const char *path;
    if (map_has(&scan->added, seen)) {
        return true; /* Kustomize refuses a circle */
    }
    map_set(&scan->added, seen, scan);
    if (++scan->directories > KUSTOMIZATIONS_MAXIMUM || depth > RENDER_DEPTH_MAXIMUM) {
        render_add_problem(scan, named, line,
                           arena_format(&scan->arena,
                                        "more than %d kustomizations are to be read, or more than "
                                        "%d lead on from each other",
                                        KUSTOMIZATIONS_MAXIMUM, RENDER_DEPTH_MAXIMUM));
        return true;
    }
    if (!kustomize_find_file(scan, directory, &path, error)) {
        if (!render_is_result(error)) {
            return false;
        }
        render_add_problem(scan, named, line, error->message);
        return true;
    }
    if (!path) {
        render_add_problem(scan, named, line,
                           arena_format(&scan->arena, "the directory %s has no kustomization.yaml",
                                        *directory ? directory : "."));
        return true;
    }
    return kustomize_read(scan, path, directory, depth, plugins, error);
}

/* The components of the spec, beside what the directory's own kustomization names. */
static bool kustomize_components(struct render_scan *scan, struct error *error)
{
    const struct kustomization spec = {scan, "spec.render.kustomize", scan->path, NULL, 0, NULL};
    const char *value;
    for (size_t i = 0; (value = render_overlay_component(scan, i)); i++) {
        if (!kustomize_reference(&spec, "components", value, REFERENCE_DIRECTORY, error)) {
            return false;
        }
    }
    return true;
}

bool render_kustomize_scan(struct render_scan *scan, struct error *error)
{
    render_key_add_setting(scan, RENDER_SETTING_PROGRAM, KUSTOMIZE_KEY_VERSION);
    return (scan->type != RENDER_KUSTOMIZE ||
            kustomize_directory(scan, NULL, scan->path, 0, NULL, error)) &&
           kustomize_components(scan, error);
}
