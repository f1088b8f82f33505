/* Documents from libyaml's events. The nesting lives in frames of our own, not on the stack, and
 * every limit is checked as the events come: libyaml itself has none, and takes quadratic time for
 * deep nesting.
 *
 * What an anchor names is kept as a copy of its own, so that nothing that happens to the tree
 * afterwards (a merge moves members, a merged key is overridden) can reach it. Copies are charged
 * to the node budget, at the anchor and at each alias. */
#include "common/data/yaml_internal.h"

#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

/* On a member's type while its mapping is read: it came by "<<", and may be overridden. */
#define MERGED (1 << 16)

/* Text of so many bytes costs as much memory as a node. */
#define NODE_BYTES 64

struct anchor {
    cJSON *tree; /* NULL while the node is still being read */
    struct anchor *next;
};

struct frame {
    cJSON *node; /* the object or array under construction */
    struct anchor *anchor;
    struct map members; /* of an object: key to member */
    char *key;          /* of an object: read, its value is not yet */
    bool merging;       /* the key is "<<" */
};

struct builder {
    struct yaml_stream *stream;
    struct error *error;
    struct frame *frames;
    size_t depth, capacity;
    struct map anchors; /* by name, of this document */
    struct anchor *allocated;
    cJSON *root;
    unsigned root_line; /* 0: no content yet */
    bool root_is_empty; /* nothing but comments */
    unsigned line;      /* of the event at hand */
};

static bool refuse(struct builder *builder, enum error_code code, const char *why, const char *what)
{
    return error_set(builder->error, code, "%s:%u: %s%s", builder->stream->name, builder->line, why,
                     what);
}

/* ---- Budgets ---- */

static bool charge(struct builder *builder, size_t nodes)
{
    if (nodes > builder->stream->limits.nodes - builder->stream->nodes) {
        return refuse(builder, ERROR_LIMIT, "too many values (aliases count as often as used)", "");
    }
    builder->stream->nodes += nodes;
    return true;
}

/* What a copy of the tree costs, in nodes: long texts count by their bytes, or one of 4 MB aliased
 * a few thousand times would fill the memory within the limits. */
static size_t count_nodes(const cJSON *tree)
{
    size_t count = 1 + (tree->valuestring ? strlen(tree->valuestring) / NODE_BYTES : 0) +
                   (tree->string ? strlen(tree->string) / NODE_BYTES : 0);
    for (const cJSON *child = json_first(tree); child; child = child->next) {
        count += count_nodes(child);
    }
    return count;
}

/* ---- Anchors ---- */

static struct anchor *add_anchor(struct builder *builder, const yaml_char_t *name)
{
    if (!name) {
        return NULL;
    }
    struct anchor *anchor = NEW(struct anchor);
    anchor->next = builder->allocated;
    builder->allocated = anchor;
    map_set(&builder->anchors, (const char *)name, anchor);
    return anchor;
}

static void release_anchors(struct builder *builder)
{
    while (builder->allocated) {
        struct anchor *next = builder->allocated->next;
        json_free(builder->allocated->tree);
        free(builder->allocated);
        builder->allocated = next;
    }
    map_release(&builder->anchors, NULL);
}

/* The name now stands for a copy of the node, which is complete. */
static bool fill_anchor(struct builder *builder, struct anchor *anchor, const cJSON *node)
{
    if (!anchor) {
        return true;
    }
    if (!charge(builder, count_nodes(node))) {
        return false;
    }
    anchor->tree = json_copy(node);
    return true;
}

/* ---- Members ---- */

static struct frame *innermost(struct builder *builder)
{
    return builder->depth > 0 ? &builder->frames[builder->depth - 1] : NULL;
}

/* Whether what comes next is a key. */
static bool at_key(const struct frame *frame)
{
    return frame && cJSON_IsObject(frame->node) && !frame->key && !frame->merging;
}

static void put_member(struct frame *frame, const char *key, cJSON *value)
{
    cJSON *old = map_get(&frame->members, key);
    if (old) {
        char *name = mem_string(key);
        cJSON_ReplaceItemViaPointer(frame->node, old, value);
        free(value->string);
        value->string = name;
    } else {
        json_add(frame->node, key, value);
    }
    map_set(&frame->members, key, value);
}

static bool accept_key(struct builder *builder, const char *key)
{
    struct frame *frame = innermost(builder);
    const cJSON *old = map_get(&frame->members, key);
    if (old && !(old->type & MERGED)) {
        return error_set(builder->error, ERROR_INVALID, "%s:%u: duplicate key \"%s\"",
                         builder->stream->name, builder->line, key);
    }
    frame->key = mem_string(key);
    return true;
}

