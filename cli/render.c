/* gitmoor render: what the differ would render of a directory, in the order of application. */
#include "differ/render.h"
#include "cli/cli.h"
#include "cli/manifests.h"
#include "cli/options.h"
#include "common/base/arena.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/data/yaml.h"
#include "differ/order.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

struct rendered {
    cJSON *object;
    struct object_ref ref;
    size_t index; /* in order of files, which decides between equals */
};

struct render_verb {
    cJSON *application;    /* of --application, or NULL */
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
    const struct render_options options = {
        .path = verb->path,
        .spec = json_object(spec, "render"),
        .target_namespace = json_string(spec, "targetNamespace"),
    };
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

static int render_typed(const char *typed, const char *root, const char *application, bool as_yaml)
{
    struct render_verb verb = {0};
    struct error error = {0};
    AUTO_JSON cJSON *read = NULL;
    if (application && !render_read_application(application, &read, &error)) {
        return cli_fail("render", CLI_USAGE, &error);
    }
    verb.application = read;
    arena_init(&verb.arena);
    verb.directory = render_trim_slashes(typed, &verb.arena);
    int status = render_directory(&verb, root, as_yaml);
    for (size_t i = 0; i < verb.count; i++) {
        json_free(verb.objects[i].object);
    }
    free(verb.objects);
    arena_release(&verb.arena);
    return status;
}

int cli_render(int argc, char **argv)
{
    const char *output = "yaml";
    const char *root = NULL;
    const char *application = NULL;
    const struct option table[] = {
        {"application", 0, OPTION_TEXT, &application, "FILE",
         "An Application (YAML or JSON): its spec.render and spec.targetNamespace are heeded."},
        {"output", 'o', OPTION_TEXT, &output, "FORMAT",
         "yaml (documents divided by ---) or json (one object a line). Default: yaml."},
        {"root", 0, OPTION_TEXT, &root, "DIR",
         "Files outside of it are never read. Default: the Git work tree around DIR, or the "
         "current directory."},
        {0},
    };
    const struct option_set set = {
        "render [OPTIONS] DIR",
        "Prints the objects of the manifests in DIR, or what Kustomize builds of it, as they "
        "would\n"
        "be applied: Lists expanded, in the order of application. All errors are told at once, on "
        "standard error, as\n"
        "FILE:LINE: WHY.",
        "0: rendered; 1: something is invalid, and nothing is printed; 2: the command line is\n"
        "wrong or DIR cannot be read.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        operands = NULL;
        return status;
    }
    bool as_yaml = strcmp(output, "yaml") == 0;
    if (!as_yaml && strcmp(output, "json") != 0) {
        error_set(&error, ERROR_INVALID, "--output is yaml or json, not %s", output);
        return cli_fail("render", CLI_USAGE, &error);
    }
    return render_typed(operands[0], root, application, as_yaml);
}
