/* gitmoor render: what the differ would render of a directory, in the order of application. */
#include "differ/render/render.h"
#include "cli/cli.h"
#include "cli/keys.h"
#include "cli/manifests.h"
#include "cli/options.h"
#include "common/base/arena.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/data/yaml.h"
#include "differ/order.h"
#include "differ/render/generators.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

struct rendered {
    cJSON *object;
    struct object_ref ref;
    size_t index; /* in order of files, which decides between equals */
};

/* What the command line says about charts. */
struct render_chart {
    const char *release;
    const char *namespace_;
    const char *kube_version;
    struct option_list values;
    struct option_list api_versions;
    struct option_list substitute_from;
    struct option_list decrypt_keys;
    const char *generators; /* file, or NULL */
};

struct render_line {
    unsigned as_json;
    const char *root;        /* or NULL */
    const char *application; /* file, or NULL */
    struct render_chart chart;
};

struct render_verb {
    cJSON *application; /* of --application, or NULL */
    const struct render_chart *chart;
    cJSON *values;         /* contents of --values, or NULL */
    cJSON *variables;      /* to substitute, or NULL */
    cJSON *decryption;     /* keys, or NULL */
    cJSON *generators;     /* that --generators allows, or NULL */
    char *api_versions;    /* joined, or NULL */
    const char *directory; /* as typed, without a slash at its end */
    const char *path;      /* the same, below the root */
    struct arena arena;
    struct rendered *objects;
    size_t count;
    size_t capacity;
    size_t errors;
};

/* A file below the directory by the name under which the user can open it. */
static const char *render_name_file(struct render_verb *verb, const char *file)
{
    size_t length = strlen(verb->path);
    if (text_has_prefix(file, "spec.render") || text_equal(file, "spec.decryption")) {
        return file; /* a field of the Application, as render.h names what is wrong with one */
    }
    if (length && strncmp(file, verb->path, length) == 0 &&
        (file[length] == '/' || file[length] == '\0')) {
        file += length + (file[length] == '/');
    }
    if (*file == '\0') {
        return verb->directory;
    }
    return strcmp(verb->directory, "/") == 0
               ? arena_format(&verb->arena, "/%s", file)
               : arena_format(&verb->arena, "%s/%s", verb->directory, file);
}

static void render_take_error(const char *file, unsigned line, const char *message, void *context)
{
    struct render_verb *verb = context;
    verb->errors++;
    if (line) {
        fprintf(stderr, "%s:%u: %s\n", render_name_file(verb, file), line, message);
    } else {
        fprintf(stderr, "%s: %s\n", render_name_file(verb, file), message);
    }
}

static void render_take_object(cJSON *object, const char *file, unsigned line, void *context)
{
    struct render_verb *verb = context;
    struct error error = {0};
    (void)file;
    (void)line;
    if (verb->count == verb->capacity) {
        verb->capacity = verb->capacity ? verb->capacity * 2 : 64;
        verb->objects = mem_resize(verb->objects, verb->capacity, sizeof(*verb->objects));
    }
    struct rendered *rendered = &verb->objects[verb->count];
    *rendered = (struct rendered){.object = object, .index = verb->count};
    object_ref_from_json(object, &verb->arena, &rendered->ref, &error); /* the render checked it */
    verb->count++;
}

static int render_compare(const void *left_pointer, const void *right_pointer)
{
    const struct rendered *left = left_pointer;
    const struct rendered *right = right_pointer;
    int order = order_compare(&left->ref, &right->ref);
    return order ? order : (left->index > right->index) - (left->index < right->index);
}

static bool render_print_object(const cJSON *object, bool as_yaml, bool first, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 8 * RENDER_FILE_MAXIMUM);
    if (as_yaml && !first) {
        buf_append_string(&text, "---\n");
    }
    bool ok = as_yaml ? yaml_write(object, &text) : json_write(object, &text);
    if (!ok || (!as_yaml && !buf_append_char(&text, '\n'))) {
        return error_set(error, ERROR_LIMIT, "an object is too large to print");
    }
    fwrite(text.data, 1, text.size, stdout);
    return true;
}

static int render_print(struct render_verb *verb, bool as_yaml)
{
    struct error error = {0};
    if (verb->count) {
        qsort(verb->objects, verb->count, sizeof(*verb->objects), render_compare);
    }
    for (size_t i = 0; i < verb->count; i++) {
        if (!render_print_object(verb->objects[i].object, as_yaml, i == 0, &error)) {
            return cli_fail("render", CLI_NO, &error);
        }
    }
    return CLI_OK;
}

/* ---- The Application ---- */

static bool render_take_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    cJSON **application = context;
    (void)line;
    if (!text_equal(json_string(tree, "kind"), "Application")) {
        json_free(tree);
        return true;
    }
    if (*application) {
        json_free(tree);
        return error_set(error, ERROR_INVALID, "the file holds several Applications");
    }
    *application = tree;
    return true;
}