/* As go-yaml does it, a merge overrides what stands before it, and is overridden by what follows.
 */
static void merge_object(struct frame *frame, cJSON *from)
{
    for (cJSON *member = from->child; member; member = from->child) {
        AUTO_FREE char *key = mem_string(member->string);
        const cJSON *old = map_get(&frame->members, key);
        bool was_explicit = old && !(old->type & MERGED);
        cJSON_DetachItemViaPointer(from, member);
        put_member(frame, key, member);
        if (!was_explicit) {
            member->type |= MERGED;
        }
    }
}

/* Takes the value. */
static bool merge(struct builder *builder, struct frame *frame, cJSON *value)
{
    AUTO_JSON cJSON *owned = value;
    frame->merging = false;
    if (cJSON_IsObject(value)) {
        merge_object(frame, value);
        return true;
    }
    bool fits = cJSON_IsArray(value);
    for (const cJSON *item = json_first(value); fits && item; item = item->next) {
        fits = cJSON_IsObject(item);
    }
    if (!fits) {
        return refuse(builder, ERROR_INVALID, "\"<<\" needs a mapping or a list of mappings", "");
    }
    /* From the last to the first, since the earlier ones take precedence. */
    for (size_t i = json_size(value); i > 0; i--) {
        cJSON *last = value->child->prev;
        merge_object(frame, last);
        json_free(cJSON_DetachItemViaPointer(value, last));
    }
    return true;
}

/* Puts a complete node where it belongs; takes it. */
static bool deliver(struct builder *builder, cJSON *node)
{
    struct frame *frame = innermost(builder);
    if (!frame) {
        builder->root = node;
    } else if (cJSON_IsArray(frame->node)) {
        json_append(frame->node, node);
    } else if (frame->merging) {
        return merge(builder, frame, node);
    } else {
        put_member(frame, frame->key, node);
        free(frame->key);
        frame->key = NULL;
    }
    return true;
}

/* ---- Scalars ---- */

/* The scalar's type, and its text if that is not the event's own (freed by the caller). */
static bool resolve_scalar(struct builder *builder, const yaml_event_t *event,
                           struct yaml_scalar *ret, char **ret_decoded)
{
    const char *text = (const char *)event->data.scalar.value;
    const char *tag = (const char *)event->data.scalar.tag;
    const char *instead;
    *ret = (struct yaml_scalar){.kind = YAML_KIND_STRING};
    if (strlen(text) != event->data.scalar.length) {
        return refuse(builder, ERROR_INVALID, "a string may not hold a zero byte", "");
    }
    if (!tag) {
        if (event->data.scalar.plain_implicit) {
            yaml_scalar_resolve(text, ret);
        }
        return true;
    }
    if (yaml_tag_is(tag, "binary")) {
        *ret_decoded = yaml_binary_decode(text);
        return *ret_decoded ||
               refuse(builder, ERROR_INVALID, "!!binary is not base64, or holds a zero byte", "");
    }
    if (!yaml_scalar_resolve_tagged(tag, text, ret, &instead)) {
        return error_set(builder->error, ERROR_INVALID,
                         "%s:%u: \"%s\" is %s, not what its tag says", builder->stream->name,
                         builder->line, text, instead);
    }
    return true;
}

static cJSON *unsigned_node(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return yaml_number_node(text);
}

/* NULL for what JSON cannot say. */
static cJSON *make_node(const struct yaml_scalar *scalar, const char *text)
{
    char number[YAML_FLOAT_SIZE];
    switch (scalar->kind) {
    case YAML_KIND_NULL:
        return json_new_null();
    case YAML_KIND_BOOL:
        return json_new_bool(scalar->boolean);
    case YAML_KIND_INT:
        return json_new_int(scalar->integer);
    case YAML_KIND_UNSIGNED:
        return unsigned_node(scalar->unsigned_);
    case YAML_KIND_FLOAT:
        if (!isfinite(scalar->number)) {
            return NULL;
        }
        yaml_float_format(scalar->number, number);
        return yaml_number_node(number);
    default:
        return json_new_string(text);
    }
}

cJSON *yaml_plain_node(const char *text)
{
    struct yaml_scalar scalar;
    yaml_scalar_resolve(text, &scalar);
    return make_node(&scalar, text);
}

