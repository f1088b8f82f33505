/* The two writers: canonical, for digests and for the wire, and indented, for people. */
#include "common/data/json_internal.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <math.h>
#include <string.h>

/* Members of an object that are sorted without the heap. */
#define ROOM 32

struct style {
    bool sorted;
    bool indented;
};

static int compare_members(const void *left, const void *right)
{
    return strcmp(text_or_empty((*(cJSON *const *)left)->string),
                  text_or_empty((*(cJSON *const *)right)->string));
}

cJSON **json_sorted_members(const cJSON *object, cJSON **room, size_t room_size, size_t *ret_count)
{
    size_t count = cJSON_IsObject(object) ? json_size(object) : 0, i = 0;
    cJSON **members = count <= room_size ? room : mem_new(count, sizeof(cJSON *));
    bool sorted = true;
    for (cJSON *member = count > 0 ? object->child : NULL; member; member = member->next) {
        members[i] = member;
        sorted = sorted && (i == 0 || compare_members(&members[i - 1], &members[i]) <= 0);
        i++;
    }
    if (!sorted) {
        qsort(members, count, sizeof *members, compare_members);
    }
    *ret_count = count;
    return members;
}

static void write_escape(unsigned char character, struct buf *out)
{
    static const char names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *name = character ? strchr(names, character) : NULL;
    if (name) {
        buf_append_char(out, '\\');
        buf_append_char(out, letters[name - names]);
    } else {
        buf_append_format(out, "\\u%04x", character);
    }
}

/* Invalid UTF-8 (of a tree that was built, never of one that was parsed) becomes U+FFFD, as Go
 * writes it. */
static void write_string(const char *text, struct buf *out)
{
    buf_append_char(out, '"');
    const char *end = text + strlen(text), *run = text, *at = text;
    while (at < end) {
        unsigned char character = (unsigned char)*at;
        size_t size = character < 0x80 ? 1 : json_utf8_size(at, end);
        bool plain = size > 0 && character >= 0x20 && character != '"' && character != '\\';
        if (plain) {
            at += size;
            continue;
        }
        buf_append(out, run, (size_t)(at - run));
        if (size == 0) {
            buf_append_string(out, "\xEF\xBF\xBD");
        } else {
            write_escape(character, out);
        }
        run = ++at;
    }
    buf_append(out, run, (size_t)(end - run));
    buf_append_char(out, '"');
}

static void write_line(struct style style, unsigned depth, struct buf *out)
{
    if (style.indented) {
        buf_append_char(out, '\n');
        for (unsigned i = 0; i < depth; i++) {
            buf_append(out, "  ", 2);
        }
    }
}

static void write_node(const cJSON *node, struct style style, unsigned depth, struct buf *out);

static void write_array(const cJSON *array, struct style style, unsigned depth, struct buf *out)
{
    buf_append_char(out, '[');
    for (const cJSON *item = array->child; item && !out->overflowed; item = item->next) {
        write_line(style, depth + 1, out);
        write_node(item, style, depth + 1, out);
        if (item->next) {
            buf_append_char(out, ',');
        }
    }
    if (array->child) {
        write_line(style, depth, out);
    }
    buf_append_char(out, ']');
}

static void write_member(const cJSON *member, struct style style, unsigned depth, struct buf *out)
{
    write_line(style, depth, out);
    write_string(text_or_empty(member->string), out);
    buf_append_string(out, style.indented ? ": " : ":");
    write_node(member, style, depth, out);
}

static void write_object(const cJSON *object, struct style style, unsigned depth, struct buf *out)
{
    buf_append_char(out, '{');
    if (style.sorted) {
        cJSON *room[ROOM];
        size_t count;
        cJSON **members = json_sorted_members(object, room, ROOM, &count);
        for (size_t i = 0; i < count && !out->overflowed; i++) {
            if (i > 0) {
                buf_append_char(out, ',');
            }
            write_member(members[i], style, depth + 1, out);
        }
        if (members != room) {
            free(members);
        }
    } else {
        for (const cJSON *member = object->child; member && !out->overflowed;
             member = member->next) {
            write_member(member, style, depth + 1, out);
            if (member->next) {
                buf_append_char(out, ',');
            }
        }
    }
    if (object->child) {
        write_line(style, depth, out);
    }
    buf_append_char(out, '}');
}

/* Numbers of cJSON's own type do not occur in trees of ours; one that does is still written. */
static void write_double(double value, struct buf *out)
{
    if (!isfinite(value)) {
        buf_append_string(out, "null");
    } else if (value == trunc(value) && fabs(value) < 1e15) {
        buf_append_format(out, "%.0f", value);
    } else {
        buf_append_format(out, "%.17g", value);
    }
}

static void write_node(const cJSON *node, struct style style, unsigned depth, struct buf *out)
{
    switch (node->type & 0xFF) {
    case cJSON_False:
        buf_append_string(out, "false");
        return;
    case cJSON_True:
        buf_append_string(out, "true");
        return;
    case cJSON_String:
        write_string(text_or_empty(node->valuestring), out);
        return;
    case cJSON_Raw:
        buf_append_string(out, text_or_empty(node->valuestring));
        return;
    case cJSON_Number:
        write_double(node->valuedouble, out);
        return;
    case cJSON_Array:
        write_array(node, style, depth, out);
        return;
    case cJSON_Object:
        write_object(node, style, depth, out);
        return;
    default:
        buf_append_string(out, "null");
    }
}

static bool write_tree(const cJSON *node, struct style style, struct buf *out)
{
    if (node) {
        write_node(node, style, 0, out);
    } else {
        buf_append_string(out, "null");
    }
    return !out->overflowed;
}

bool json_write(const cJSON *node, struct buf *out)
{
    return write_tree(node, (struct style){.sorted = true}, out);
}

bool json_write_pretty(const cJSON *node, struct buf *out)
{
    return write_tree(node, (struct style){.indented = true}, out);
}
