/* JSON pointers: walked token by token, nothing is allocated. */
#include "common/data/pointer.h"

#include <string.h>

bool pointer_is_valid(const char *pointer, struct error *error)
{
    if (!pointer) {
        return error_set(error, ERROR_INVALID, "the JSON pointer is missing");
    }
    if (*pointer != '\0' && *pointer != '/') {
        return error_set(error, ERROR_INVALID,
                         "JSON pointer \"%s\": it must be empty or begin with \"/\"", pointer);
    }
    for (const char *at = strchr(pointer, '~'); at; at = strchr(at + 1, '~')) {
        if (at[1] != '0' && at[1] != '1') {
            return error_set(error, ERROR_INVALID,
                             "JSON pointer \"%s\": \"~\" must be followed by 0 or 1 (\"~0\" "
                             "stands for a tilde, \"~1\" for a slash)",
                             pointer);
        }
    }
    return true;
}

/* Whether the token of `size` bytes, unescaped, is `name`. */
static bool token_is(const char *token, size_t size, const char *name)
{
    const char *end = token + size;
    for (; token < end && *name; token++, name++) {
        char character = *token;
        if (character == '~' && token + 1 < end) {
            token++;
            character = *token == '1' ? '/' : '~';
        }
        if (character != *name) {
            return false;
        }
    }
    return token == end && !*name;
}

static cJSON *item_at(const cJSON *array, const char *token, size_t size)
{
    size_t index = 0;
    if (size == 0 || size > 9 || (size > 1 && *token == '0')) {
        return NULL;
    }
    for (size_t i = 0; i < size; i++) {
        if (token[i] < '0' || token[i] > '9') {
            return NULL;
        }
        index = index * 10 + (size_t)(token[i] - '0');
    }
    cJSON *item = json_first(array);
    while (item && index > 0) {
        item = item->next;
        index--;
    }
    return item;
}

static cJSON *child_at(const cJSON *node, const char *token, size_t size)
{
    if (cJSON_IsArray(node)) {
        return item_at(node, token, size);
    }
    cJSON *member = cJSON_IsObject(node) ? json_first(node) : NULL;
    while (member && !token_is(token, size, member->string)) {
        member = member->next;
    }
    return member;
}

/* The node, and what holds it (NULL for the document itself). */
static cJSON *resolve(const cJSON *document, const char *pointer, cJSON **ret_parent)
{
    cJSON *node = (cJSON *)document, *parent = NULL;
    if (!pointer_is_valid(pointer, NULL)) {
        return NULL;
    }
    while (node && *pointer) {
        const char *token = pointer + 1;
        size_t size = strcspn(token, "/");
        parent = node;
        node = child_at(node, token, size);
        pointer = token + size;
    }
    *ret_parent = parent;
    return node;
}

cJSON *pointer_get(const cJSON *document, const char *pointer)
{
    cJSON *parent;
    return resolve(document, pointer, &parent);
}

/* False: `visit` wants no more. */
static bool each(const cJSON *node, const char *pointer,
                 bool (*visit)(const cJSON *node, void *context), void *context)
{
    while (*pointer) {
        const char *token = pointer + 1;
        size_t size = strcspn(token, "/");
        pointer = token + size;
        if (size != 1 || *token != '*') {
            node = child_at(node, token, size);
            continue;
        }
        for (const cJSON *child = json_first(node); child; child = child->next) {
            if (!each(child, pointer, visit, context)) {
                return false;
            }
        }
        return true;
    }
    return visit(node, context);
}

void pointer_each(const cJSON *document, const char *pointer,
                  bool (*visit)(const cJSON *node, void *context), void *context)
{
    if (pointer_is_valid(pointer, NULL)) {
        each(document, pointer, visit, context);
    }
}

size_t pointer_stars(const char *pointer)
{
    size_t stars = 0;
    while (*pointer) {
        size_t size = strcspn(pointer + 1, "/");
        stars += size == 1 && pointer[1] == '*';
        pointer += 1 + size;
    }
    return stars;
}

bool pointer_remove(cJSON *document, const char *pointer)
{
    cJSON *parent = NULL;
    cJSON *node = resolve(document, pointer, &parent);
    if (!node || !parent) {
        return false; /* the document itself belongs to the caller */
    }
    json_free(cJSON_DetachItemViaPointer(parent, node));
    return true;
}