static bool scalar_key(struct builder *builder, const struct yaml_scalar *scalar, const char *text)
{
    char number[YAML_FLOAT_SIZE];
    switch (scalar->kind) {
    case YAML_KIND_NULL:
        return refuse(builder, ERROR_INVALID, "null cannot be a key; put it in quotes", "");
    case YAML_KIND_UNSIGNED:
        return refuse(builder, ERROR_INVALID, text, " is too large for a key; put it in quotes");
    case YAML_KIND_BOOL:
        return accept_key(builder, scalar->boolean ? "true" : "false");
    case YAML_KIND_INT:
        snprintf(number, sizeof number, "%" PRId64, scalar->integer);
        return accept_key(builder, number);
    case YAML_KIND_FLOAT:
        yaml_float_key_format(scalar->number, number);
        return accept_key(builder, number);
    default:
        return accept_key(builder, text);
    }
}

static bool is_merge_key(const yaml_event_t *event)
{
    const char *tag = (const char *)event->data.scalar.tag;
    return strcmp((const char *)event->data.scalar.value, "<<") == 0 &&
           (tag ? yaml_tag_is(tag, "merge") : event->data.scalar.plain_implicit);
}

static bool on_scalar(struct builder *builder, const yaml_event_t *event)
{
    struct anchor *anchor = add_anchor(builder, event->data.scalar.anchor);
    struct frame *frame = innermost(builder);
    if (at_key(frame) && is_merge_key(event)) {
        frame->merging = true;
        return charge(builder, 1);
    }
    struct yaml_scalar scalar;
    AUTO_FREE char *decoded = NULL;
    if (!charge(builder, 1) || !resolve_scalar(builder, event, &scalar, &decoded)) {
        return false;
    }
    const char *text = decoded ? decoded : (const char *)event->data.scalar.value;
    if (at_key(frame) && !anchor) {
        return scalar_key(builder, &scalar, text);
    }
    cJSON *node = make_node(&scalar, text);
    if (!node) {
        return refuse(builder, ERROR_INVALID, text, " cannot be written in JSON; put it in quotes");
    }
    /* yaml_line and yaml_is_plain: cJSON uses these for numbers only. */
    node->valueint = (int)builder->line;
    node->valuedouble = event->data.scalar.plain_implicit && !event->data.scalar.tag ? 1 : 0;
    if (!fill_anchor(builder, anchor, node)) {
        json_free(node);
        return false;
    }
    if (at_key(frame)) {
        json_free(node);
        return scalar_key(builder, &scalar, text);
    }
    if (!frame) {
        builder->root_is_empty =
            !anchor && !event->data.scalar.tag && scalar.kind == YAML_KIND_NULL;
    }
    return deliver(builder, node);
}

/* ---- Aliases ---- */

/* An alias to a scalar may stand as a key. */
static bool alias_key(struct builder *builder, const cJSON *tree)
{
    if (cJSON_IsString(tree)) {
        return accept_key(builder, tree->valuestring);
    }
    if (cJSON_IsBool(tree)) {
        return accept_key(builder, cJSON_IsTrue(tree) ? "true" : "false");
    }
    if (!json_is_number(tree)) {
        return refuse(builder, ERROR_INVALID,
                      "a key must be a string, a number or a boolean, not what the alias names",
                      "");
    }
    int64_t value;
    if (text_parse_int(tree->valuestring, &value)) {
        return accept_key(builder, tree->valuestring);
    }
    char number[YAML_FLOAT_SIZE];
    yaml_float_key_format(strtod(tree->valuestring, NULL), number);
    return accept_key(builder, number);
}

static bool on_alias(struct builder *builder, const yaml_event_t *event)
{
    const char *name = (const char *)event->data.alias.anchor;
    const struct anchor *anchor = map_get(&builder->anchors, name);
    struct frame *frame = innermost(builder);
    if (!anchor) {
        return refuse(builder, ERROR_INVALID, "no anchor stands before the alias *", name);
    }
    if (!anchor->tree) {
        return refuse(builder, ERROR_INVALID, "the value contains itself by the alias *", name);
    }
    if (at_key(frame)) {
        return charge(builder, 1) && alias_key(builder, anchor->tree);
    }
    if (frame && frame->merging && !cJSON_IsObject(anchor->tree)) {
        return refuse(builder, ERROR_INVALID, "\"<<\" needs a mapping, which this is not: *", name);
    }
    return charge(builder, count_nodes(anchor->tree)) && deliver(builder, json_copy(anchor->tree));
}

/* ---- Containers ---- */

