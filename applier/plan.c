#include "applier/plan.h"

#include "common/base/arena.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/json.h"
#include "common/data/object.h"

#include <string.h>

#define PATH_SEGMENTS_MAXIMUM 8

/* The plan and the memory that it points into, besides the text. */
struct plan_whole {
    struct plan plan; /* first: a plan is freed as the whole */
    struct arena arena;
    size_t capacity;
};

struct cursor {
    const char *next;
    size_t left;
    unsigned line; /* of what was taken last; from 1 */
};

static bool take_line(struct cursor *cursor, const char **ret, size_t *ret_size)
{
    if (cursor->left == 0) {
        return false;
    }
    const char *end = memchr(cursor->next, '\n', cursor->left);
    size_t size = end ? (size_t)(end - cursor->next) : cursor->left;
    size_t step = end ? size + 1 : size;
    *ret = cursor->next;
    *ret_size = size;
    cursor->next += step;
    cursor->left -= step;
    cursor->line++;
    return true;
}

/* ---- Lines that are read: the head and the operations ---- */

static bool parse_line(const struct cursor *cursor, const char *line, size_t size,
                       const char *const *members, cJSON **ret, struct error *error)
{
    static const struct json_limits limits = {.bytes = PLAN_LINE_MAXIMUM, .depth = 2, .nodes = 64};
    AUTO_JSON cJSON *tree = NULL;
    if (!json_parse(line, size, &limits, &tree, error)) {
        return error_prefix(error, "plan, line %u", cursor->line);
    }
    if (!cJSON_IsObject(tree)) {
        return error_set(error, ERROR_INVALID, "plan, line %u: not an object", cursor->line);
    }
    for (const cJSON *member = json_first(tree); member; member = member->next) {
        const char *const *known = members;
        while (*known && !text_equal(*known, member->string)) {
            known++;
        }
        if (!*known) {
            return error_set(error, ERROR_INVALID, "plan, line %u: unknown member \"%.64s\"",
                             cursor->line, member->string);
        }
    }
    *ret = tree;
    tree = NULL;
    return true;
}

/* A string member that must be there and not be empty. */
static bool get_string(const struct cursor *cursor, const cJSON *tree, const char *name,
                       size_t maximum, struct arena *arena, const char **ret, struct error *error)
{
    const char *text = json_string(tree, name);
    if (text_is_empty(text) || strlen(text) > maximum) {
        return error_set(error, ERROR_INVALID,
                         "plan, line %u: \"%s\" must be a string of 1 to %zu bytes", cursor->line,
                         name, maximum);
    }
    *ret = arena_string(arena, text);
    return true;
}

/* A whole number from 0 to PLAN_STAGE_MAXIMUM; -1 if it is absent and may be. */
static bool get_stage(const struct cursor *cursor, const cJSON *tree, const char *name,
                      bool optional, int *ret, struct error *error)
{
    const cJSON *node = json_get(tree, name);
    int64_t value = -1;
    if (!node && optional) {
        *ret = -1;
        return true;
    }
    if (!node || !json_is_number(node) || !json_to_int(node, &value) || value < 0 ||
        value > PLAN_STAGE_MAXIMUM) {
        return error_set(error, ERROR_INVALID,
                         "plan, line %u: \"%s\" must be a whole number from 0 to %d", cursor->line,
                         name, PLAN_STAGE_MAXIMUM);
    }
    *ret = (int)value;
    return true;
}

static bool parse_choices(const struct cursor *cursor, const cJSON *head, struct plan *plan,
                          struct error *error)
{
    const char *mode = json_string(head, "mode");
    const cJSON *preflight = json_get(head, "preflight");
    const cJSON *priority = json_get(head, "priority");
    plan->dry_run = text_equal(mode, "dryRun");
    if (!plan->dry_run && !text_equal(mode, "apply")) {
        return error_set(error, ERROR_INVALID,
                         "plan, line %u: \"mode\" must be \"apply\" or \"dryRun\"", cursor->line);
    }
    if (preflight && !cJSON_IsBool(preflight)) {
        return error_set(error, ERROR_INVALID, "plan, line %u: \"preflight\" must be a boolean",
                         cursor->line);
    }
    plan->preflight = json_bool(head, "preflight", true);
    plan->heal = text_equal(json_string(head, "priority"), "heal");
    if (priority && !plan->heal) {
        return error_set(error, ERROR_INVALID, "plan, line %u: \"priority\" can only be \"heal\"",
                         cursor->line);
    }
    return true;
}

static bool is_id(const char *id)
{
    return id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] ==
           '\0';
}