static bool render_read_application(const char *file, cJSON **ret, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    if (!buf_read_file(&text, file, error)) {
        return error_prefix(error, "--application");
    }
    if (!yaml_parse(text.data, text.size, file, NULL, render_take_document, ret, error)) {
        return error_prefix(error, "--application %s", file);
    }
    return *ret ? true
                : error_set(error, ERROR_INVALID, "--application %s: the file holds no Application",
                            file);
}

/* ---- The verb ---- */

/* The command line, the Application, and Helm's habits, in this order. */
static void render_name_release(struct render_verb *verb, struct render_options *options)
{
    const cJSON *metadata = json_object(verb->application, "metadata");
    const char *slash = strrchr(verb->directory, '/');
    const char *base = slash ? slash + 1 : verb->directory;
    const char *name = json_string(metadata, "name");
    options->name = name ? name : *base && *base != '.' ? base : "release";
    options->namespace_ = json_string(metadata, "namespace");
    options->name = verb->chart->release ? verb->chart->release : options->name;
    options->namespace_ = verb->chart->namespace_ ? verb->chart->namespace_ : options->namespace_;
    options->kube_version = verb->chart->kube_version;
}

static bool render_read_values(struct render_verb *verb, struct error *error)
{
    const struct option_list *files = &verb->chart->values;
    verb->values = files->count ? json_new_array() : NULL;
    for (size_t i = 0; i < files->count; i++) {
        AUTO_BUF struct buf text;
        buf_init(&text, RENDER_FILE_MAXIMUM);
        if (!buf_read_file(&text, files->items[i], error)) {
            return error_prefix(error, "--values");
        }
        cJSON *item = json_append(verb->values, json_new_object());
        json_add_string(item, "from", files->items[i]);
        json_add_string(item, "text", text.data);
    }
    return true;
}

/* Takes the tree: a mapping of names to strings. */
static bool render_take_variables(cJSON *tree, unsigned line, void *context, struct error *error)
{
    cJSON *variables = context;
    AUTO_JSON cJSON *owned = tree;
    if (!cJSON_IsObject(tree)) {
        return error_set(error, ERROR_INVALID, "line %u: not a mapping of names to strings", line);
    }
    for (const cJSON *it = json_first(tree); it; it = it->next) {
        if (!cJSON_IsString(it)) {
            return error_set(error, ERROR_INVALID, "%s is not a string; put it in quotes",
                             it->string);
        }
        json_set(variables, it->string, json_new_string(it->valuestring));
    }
    return true;
}

/* The files of the command line, and above them spec.substitute. */
static bool render_read_variables(struct render_verb *verb, const cJSON *spec, struct error *error)
{
    const struct option_list *files = &verb->chart->substitute_from;
    const cJSON *own = json_object(spec, "substitute");
    const cJSON *from = json_array(spec, "substituteFrom");
    if (json_size(from) && !files->count) {
        return error_set(error, ERROR_INVALID,
                         "the Application has spec.substituteFrom, which takes a cluster; give "
                         "the variables with --substitute-from FILE");
    }
    verb->variables = own || from || files->count ? json_new_object() : NULL;
    for (size_t i = 0; i < files->count; i++) {
        AUTO_BUF struct buf text;
        buf_init(&text, RENDER_FILE_MAXIMUM);
        if (!buf_read_file(&text, files->items[i], error) ||
            !yaml_parse(text.data, text.size, files->items[i], NULL, render_take_variables,
                        verb->variables, error)) {
            return error_prefix(error, "--substitute-from %s", files->items[i]);
        }
    }
    return !own || render_take_variables(json_copy(own), 0, verb->variables, error) ||
           error_prefix(error, "spec.substitute");
}

static bool render_read_keys(struct render_verb *verb, const cJSON *spec, struct error *error)
{
    const struct option_list *files = &verb->chart->decrypt_keys;
    if (json_object(spec, "decryption") && !files->count) {
        return error_set(error, ERROR_INVALID,
                         "the Application has spec.decryption, whose Secret takes a cluster; give "
                         "the keys with --decrypt-key FILE");
    }
    return keys_read(files, &verb->decryption, error);
}

static void render_join_versions(struct render_verb *verb)
{
    const struct option_list *list = &verb->chart->api_versions;
    for (size_t i = 0; i < list->count; i++) {
        char *joined = verb->api_versions ? mem_format("%s,%s", verb->api_versions, list->items[i])
                                          : mem_string(list->items[i]);
        free(verb->api_versions);
        verb->api_versions = joined;
    }
}

