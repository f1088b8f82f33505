/* The render of plain manifests: each document of each file is an object, and each item of a List.
 * All that is wrong is reported, file by file and document by document; only a syntax error ends
 * its file, since what follows it cannot be read. */
#include "common/base/arena.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/object.h"
#include "common/data/yaml.h"
#include "differ/render/internal.h"
#include "differ/render/json_stream.h"
#include "differ/render/substitute.h"

#include <stdio.h>
#include <string.h>

struct render_run {
    const struct render_sink *sink;
    const char *file;
    const struct yaml_limits *limits; /* NULL: of one file */
    size_t objects;
    size_t errors;
    size_t bytes;
    const cJSON *variables;       /* NULL: nothing is substituted */
    const struct sops_part *part; /* that was decrypted, or NULL: the text is the file's own */
    size_t documents;             /* of that part, so far */
    unsigned offset;              /* lines of the file before the text */
    bool decrypts;                /* there are keys */
    size_t budget;                /* bytes that substitution may still make */
};

static bool render_is_full(const struct render_run *run)
{
    return run->errors >= RENDER_ERRORS_MAXIMUM || run->objects > RENDER_OBJECTS_MAXIMUM;
}

static void render_error(struct render_run *run, unsigned line, const char *message)
{
    if (run->errors < RENDER_ERRORS_MAXIMUM) {
        run->errors++;
        run->sink->error(run->file, line ? line + run->offset : 0, message, run->sink->context);
    }
}

/* The line in the repository of a document that begins on `line` of the text. */
static unsigned render_line_of(struct render_run *run, unsigned line)
{
    if (!run->part) {
        return line;
    }
    size_t last = run->part->line_count - 1;
    size_t number = run->documents++;
    return run->part->lines[number < last ? number : last];
}

/* ---- Documents ---- */

struct render_substitution {
    struct render_run *run;
    const cJSON *object;
    unsigned line; /* of the document */
};

/* The object is named as it stands in the file. */
static void render_substitution_problem(unsigned line, const char *message, void *context)
{
    struct render_substitution *it = context;
    AUTO_FREE char *text =
        mem_format("%s %s: %s", text_or_empty(json_string(it->object, "kind")),
                   text_or_empty(json_string_path(it->object, "metadata.name")), message);
    render_error(it->run, line && !it->run->part ? line : it->line, text);
}

static bool render_substitute(struct render_run *run, cJSON *object, unsigned line)
{
    if (!run->variables) {
        return true;
    }
    AUTO_JSON cJSON *before = json_new_object(); /* with the name, which is substituted too */
    json_add(before, "metadata", json_new_object());
    json_add_string(before, "kind", json_string(object, "kind"));
    json_add_string(json_object(before, "metadata"), "name",
                    json_string_path(object, "metadata.name"));
    struct render_substitution context = {run, before, line};
    return substitute_object(object, run->variables, &run->budget, render_substitution_problem,
                             &context);
}

/* Nothing of it may reach the cluster: whoever reads it there would take it for the secret. */
static bool render_refuse_encrypted(struct render_run *run, const cJSON *object, unsigned line,
                                    struct arena *arena)
{
    unsigned found = 0;
    if (!sops_object_is_encrypted(object, &found)) {
        return false;
    }
    render_error(run, found && !run->part ? found : line,
                 arena_format(arena,
                              "%s %s is encrypted by SOPS; %s, or the annotation " SOPS_ANNOTATION
                              ": disabled to have it applied as it is",
                              text_or_empty(json_string(object, "kind")),
                              text_or_empty(json_string_path(object, "metadata.name")),
                              run->decrypts ? "what is made only by a build is not decrypted, so "
                                              "encrypt a file as a whole"
                                            : "set spec.decryption, with the Secret that holds the "
                                              "key (gitmoor render: --decrypt-key FILE)"));
    return true;
}