static bool parse_head(struct cursor *cursor, struct plan_whole *whole, struct error *error)
{
    static const char *const members[] = {"id",   "namespace", "name",     "uid", "revision",
                                          "mode", "preflight", "priority", NULL};
    struct plan *plan = &whole->plan;
    const char *line;
    size_t size;
    if (!take_line(cursor, &line, &size)) {
        return error_set(error, ERROR_INVALID, "plan: empty");
    }
    AUTO_JSON cJSON *head = NULL;
    struct arena *arena = &whole->arena;
    if (!parse_line(cursor, line, size, members, &head, error) ||
        !get_string(cursor, head, "id", PLAN_ID_MAXIMUM, arena, &plan->id, error) ||
        !get_string(cursor, head, "namespace", 253, arena, &plan->namespace_, error) ||
        !get_string(cursor, head, "name", 253, arena, &plan->name, error) ||
        !get_string(cursor, head, "uid", 253, arena, &plan->uid, error) ||
        !get_string(cursor, head, "revision", 4096, arena, &plan->revision, error) ||
        !parse_choices(cursor, head, plan, error)) {
        return false;
    }
    return is_id(plan->id) || error_set(error, ERROR_INVALID,
                                        "plan, line %u: \"id\" may hold letters, digits, and ._- "
                                        "only",
                                        cursor->line);
}

/* The object of an apply is the next line, which is sent as it stands and not looked into. */
static bool take_body(struct cursor *cursor, struct plan_operation *operation, struct error *error)
{
    if (!take_line(cursor, &operation->body, &operation->body_size) || operation->body_size == 0 ||
        operation->body[0] != '{') {
        return error_set(error, ERROR_INVALID, "plan, line %u: an object must follow",
                         cursor->line);
    }
    return true;
}

/* managedFields are looked into: they become part of a patch, which must not be able to say more.
 */
static bool take_owners(struct cursor *cursor, struct plan_operation *operation,
                        struct error *error)
{
    AUTO_JSON cJSON *entries = NULL;
    if (!take_line(cursor, &operation->body, &operation->body_size)) {
        return error_set(error, ERROR_INVALID, "plan, line %u: managedFields must follow",
                         cursor->line);
    }
    if (!json_parse(operation->body, operation->body_size, NULL, &entries, error)) {
        return error_prefix(error, "plan, line %u: managedFields", cursor->line);
    }
    bool are_entries = cJSON_IsArray(entries) && json_first(entries);
    for (const cJSON *entry = json_first(entries); entry; entry = entry->next) {
        are_entries = are_entries && json_string(entry, "manager") && json_get(entry, "fieldsV1");
    }
    return are_entries || error_set(error, ERROR_INVALID,
                                    "plan, line %u: managedFields must be a list of entries with "
                                    "manager and fieldsV1, and not be empty",
                                    cursor->line);
}

static bool get_verb(const struct cursor *cursor, const cJSON *tree, enum plan_verb *ret,
                     struct error *error)
{
    static const char *const words[] = {
        [PLAN_APPLY] = "apply",   [PLAN_DELETE] = "delete",       [PLAN_RECREATE] = "recreate",
        [PLAN_OWNERS] = "owners", [PLAN_FINALIZER] = "finalizer", [PLAN_RELEASE] = "release"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (text_equal(json_string(tree, "op"), words[i])) {
            *ret = (enum plan_verb)i;
            return true;
        }
    }
    return error_set(error, ERROR_INVALID,
                     "plan, line %u: \"op\" must be \"apply\", \"delete\", \"recreate\", "
                     "\"owners\", \"finalizer\" or \"release\"",
                     cursor->line);
}

/* Whether it is for one object, and no later one of its name. */
static bool has_uid_of_its_own(enum plan_verb verb)
{
    return verb == PLAN_DELETE || verb == PLAN_RECREATE || verb == PLAN_RELEASE;
}

/* A deletion names the object's UID, and so does a release; a change of its owners its version;
 * others have neither. */
static bool take_precondition(const struct cursor *cursor, const cJSON *tree,
                              struct plan_whole *whole, struct plan_operation *operation,
                              struct error *error)
{
    bool has_uid = json_get(tree, "uid"), has_version = json_get(tree, "resourceVersion");
    operation->foreground = json_bool(tree, "foreground", false);
    if (json_get(tree, "foreground") && operation->verb != PLAN_DELETE) {
        return error_set(error, ERROR_INVALID, "plan, line %u: only a deletion has \"foreground\"",
                         cursor->line);
    }
    if (has_uid && !has_uid_of_its_own(operation->verb)) {
        return error_set(error, ERROR_INVALID,
                         "plan, line %u: only a deletion and a release have a \"uid\"",
                         cursor->line);
    }
    if (has_version && operation->verb != PLAN_OWNERS) {
        return error_set(error, ERROR_INVALID,
                         "plan, line %u: only a change of owners has a \"resourceVersion\"",
                         cursor->line);
    }
    switch (operation->verb) {
    case PLAN_DELETE:
    case PLAN_RECREATE:
    case PLAN_RELEASE:
        return get_string(cursor, tree, "uid", 253, &whole->arena, &operation->uid, error);
    case PLAN_OWNERS:
        return get_string(cursor, tree, "resourceVersion", 253, &whole->arena,
                          &operation->resource_version, error);
    case PLAN_APPLY:
    case PLAN_FINALIZER:
        break;
    }
    return true;
}

