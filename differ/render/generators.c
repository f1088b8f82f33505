#include "differ/render/generators.h"

#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <string.h>

#define FILE_MAXIMUM ((size_t)1 << 20)
#define NAME_MAXIMUM 63
#define STRINGS_MAXIMUM 100 /* of a command, and of paths */

struct reading {
    const char *file;
    cJSON *list;
    struct map names;
};

static bool refuse(const struct reading *reading, const cJSON *node, struct error *error,
                   const char *why)
{
    return error_set(error, ERROR_INVALID, "%s:%u: %s", reading->file, yaml_line(node), why);
}

static bool is_name(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size <= NAME_MAXIMUM && name[0] != '-' && name[size - 1] != '-' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == size;
}

static bool are_strings(const cJSON *list)
{
    size_t count = 0;
    for (const cJSON *it = json_first(list); it; it = it->next) {
        if (!cJSON_IsString(it) || ++count > STRINGS_MAXIMUM) {
            return false;
        }
    }
    return true;
}

static bool are_absolute(const cJSON *list)
{
    for (const cJSON *it = json_first(list); it; it = it->next) {
        if (!text_has_prefix(it->valuestring, "/")) {
            return false;
        }
    }
    return true;
}

static bool check_members(const struct reading *reading, const cJSON *item, struct error *error)
{
    for (const cJSON *it = json_first(item); it; it = it->next) {
        if (!text_equal(it->string, "name") && !text_equal(it->string, "command") &&
            !text_equal(it->string, "paths")) {
            AUTO_FREE char *why = mem_format(
                "a generator has name, command and paths, and nothing called %s", it->string);
            return refuse(reading, it, error, why);
        }
    }
    return true;
}

static bool check(struct reading *reading, const cJSON *item, struct error *error)
{
    const char *name = json_string(item, "name");
    const cJSON *command = json_array(item, "command");
    const cJSON *paths = json_get(item, "paths");
    const cJSON *first = json_first(command);
    if (!cJSON_IsObject(item) || !name || !is_name(name)) {
        return refuse(reading, item, error,
                      "a generator needs a name of lower-case letters, digits and dashes");
    }
    if (map_has(&reading->names, name)) {
        return refuse(reading, item, error, "there is another generator of that name");
    }
    map_set(&reading->names, name, reading);
    if (!first || !are_strings(command) || !text_has_prefix(first->valuestring, "/")) {
        return refuse(reading, item, error,
                      "a generator needs a command: a list of the program's absolute path and its "
                      "arguments");
    }
    if (paths && (!cJSON_IsArray(paths) || !are_strings(paths) || !are_absolute(paths))) {
        return refuse(reading, paths, error, "paths is a list of absolute paths");
    }
    return check_members(reading, item, error);
}

static bool take(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct reading *reading = context;
    AUTO_JSON cJSON *owned = tree;
    const cJSON *list = json_array(tree, "generators");
    (void)line;
    if (!list || json_size(tree) != 1) {
        return refuse(reading, tree, error, "the file is a mapping with one list, generators");
    }
    for (const cJSON *it = json_first(list); it; it = it->next) {
        if (!check(reading, it, error)) {
            return false;
        }
        json_append(reading->list, json_copy(it));
    }
    return true;
}

bool generators_parse(const char *text, size_t size, const char *file, cJSON **ret,
                      struct error *error)
{
    struct reading reading = {.file = file, .list = json_new_array()};
    map_init(&reading.names);
    bool ok = yaml_parse(text, size, file, NULL, take, &reading, error);
    map_release(&reading.names, NULL);
    if (!ok) {
        json_free(reading.list);
        return false;
    }
    *ret = reading.list;
    return true;
}

bool generators_read(const char *file, cJSON **ret, struct error *error)
{
    AUTO_BUF struct buf text;
    buf_init(&text, FILE_MAXIMUM);
    return buf_read_file(&text, file, error) &&
           generators_parse(text.data, text.size, file, ret, error);
}

const cJSON *generators_find(const cJSON *generators, const char *name)
{
    for (const cJSON *it = json_first(generators); it; it = it->next) {
        if (text_equal(json_string(it, "name"), name)) {
            return it;
        }
    }
    return NULL;
}

char *generators_names(const cJSON *generators)
{
    AUTO_BUF struct buf text;
    buf_init(&text, FILE_MAXIMUM);
    for (const cJSON *it = json_first(generators); it; it = it->next) {
        buf_append_format(&text, "%s%s", text.size ? ", " : "",
                          text_or_empty(json_string(it, "name")));
    }
    return mem_string(text.size ? text.data : "none");
}

static size_t add_strings(const cJSON *first, const char **out, size_t count)
{
    for (const cJSON *it = first; it; it = it->next) {
        if (cJSON_IsString(it)) {
            out[count++] = it->valuestring;
        }
    }
    return count;
}

const char **generators_executables(const cJSON *generators, const char *const *more)
{
    size_t count = 0, capacity = 1;
    while (more && more[count]) {
        count++;
    }
    capacity += count;
    for (const cJSON *it = json_first(generators); it; it = it->next) {
        capacity += 1 + json_size(json_array(it, "paths"));
    }
    const char **paths = mem_new(capacity, sizeof *paths);
    for (size_t i = 0; i < count; i++) {
        paths[i] = more[i];
    }
    for (const cJSON *it = json_first(generators); it; it = it->next) {
        const cJSON *program = json_first(json_array(it, "command"));
        if (cJSON_IsString(program)) {
            paths[count++] = program->valuestring;
        }
        count = add_strings(json_first(json_array(it, "paths")), paths, count);
    }
    return paths;
}