static bool open_container(struct builder *builder, cJSON *node, const yaml_char_t *anchor)
{
    AUTO_JSON cJSON *owned = node;
    node->valueint = (int)builder->line;
    if (at_key(innermost(builder))) {
        return refuse(builder, ERROR_INVALID, "a mapping or list cannot be a key", "");
    }
    if (builder->depth >= builder->stream->limits.depth) {
        return refuse(builder, ERROR_LIMIT, "nested too deeply", "");
    }
    if (!charge(builder, 1)) {
        return false;
    }
    if (builder->depth == builder->capacity) {
        builder->capacity = builder->capacity ? builder->capacity * 2 : 16;
        builder->frames = mem_resize(builder->frames, builder->capacity, sizeof *builder->frames);
    }
    struct frame *frame = &builder->frames[builder->depth++];
    *frame = (struct frame){.node = node, .anchor = add_anchor(builder, anchor)};
    map_init(&frame->members);
    owned = NULL;
    return true;
}

static void release_frame(struct frame *frame)
{
    map_release(&frame->members, NULL);
    free(frame->key);
    json_free(frame->node);
}

static bool close_container(struct builder *builder)
{
    struct frame *frame = innermost(builder);
    cJSON *node = frame->node;
    struct anchor *anchor = frame->anchor;
    for (cJSON *child = node->child; child; child = child->next) {
        child->type &= ~MERGED;
    }
    frame->node = NULL;
    release_frame(frame);
    builder->depth--;
    if (!fill_anchor(builder, anchor, node)) {
        json_free(node);
        return false;
    }
    return deliver(builder, node);
}

/* ---- Events ---- */

static void clear_document(struct builder *builder)
{
    while (builder->depth > 0) {
        release_frame(&builder->frames[--builder->depth]);
    }
    release_anchors(builder);
    json_free(builder->root);
    builder->root = NULL;
    builder->root_line = 0;
    builder->root_is_empty = false;
}

static bool end_document(struct builder *builder)
{
    cJSON *tree = builder->root;
    unsigned line = builder->root_line;
    if (builder->root_is_empty) {
        clear_document(builder);
        return true;
    }
    builder->root = NULL;
    clear_document(builder);
    return builder->stream->document(tree, line, builder->stream->context, builder->error);
}

static bool on_event(struct builder *builder, const yaml_event_t *event)
{
    builder->line = (unsigned)event->start_mark.line + 1;
    if (builder->root_line == 0) {
        builder->root_line = builder->line;
    }
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        clear_document(builder);
        return true;
    case YAML_DOCUMENT_END_EVENT:
        return end_document(builder);
    case YAML_SCALAR_EVENT:
        return on_scalar(builder, event);
    case YAML_ALIAS_EVENT:
        return on_alias(builder, event);
    case YAML_MAPPING_START_EVENT:
        return open_container(builder, json_new_object(), event->data.mapping_start.anchor);
    case YAML_SEQUENCE_START_EVENT:
        return open_container(builder, json_new_array(), event->data.sequence_start.anchor);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_container(builder);
    default:
        return true; /* the stream's own start and end */
    }
}

static bool refuse_syntax(const struct builder *builder, const yaml_parser_t *parser)
{
    bool has_place = parser->error == YAML_SCANNER_ERROR || parser->error == YAML_PARSER_ERROR;
    unsigned line = has_place ? (unsigned)parser->problem_mark.line + 1 : builder->line;
    const char *problem = parser->problem ? parser->problem : "not YAML";
    if (has_place && parser->context) {
        return error_set(builder->error, ERROR_INVALID, "%s:%u: %s (%s that begins in line %zu)",
                         builder->stream->name, line, problem, parser->context,
                         parser->context_mark.line + 1);
    }
    return error_set(builder->error, ERROR_INVALID, "%s:%u: %s", builder->stream->name, line,
                     problem);
}

static bool parse_events(struct builder *builder, yaml_parser_t *parser)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            return refuse_syntax(builder, parser);
        }
        yaml_event_type_t type = event.type;
        bool ok = on_event(builder, &event);
        yaml_event_delete(&event);
        if (!ok || type == YAML_STREAM_END_EVENT) {
            return ok;
        }
    }
}

bool yaml_stream_parse(struct yaml_stream *stream, const char *text, size_t size,
                       struct error *error)
{
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return error_set(error, ERROR_SYSTEM, "%s: no memory for the YAML parser", stream->name);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    struct builder builder = {.stream = stream, .error = error, .line = 1};
    map_init(&builder.anchors);
    bool ok = parse_events(&builder, &parser);
    clear_document(&builder);
    free(builder.frames);
    yaml_parser_delete(&parser);
    return ok;
}