/* It names no object: it is always the plan's own Application, in its UID, and only our finalizer
 * can be written. */
static bool take_finalizer(const struct cursor *cursor, const cJSON *tree, struct plan_whole *whole,
                           struct plan_operation *operation, struct error *error)
{
    struct plan *plan = &whole->plan;
    const char *action = json_string(tree, "action");
    operation->adds = text_equal(action, "add");
    if (!operation->adds && !text_equal(action, "remove")) {
        return error_set(error, ERROR_INVALID,
                         "plan, line %u: \"action\" must be \"add\" or \"remove\"", cursor->line);
    }
    if (json_get(tree, "path") || json_get(tree, "uid") || json_get(tree, "resourceVersion")) {
        return error_set(error, ERROR_INVALID, "plan, line %u: a finalizer names no object",
                         cursor->line);
    }
    operation->uid = plan->uid;
    operation->path =
        arena_format(&whole->arena, "/apis/" GITMOOR_API_VERSION "/namespaces/%s/applications/%s",
                     plan->namespace_, plan->name);
    return plan_path_is_valid(operation->path) ||
           error_set(error, ERROR_INVALID, "plan, line %u: \"%.200s\" is not an object's path",
                     cursor->line, operation->path);
}

static bool parse_operation(struct cursor *cursor, const char *line, size_t size,
                            struct plan_whole *whole, struct plan_operation *operation,
                            struct error *error)
{
    static const char *const members[] = {
        "op", "stage", "after", "path", "uid", "resourceVersion", "foreground", "action", NULL};
    AUTO_JSON cJSON *tree = NULL;
    if (!parse_line(cursor, line, size, members, &tree, error) ||
        !get_verb(cursor, tree, &operation->verb, error)) {
        return false;
    }
    if (!get_stage(cursor, tree, "stage", false, &operation->stage, error) ||
        !get_stage(cursor, tree, "after", true, &operation->after, error)) {
        return false;
    }
    if (operation->verb == PLAN_FINALIZER) {
        return take_finalizer(cursor, tree, whole, operation, error);
    }
    if (json_get(tree, "action")) {
        return error_set(error, ERROR_INVALID, "plan, line %u: only a finalizer has an \"action\"",
                         cursor->line);
    }
    if (!get_string(cursor, tree, "path", PLAN_PATH_MAXIMUM, &whole->arena, &operation->path,
                    error)) {
        return false;
    }
    if (operation->after >= operation->stage) {
        return error_set(error, ERROR_INVALID,
                         "plan, line %u: \"after\" must name an earlier stage than %d",
                         cursor->line, operation->stage);
    }
    if (!plan_path_is_valid(operation->path)) {
        return error_set(error, ERROR_INVALID, "plan, line %u: \"%.200s\" is not an object's path",
                         cursor->line, operation->path);
    }
    return take_precondition(cursor, tree, whole, operation, error) &&
           (operation->verb == PLAN_DELETE || operation->verb == PLAN_RELEASE ||
            (operation->verb == PLAN_OWNERS ? take_owners(cursor, operation, error)
                                            : take_body(cursor, operation, error)));
}

static struct plan_operation *add_operation(struct plan_whole *whole)
{
    struct plan *plan = &whole->plan;
    if (plan->count == whole->capacity) {
        whole->capacity = whole->capacity ? whole->capacity * 2 : 16;
        plan->operations = mem_resize(plan->operations, whole->capacity, sizeof *plan->operations);
    }
    struct plan_operation *operation = &plan->operations[plan->count++];
    *operation = (struct plan_operation){.after = -1};
    return operation;
}

static bool parse_operations(struct cursor *cursor, struct plan_whole *whole, struct error *error)
{
    const char *line;
    size_t size;
    int stage = 0;
    while (take_line(cursor, &line, &size)) {
        if (whole->plan.count == PLAN_OPERATIONS_MAXIMUM) {
            return error_set(error, ERROR_LIMIT, "plan: more than %zu operations",
                             PLAN_OPERATIONS_MAXIMUM);
        }
        struct plan_operation *operation = add_operation(whole);
        if (!parse_operation(cursor, line, size, whole, operation, error)) {
            return false;
        }
        if (operation->stage < stage) {
            return error_set(error, ERROR_INVALID, "plan, line %u: stage %d comes after stage %d",
                             cursor->line, operation->stage, stage);
        }
        stage = operation->stage;
    }
    return true;
}

