/* The strict reader: a pre-scan (json_scan.c), cJSON's parser, and one walk over the tree that puts
 * each number's own text in place of its double and looks for duplicate keys.
 * Cost: O(n), or O(n log n) in the members of one object. The recursion is bounded by the depth. */
#include "common/data/json_internal.h"

#include "common/base/memory.h"

#include <string.h>

/* Up to so many members are compared pair by pair; beyond that sorting is faster. */
#define PAIRWISE_MAXIMUM 16

const struct json_limits json_default_limits = {
    .bytes = (size_t)16 << 20,
    .depth = 100,
    .nodes = 2000000,
};

/* Where cJSON's parser takes its memory from while json_parse_in runs: its hooks are told of no
 * context. Each thread has its own; the hooks are the process's, but only the loop's thread
 * parses. */
static _Thread_local struct arena *parsing_into;

struct conversion {
    struct arena *arena; /* NULL: the heap */
    const char *text;
    const struct json_span *numbers;
    size_t next_number;
    const cJSON *duplicate; /* the second member of that name */
};

static int compare_members(const void *left, const void *right)
{
    return strcmp((*(cJSON *const *)left)->string, (*(cJSON *const *)right)->string);
}

static const cJSON *find_duplicate_sorted(const cJSON *object, size_t count)
{
    cJSON **members = json_sorted_members(object, NULL, 0, &count);
    const cJSON *found = NULL;
    for (size_t i = 1; i < count && !found; i++) {
        if (compare_members(&members[i - 1], &members[i]) == 0) {
            found = members[i];
        }
    }
    free(members);
    /* The sort is not stable: of the equal ones the last in the object's order is the culprit. */
    const cJSON *last = found;
    for (const cJSON *member = object->child; found && member; member = member->next) {
        if (strcmp(member->string, found->string) == 0) {
            last = member;
        }
    }
    return last;
}

static const cJSON *find_duplicate(const cJSON *object)
{
    size_t count = 0;
    const cJSON *members[PAIRWISE_MAXIMUM];
    for (const cJSON *member = object->child; member; member = member->next) {
        if (count == PAIRWISE_MAXIMUM) {
            return find_duplicate_sorted(object, count);
        }
        for (size_t i = 0; i < count; i++) {
            if (strcmp(members[i]->string, member->string) == 0) {
                return member;
            }
        }
        members[count++] = member;
    }
    return NULL;
}

static bool convert(struct conversion *conversion, cJSON *node)
{
    if (node->type == cJSON_Number) {
        struct json_span span = conversion->numbers[conversion->next_number++];
        node->type = cJSON_Raw;
        const char *number = conversion->text + span.start;
        node->valuestring = conversion->arena ? arena_string_n(conversion->arena, number, span.size)
                                              : mem_string_n(number, span.size);
        return true;
    }
    if (node->type == cJSON_Object) {
        conversion->duplicate = find_duplicate(node);
        if (conversion->duplicate) {
            return false;
        }
    }
    for (cJSON *child = node->child; child; child = child->next) {
        if (!convert(conversion, child)) {
            return false;
        }
    }
    return true;
}

/* The ordinal of the key of `wanted` in the text: keys in document order. */
static bool count_keys(const cJSON *node, const cJSON *wanted, size_t *count)
{
    for (const cJSON *child = node->child; child; child = child->next) {
        if (node->type == cJSON_Object) {
            ++*count;
        }
        if (child == wanted || count_keys(child, wanted, count)) {
            return true;
        }
    }
    return false;
}

static bool refuse(const struct json_scan *scan, struct error *error)
{
    size_t line, column;
    json_scan_position(scan, &line, &column);
    return error_set(error, scan->code, "line %zu, column %zu: %s", line, column, scan->why);
}

/* The rare way: scan again, up to the key, to learn where it stands. */
static bool refuse_duplicate(const struct json_scan *scanned, const cJSON *tree,
                             const cJSON *duplicate, struct error *error)
{
    struct json_scan scan;
    json_scan_init(&scan, scanned->text, (size_t)(scanned->end - scanned->text), &scanned->limits);
    count_keys(tree, duplicate, &scan.stop_at_key);
    json_scan_value(&scan);
    size_t line, column;
    json_scan_position(&scan, &line, &column);
    json_scan_release(&scan);
    return error_set(error, ERROR_INVALID, "line %zu, column %zu: duplicate key \"%s\"", line,
                     column, duplicate->string);
}

/* ---- Memory of the tree ---- */

static void *take_from_arena(size_t size)
{
    return arena_new(parsing_into, size);
}

static void leave_to_arena(void *memory)
{
    (void)memory;
}

static cJSON *parse_into(struct arena *arena, const char *text, size_t size)
{
    if (!arena) {
        return cJSON_ParseWithLengthOpts(text, size, NULL, 0);
    }
    cJSON_Hooks hooks = {.malloc_fn = take_from_arena, .free_fn = leave_to_arena};
    parsing_into = arena;
    cJSON_InitHooks(&hooks);
    cJSON *tree = cJSON_ParseWithLengthOpts(text, size, NULL, 0);
    cJSON_InitHooks(NULL);
    parsing_into = NULL;
    return tree;
}

static bool parse_scanned(const struct json_scan *scan, struct arena *arena, cJSON **ret,
                          struct error *error)
{
    size_t size = (size_t)(scan->at - scan->text);
    cJSON *tree = parse_into(arena, scan->text, size);
    if (!tree) {
        return error_set(error, ERROR_INTERNAL, "the JSON text of %zu bytes could not be parsed",
                         size);
    }
    struct conversion conversion = {.arena = arena, .text = scan->text, .numbers = scan->numbers};
    if (!convert(&conversion, tree)) {
        refuse_duplicate(scan, tree, conversion.duplicate, error);
        if (!arena) {
            json_free(tree);
        }
        return false;
    }
    *ret = tree;
    return true;
}

bool json_parse_scanned(const struct json_scan *scan, cJSON **ret, struct error *error)
{
    return parse_scanned(scan, NULL, ret, error);
}

static bool parse(struct arena *arena, const char *text, size_t size,
                  const struct json_limits *limits, cJSON **ret, struct error *error)
{
    struct json_scan scan;
    json_scan_init(&scan, text, size, limits ? limits : &json_default_limits);
    bool ok = json_scan_run(&scan) ? parse_scanned(&scan, arena, ret, error) : refuse(&scan, error);
    json_scan_release(&scan);
    return ok;
}

bool json_parse(const char *text, size_t size, const struct json_limits *limits, cJSON **ret,
                struct error *error)
{
    return parse(NULL, text, size, limits, ret, error);
}

bool json_parse_in(struct arena *arena, const char *text, size_t size,
                   const struct json_limits *limits, const cJSON **ret, struct error *error)
{
    cJSON *tree;
    if (!parse(arena, text, size, limits, &tree, error)) {
        return false;
    }
    *ret = tree;
    return true;
}
