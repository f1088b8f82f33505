/* A list is cut into its items by counting brackets outside of strings; each piece then goes
 * through the parser that forgives what servers hold, since whoever may write one of the objects
 * must not keep everybody from reading the others. See list.h. */
#include "common/kube/list.h"

#include "common/data/object.h"

#include <string.h>

struct cursor {
    const char *at;
    const char *end;
};

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && *cursor->at && strchr(" \t\r\n", *cursor->at)) {
        cursor->at++;
    }
}

static bool take(struct cursor *cursor, char expected)
{
    skip_space(cursor);
    if (cursor->at < cursor->end && *cursor->at == expected) {
        cursor->at++;
        return true;
    }
    return false;
}

/* Moves behind the string that begins here. */
static bool skip_string(struct cursor *cursor)
{
    for (cursor->at++; cursor->at < cursor->end; cursor->at++) {
        if (*cursor->at == '\\') {
            cursor->at++;
        } else if (*cursor->at == '"') {
            cursor->at++;
            return true;
        }
    }
    return false;
}

/* Moves behind the value that begins here, whatever it is. The parser judges it later. */
static bool skip_value(struct cursor *cursor)
{
    unsigned depth = 0;
    skip_space(cursor);
    while (cursor->at < cursor->end) {
        char c = *cursor->at;
        if (c == '"') {
            if (!skip_string(cursor)) {
                return false;
            }
        } else if (c == '{' || c == '[') {
            depth++;
            cursor->at++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return true;
            }
            depth--;
            cursor->at++;
        } else if (c == ',' && depth == 0) {
            return true;
        } else {
            cursor->at++;
            continue; /* a number or a word may go on */
        }
        if (depth == 0) {
            return true;
        }
    }
    return false;
}

static bool malformed(struct error *error)
{
    return error_set(error, ERROR_INVALID, "the answer is not a list of objects");
}

static bool split_items(struct cursor *cursor, bool (*item)(cJSON *tree, void *context),
                        void *context, bool *stop, struct error *error)
{
    if (take(cursor, ']')) {
        return true;
    }
    do {
        cJSON *tree = NULL;
        const char *lost;
        skip_space(cursor);
        const char *start = cursor->at;
        if (!skip_value(cursor)) {
            return malformed(error);
        }
        if (!json_parse_forgiving(start, (size_t)(cursor->at - start), NULL, &tree, &lost, error)) {
            return error_prefix(error, "an item of the list");
        }
        if (!cJSON_IsObject(tree)) {
            json_free(tree);
            return malformed(error);
        }
        json_add_string(tree, OBJECT_DAMAGED, lost);
        *stop = !item(tree, context);
    } while (!*stop && take(cursor, ','));
    return *stop || take(cursor, ']') || malformed(error);
}

static bool split_member(struct cursor *cursor, bool (*item)(cJSON *tree, void *context),
                         void *context, cJSON **metadata, bool *stop, struct error *error)
{
    skip_space(cursor);
    const char *name = cursor->at;
    if (cursor->at == cursor->end || *cursor->at != '"' || !skip_string(cursor)) {
        return malformed(error);
    }
    size_t name_size = (size_t)(cursor->at - name);
    if (!take(cursor, ':')) {
        return malformed(error);
    }
    skip_space(cursor);
    if (name_size == 7 && memcmp(name, "\"items\"", 7) == 0 && take(cursor, '[')) {
        return split_items(cursor, item, context, stop, error);
    }
    const char *start = cursor->at;
    if (!skip_value(cursor)) {
        return malformed(error);
    }
    if (name_size == 10 && memcmp(name, "\"metadata\"", 10) == 0 && !*metadata) {
        return json_parse(start, (size_t)(cursor->at - start), NULL, metadata, error) ||
               error_prefix(error, "the metadata of the list");
    }
    return true;
}

bool kube_list_split(const char *text, size_t size, bool (*item)(cJSON *tree, void *context),
                     void *context, cJSON **ret_metadata, struct error *error)
{
    struct cursor cursor = {text, text + size};
    AUTO_JSON cJSON *metadata = NULL;
    bool stop = false;
    if (!take(&cursor, '{')) {
        return malformed(error);
    }
    if (!take(&cursor, '}')) {
        do {
            if (!split_member(&cursor, item, context, &metadata, &stop, error)) {
                return false;
            }
        } while (!stop && take(&cursor, ','));
        if (!stop && !take(&cursor, '}')) {
            return malformed(error);
        }
    }
    skip_space(&cursor);
    if (!stop && cursor.at != cursor.end) {
        return malformed(error);
    }
    *ret_metadata = metadata;
    metadata = NULL;
    return true;
}