bool plan_parse(const char *text, size_t size, struct plan **ret, struct error *error)
{
    if (size > PLAN_TEXT_MAXIMUM) {
        return error_set(error, ERROR_LIMIT, "plan: larger than %zu bytes", PLAN_TEXT_MAXIMUM);
    }
    struct cursor cursor = {.next = text, .left = size};
    struct plan_whole *whole = NEW(struct plan_whole);
    arena_init(&whole->arena);
    if (!parse_head(&cursor, whole, error) || !parse_operations(&cursor, whole, error)) {
        plan_free(&whole->plan);
        return false;
    }
    *ret = &whole->plan;
    return true;
}

void plan_free(struct plan *plan)
{
    if (plan) {
        struct plan_whole *whole = (struct plan_whole *)plan;
        arena_release(&whole->arena);
        free(plan->operations);
        free(whole);
    }
}

/* ---- Paths ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One segment of a path, decoded: unreserved characters and percent-encoded ones, but nothing that
 * the server would take for a separator or a way up once it has decoded it. `ret` has room for
 * size + 1 bytes. */
static bool decode_segment(const char *text, size_t size, char *ret)
{
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '%') {
            if (i + 2 >= size || hex_value(text[i + 1]) < 0 || hex_value(text[i + 2]) < 0) {
                return false;
            }
            c = (unsigned char)(hex_value(text[i + 1]) << 4 | hex_value(text[i + 2]));
            i += 2;
            if (c <= ' ' || c == 0x7F || c == '/' || c == '\\' || c == '%') {
                return false;
            }
        } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~')) {
            return false;
        }
        ret[length++] = (char)c;
    }
    ret[length] = '\0';
    return length > 0 && strcmp(ret, ".") != 0 && strcmp(ret, "..") != 0;
}

/* The segments of a path; which words they may be is not looked at. */
struct segments {
    const char *raw[PATH_SEGMENTS_MAXIMUM];
    size_t sizes[PATH_SEGMENTS_MAXIMUM];
    const char *decoded[PATH_SEGMENTS_MAXIMUM];
    unsigned count;
    char buffer[PLAN_PATH_MAXIMUM + PATH_SEGMENTS_MAXIMUM];
};

static bool split_path(const char *path, struct segments *ret)
{
    ret->count = 0;
    char *buffer = ret->buffer;
    if (*path != '/' || strlen(path) >= PLAN_PATH_MAXIMUM) {
        return false;
    }
    while (*path) {
        const char *text = path + 1;
        size_t size = strcspn(text, "/");
        if (ret->count == PATH_SEGMENTS_MAXIMUM || !decode_segment(text, size, buffer)) {
            return false;
        }
        ret->raw[ret->count] = text;
        ret->sizes[ret->count] = size;
        ret->decoded[ret->count++] = buffer;
        buffer += strlen(buffer) + 1;
        path = text + size;
    }
    return true;
}

/* Words of the path's own stand in it as they are, or they are not them. */
static bool is_word(const struct segments *segments, unsigned index, const char *word)
{
    return segments->sizes[index] == strlen(word) &&
           memcmp(segments->raw[index], word, strlen(word)) == 0;
}

/* How many segments stand before the resource ("api" and a version, or "apis", a group and a
 * version), and whether a namespace follows. False: it is not the path of one object. */
static bool judge_path(const struct segments *segments, unsigned *ret_prefix, bool *ret_namespaced)
{
    unsigned prefix = is_word(segments, 0, "api") ? 2 : is_word(segments, 0, "apis") ? 3 : 0;
    bool namespaced = segments->count == prefix + 4 && is_word(segments, prefix, "namespaces");
    *ret_prefix = prefix;
    *ret_namespaced = namespaced;
    return prefix > 0 && (segments->count == prefix + 2 || namespaced);
}

bool plan_path_is_valid(const char *path)
{
    struct segments segments;
    unsigned prefix;
    bool namespaced;
    return split_path(path, &segments) && judge_path(&segments, &prefix, &namespaced);
}

bool plan_path_read(const char *path, struct arena *arena, struct plan_object *ret)
{
    struct segments segments;
    unsigned prefix;
    bool namespaced;
    if (!split_path(path, &segments) || !judge_path(&segments, &prefix, &namespaced)) {
        return false;
    }
    unsigned resource = namespaced ? prefix + 2 : prefix;
    *ret = (struct plan_object){
        .group = arena_string(arena, prefix == 3 ? segments.decoded[1] : ""),
        .resource = arena_string(arena, segments.decoded[resource]),
        .namespace_ = arena_string(arena, namespaced ? segments.decoded[prefix + 1] : ""),
        .name = arena_string(arena, segments.decoded[resource + 1]),
    };
    return true;
}