static int render_directory(struct render_verb *verb, const char *asked_root, bool as_yaml)
{
    char directory[PATH_MAX];
    char root[PATH_MAX];
    struct error error = {0};
    AUTO_SOURCE struct source *source = NULL;
    if (!realpath(verb->directory, directory)) {
        error_set_errno(&error, errno, "cannot open the directory %s", verb->directory);
        return cli_fail("render", CLI_USAGE, &error);
    }
    if (!manifests_find_root(asked_root, directory, root, &error) ||
        !source_open_directory(root, &source, &error)) {
        return cli_fail("render", CLI_USAGE, &error);
    }
    verb->path = manifests_below(root, directory);
    const cJSON *spec = json_object(verb->application, "spec");
    struct render_options options = {
        .path = verb->path,
        .spec = json_object(spec, "render"),
        .target_namespace = json_string(spec, "targetNamespace"),
    };
    render_name_release(verb, &options);
    render_join_versions(verb);
    if (!render_read_values(verb, &error) || !render_read_variables(verb, spec, &error) ||
        !render_read_keys(verb, spec, &error)) {
        return cli_fail("render", CLI_USAGE, &error);
    }
    options.values = verb->values;
    options.decryption = verb->decryption;
    if (verb->chart->generators &&
        !generators_read(verb->chart->generators, &verb->generators, &error)) {
        error_prefix(&error, "--generators");
        return cli_fail("render", CLI_USAGE, &error);
    }
    options.generators = verb->generators;
    options.variables = verb->variables;
    options.api_versions = verb->api_versions;
    const struct render_sink sink = {render_take_object, render_take_error, verb};
    if (!manifests_render(source, &options, &sink, &error)) {
        return cli_fail("render", CLI_USAGE, &error);
    }
    return verb->errors ? CLI_NO : render_print(verb, as_yaml);
}

static const char *render_trim_slashes(const char *typed, struct arena *arena)
{
    size_t length = strlen(typed);
    while (length > 1 && typed[length - 1] == '/') {
        length--;
    }
    return arena_string_n(arena, typed, length);
}

static int render_typed(const char *typed, const struct render_line *line, bool as_yaml)
{
    struct render_verb verb = {.chart = &line->chart};
    struct error error = {0};
    AUTO_JSON cJSON *read = NULL;
    if (line->application && !render_read_application(line->application, &read, &error)) {
        return cli_fail("render", CLI_USAGE, &error);
    }
    verb.application = read;
    arena_init(&verb.arena);
    verb.directory = render_trim_slashes(typed, &verb.arena);
    int status = render_directory(&verb, line->root, as_yaml);
    for (size_t i = 0; i < verb.count; i++) {
        json_free(verb.objects[i].object);
    }
    free(verb.objects);
    json_free(verb.values);
    json_free(verb.variables);
    json_free(verb.decryption);
    json_free(verb.generators);
    free(verb.api_versions);
    arena_release(&verb.arena);
    return status;
}

static int render_start(const struct option_set *set, int argc, char **argv,
                        const struct render_line *line)
{
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    return render_typed(operands[0], line, !line->as_json);
}

int cli_render(int argc, char **argv)
{
    struct render_line line = {0};
    struct render_chart *chart = &line.chart;
    const struct option table[] = {
        {"application", 0, OPTION_TEXT, &line.application, "FILE",
         "An Application (YAML or JSON): its spec.render, spec.targetNamespace, spec.substitute "
         "and "
         "spec.decryption are heeded."},
        {"substitute-from", 0, OPTION_LIST, &chart->substitute_from, "FILE",
         "Variables to substitute, names and strings in YAML, in the place of spec.substituteFrom; "
         "may be repeated."},
        {"decrypt-key", 0, OPTION_LIST, &chart->decrypt_keys, "FILE", KEYS_HELP},
        {"generators", 0, OPTION_TEXT, &chart->generators, "FILE", GENERATORS_HELP},
        {"release-name", 0, OPTION_TEXT, &chart->release, "NAME",
         "Of a chart's release. Default: the Application's name, or DIR's."},
        {"namespace", 'n', OPTION_TEXT, &chart->namespace_, "NAME",
         "Of a chart's release. Default: the Application's, or \"default\"."},
        {"values", 'f', OPTION_LIST, &chart->values, "FILE",
         "Values for a chart, after those that the Application names; may be repeated."},
        {"kube-version", 0, OPTION_TEXT, &chart->kube_version, "VERSION",
         "That a chart is to believe in. Default: that of the helm program."},
        {"api-versions", 0, OPTION_LIST, &chart->api_versions, "VERSIONS",
         "Further ones for a chart, group/version or group/version/Kind; may be repeated."},
        {"output", 'o', OPTION_CHOICE, &line.as_json, "yaml|json",
         "yaml: documents divided by ---; json: one object a line. Default: yaml."},
        {"root", 0, OPTION_TEXT, &line.root, "DIR",
         "Files outside of it are never read. Default: the Git work tree around DIR, or the "
         "current directory."},
        {0},
    };
    const struct option_set set = {
        "render [OPTIONS] DIR",
        "Prints the objects of the manifests in DIR, or what Kustomize or Helm builds of it, as\n"
        "they would be applied: Lists expanded, in the order of application. All errors are told\n"
        "at once, on standard error, as FILE:LINE: WHY.",
        "0: rendered; 1: something is invalid, and nothing is printed; 2: the command line is\n"
        "wrong or DIR cannot be read.",
        table,
    };
    int status = render_start(&set, argc, argv, &line);
    free(chart->values.items);
    free(chart->api_versions.items);
    free(chart->substitute_from.items);
    free(chart->decrypt_keys.items);
    return status;
}