/* `where` is "" or "items[3]: ". */
static void render_object(struct render_run *run, cJSON *object, unsigned line, const char *where)
{
    AUTO_ARENA struct arena arena;
    AUTO_JSON cJSON *owned = object;
    struct object_ref ref;
    struct error error = {0};
    arena_init(&arena);
    const char *missing = json_string(object, "apiVersion") ? NULL : "apiVersion";
    if (!json_string(object, "kind")) {
        missing = missing ? "apiVersion and no kind" : "kind";
    }
    if (missing) {
        render_error(run, line,
                     arena_format(&arena,
                                  "%sthe document has no %s; a manifest needs apiVersion and kind",
                                  where, missing));
        return;
    }
    if (!render_substitute(run, object, line)) {
        return;
    }
    if (!object_ref_from_json(object, &arena, &ref, &error)) {
        render_error(run, line, arena_format(&arena, "%s%s", where, error.message));
        return;
    }
    if (render_refuse_encrypted(run, object, line, &arena)) {
        return;
    }
    if (++run->objects > RENDER_OBJECTS_MAXIMUM) {
        if (run->objects == RENDER_OBJECTS_MAXIMUM + 1) {
            render_error(run, line,
                         arena_format(&arena, "the application has more than %d objects",
                                      RENDER_OBJECTS_MAXIMUM));
        }
        return;
    }
    run->sink->object(owned, run->file, line + run->offset, run->sink->context);
    owned = NULL;
}

/* A List of mixed objects, or a typed one as the API answers: ConfigMapList. */
static bool render_is_list(const cJSON *tree)
{
    const char *kind = json_string(tree, "kind");
    return kind && (strcmp(kind, "List") == 0 ||
                    (text_has_suffix(kind, "List") && json_array(tree, "items")));
}

/* Items of a typed list come without apiVersion and kind, as the API server sends them: they are
 * those of the list, as kubectl has it. */
static void render_type_item(cJSON *item, const char *api_version, const char *list_kind)
{
    size_t length = strlen(list_kind) - strlen("List");
    if (length && cJSON_IsObject(item) && !json_get(item, "kind")) {
        AUTO_FREE char *kind = mem_string_n(list_kind, length);
        json_set(item, "kind", json_new_string(kind));
        json_set(item, "apiVersion", json_new_string(api_version));
    }
}

static void render_tree(struct render_run *run, cJSON *tree, unsigned line, const char *where);

static void render_list(struct render_run *run, cJSON *list, unsigned line, const char *where)
{
    AUTO_JSON cJSON *owned = list;
    const char *kind = json_string(list, "kind");
    const char *api_version = json_string(list, "apiVersion");
    cJSON *items = json_get(list, "items");
    if (!api_version) {
        AUTO_FREE char *message = mem_format("%sthe List has no apiVersion", where);
        render_error(run, line, message);
        return;
    }
    if (items && !cJSON_IsArray(items) && !cJSON_IsNull(items)) {
        AUTO_FREE char *message = mem_format("%sthe items of the List are not a sequence", where);
        render_error(run, line, message);
        return;
    }
    size_t index = 0;
    for (cJSON *item = json_first(items); item && !render_is_full(run); index++) {
        cJSON *next = item->next;
        AUTO_FREE char *inner = mem_format("%sitems[%zu]: ", where, index);
        cJSON_DetachItemViaPointer(items, item);
        render_type_item(item, api_version, kind);
        render_tree(run, item, line, inner);
        item = next;
    }
}

/* Takes the tree. Recursion is bounded by the depth that the readers allow. */
static void render_tree(struct render_run *run, cJSON *tree, unsigned line, const char *where)
{
    if (!cJSON_IsObject(tree)) {
        if (!cJSON_IsNull(tree)) {
            AUTO_FREE char *message =
                mem_format("%sthe document is %s; a manifest is a mapping with apiVersion and kind",
                           where, cJSON_IsArray(tree) ? "a sequence" : "a single value");
            render_error(run, line, message);
        }
        json_free(tree);
    } else if (render_is_list(tree)) {
        render_list(run, tree, line, where);
    } else {
        render_object(run, tree, line, where);
    }
}

static bool render_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct render_run *run = context;
    render_tree(run, tree, render_line_of(run, line), "");
    if (render_is_full(run)) {
        return error_set(error, ERROR_LIMIT, "enough");
    }
    return true;
}

/* ---- Files ---- */

static void render_value(cJSON *tree, unsigned line, void *context)
{
    render_tree(context, tree, render_line_of(context, line), "");
}

/* JSON has escapes that YAML lacks (surrogate pairs), and values that follow each other without a
 * divider, so a .json file is read as JSON. What is not JSON is left to the YAML reader, as kubectl
 * does, whose errors name a line. */
static bool render_as_json(struct render_run *run, const char *text, size_t size)
{
    return text_has_suffix(run->file, ".json") &&
           json_stream_read(text, size, NULL, render_value, run);
}

/* Splits "<file>:<line>: <why>", as the YAML reader has it. */
static void render_syntax_error(struct render_run *run, const char *message)
{
    unsigned line = 0;
    int used = 0;
    size_t length = strlen(run->file);
    if (strncmp(message, run->file, length) == 0 &&
        sscanf(message + length, ":%u: %n", &line, &used) >= 1 && used) {
        message += length + (size_t)used;
    }
    if (run->part) {
        line = render_line_of(run, line);
        message = "what is decrypted of it cannot be read as YAML";
    }
    render_error(run, line, message);
}

static void render_content(struct render_run *run, const char *text, size_t size)
{
    struct error error = {0};
    if (!render_as_json(run, text, size) &&
        !yaml_parse(text, size, run->file, run->limits, render_document, run, &error) &&
        !render_is_full(run)) {
        render_syntax_error(run, error.message);
    }
}

bool render_text(const char *text, size_t size, const char *file, const struct render_scan *scan,
                 const struct render_sink *sink)
{
    const struct yaml_limits all = {RENDER_TOTAL_MAXIMUM, 100, 5000000};
    struct render_run run = {.sink = sink,
                             .file = file,
                             .limits = &all,
                             .variables = scan ? scan->options.variables : NULL,
                             .decrypts = scan && scan->options.decryption,
                             .budget = RENDER_TOTAL_MAXIMUM};
    render_content(&run, text, size);
    return run.errors == 0;
}

/* Part by part, so that each document keeps its line. */
static void render_parts(struct render_run *run, const struct render_decrypted *file)
{
    for (size_t i = 0; i < file->file.count && !render_is_full(run); i++) {
        const struct sops_part *part = &file->file.parts[i];
        if (part->format && file->texts[i].data) {
            run->part = part;
            run->documents = 0;
            run->bytes += file->texts[i].size;
            render_content(run, file->texts[i].data, file->texts[i].size);
            run->part = NULL;
        } else if (!part->format) {
            run->offset = part->lines[0] - 1;
            render_content(run, file->source.data + part->start, part->size);
            run->offset = 0;
        }
    }
}

static bool render_file(struct render_run *run, const struct render_scan *scan,
                        struct source *source, const char *path, struct error *error)
{
    const struct render_decrypted *decrypted = render_decrypted_file(scan, path);
    if (decrypted) {
        render_parts(run, decrypted);
        return true;
    }
    AUTO_BUF struct buf text;
    buf_init(&text, RENDER_FILE_MAXIMUM);
    if (!source_read(source, path, &text, error) ||
        !render_tree_check_content(path, &text, error)) {
        if (error->code == ERROR_UNAVAILABLE || error->code == ERROR_INTERNAL) {
            return false;
        }
        render_error(run, 0, error->message);
        return true;
    }
    run->bytes += text.size;
    if (run->bytes > RENDER_TOTAL_MAXIMUM) {
        AUTO_FREE char *message = mem_format(
            "the application's files have more than %zu MiB together", RENDER_TOTAL_MAXIMUM >> 20);
        render_error(run, 0, message);
        return true;
    }
    render_content(run, text.data, text.size);
    return true;
}

bool render_plain(struct source *source, const struct render_scan *scan,
                  const struct render_sink *sink, struct error *error)
{
    struct render_hiding hiding;
    render_hiding_init(&hiding, scan, sink);
    struct render_run run = {.sink = &hiding.sink,
                             .variables = scan->options.variables,
                             .decrypts = scan->options.decryption != NULL,
                             .budget = RENDER_TOTAL_MAXIMUM};
    struct error reason = {0};
    size_t count;
    const struct render_item *items = render_scan_items(scan, &count);
    for (size_t i = 0; i < count && !render_is_full(&run) && run.bytes <= RENDER_TOTAL_MAXIMUM;
         i++) {
        run.file = items[i].file;
        if (items[i].problem) {
            render_error(&run, items[i].line, items[i].problem);
        } else if (!render_file(&run, scan, source, items[i].path, &reason)) {
            if (error) {
                *error = reason;
            }
            return false;
        }
    }
    return true;
}
