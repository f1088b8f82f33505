/* YAML for people: block style, lists at the level of their key as kubectl prints them, text of
 * several lines as it stands. A string stands bare only if nothing could take it for anything else:
 * not kubectl, and none of the other readers of YAML 1.1 and 1.2. */
#include "common/data/yaml_internal.h"

#include "common/base/text.h"
#include "common/data/json_internal.h"

#include <ctype.h>
#include <string.h>

/* YAML ends the search for the colon behind a simple key after 1024 characters. */
#define SIMPLE_KEY_MAXIMUM 1000

/* A character beyond ASCII that readers take as it stands. */
static bool is_printable_beyond_ascii(const char *at, size_t size)
{
    const unsigned char *c = (const unsigned char *)at;
    if (size == 2) {
        return c[0] != 0xC2 || c[1] >= 0xA0; /* C1 controls, NEL among them */
    }
    if (size == 3) {
        bool is_line_break = c[0] == 0xE2 && c[1] == 0x80 && (c[2] == 0xA8 || c[2] == 0xA9);
        bool is_bom = c[0] == 0xEF && c[1] == 0xBB && c[2] == 0xBF;
        bool is_noncharacter = c[0] == 0xEF && c[1] == 0xBF && c[2] >= 0xBE;
        return !is_line_break && !is_bom && !is_noncharacter;
    }
    return size == 4;
}

/* ---- Which strings may stand bare ---- */

static bool has_plain_characters(const char *text)
{
    const char *end = text + strlen(text);
    for (const char *at = text; at < end;) {
        unsigned char character = (unsigned char)*at;
        size_t size = json_utf8_size(at, end);
        if (size > 1 ? !is_printable_beyond_ascii(at, size)
                     : size == 0 || (!isalnum(character) && !strchr("_-./+@()%^$=~; ,:#", *at))) {
            return false;
        }
        if (*at == ':' && (at[1] == ' ' || at[1] == '\0')) {
            return false;
        }
        if (*at == '#' && (at == text || at[-1] == ' ')) {
            return false;
        }
        at += size;
    }
    return end[-1] != ' ';
}

/* Dates and numbers to base 60 are strings to kubectl, but not to every reader of YAML 1.1. */
static bool looks_typed_to_others(const char *text)
{
    const char *digits = text + (*text == '+' || *text == '-');
    size_t count = strspn(digits, "0123456789_");
    return count > 0 && (digits[count] == ':' || (count == 4 && digits[count] == '-'));
}

static bool is_plain(const char *text)
{
    unsigned char first = (unsigned char)*text;
    if (!isalnum(first) && !strchr("_/.$(+", *text) && first < 0x80) {
        return false;
    }
    if (text_has_prefix(text, "...") || !has_plain_characters(text) ||
        looks_typed_to_others(text)) {
        return false;
    }
    struct yaml_scalar scalar;
    yaml_scalar_resolve(text, &scalar);
    return scalar.kind == YAML_KIND_STRING;
}

/* ---- Strings ---- */

static unsigned code_point(const char *at, size_t size)
{
    const unsigned char *c = (const unsigned char *)at;
    if (size == 2) {
        return (c[0] & 0x1Fu) << 6 | (c[1] & 0x3Fu);
    }
    return (c[0] & 0x0Fu) << 12 | (c[1] & 0x3Fu) << 6 | (c[2] & 0x3Fu);
}

static void write_quoted_ascii(unsigned char character, struct buf *out)
{
    static const char names[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const char *name = character ? strchr(names, character) : NULL;
    if (name) {
        buf_append_char(out, '\\');
        buf_append_char(out, letters[name - names]);
    } else if (character < 0x20 || character == 0x7F) {
        buf_append_format(out, "\\x%02X", character);
    } else {
        buf_append_char(out, (char)character);
    }
}

static void write_quoted(const char *text, struct buf *out)
{
    const char *end = text + strlen(text);
    buf_append_char(out, '"');
    for (const char *at = text; at < end;) {
        size_t size = json_utf8_size(at, end);
        if (size == 0) {
            buf_append_string(out, "\xEF\xBF\xBD");
            size = 1;
        } else if (size == 1) {
            write_quoted_ascii((unsigned char)*at, out);
        } else if (is_printable_beyond_ascii(at, size)) {
            buf_append(out, at, size);
        } else {
            buf_append_format(out, "\\u%04X", code_point(at, size));
        }
        at += size;
    }
    buf_append_char(out, '"');
}

/* Text of several lines that survives as a literal block: printable, no blanks at the beginning,
 * none alone on a line, and some text before the line breaks at its end. */
static bool is_literal(const char *text)
{
    const char *end = text + strlen(text);
    if (!strchr(text, '\n') || strchr(" \n\t", *text)) {
        return false;
    }
    for (const char *at = text; at < end;) {
        size_t size = json_utf8_size(at, end);
        unsigned char character = (unsigned char)*at;
        if (size > 1
                ? !is_printable_beyond_ascii(at, size)
                : size == 0 || character == 0x7F || (character < 0x20 && !strchr("\n\t", *at))) {
            return false;
        }
        bool at_line_start = at > text && at[-1] == '\n';
        if (at_line_start && (*at == ' ' || *at == '\t') && strchr("\n", at[strspn(at, " \t")])) {
            return false;
        }
        at += size;
    }
    return true;
}

static void write_indentation(size_t indentation, struct buf *out)
{
    for (size_t i = 0; i < indentation; i++) {
        buf_append_char(out, ' ');
    }
}

/* From "|" to the end of the last line but for its line break. */
static void write_literal(const char *text, size_t indentation, struct buf *out)
{
    size_t size = strlen(text);
    bool ends = text[size - 1] == '\n';
    bool keeps = ends && text[size - 2] == '\n';
    buf_append_string(out, keeps ? "|+" : ends ? "|" : "|-");
    size -= ends;
    for (const char *line = text, *end = text + size; line <= end;) {
        size_t length = strcspn(line, "\n");
        buf_append_char(out, '\n');
        if (length > 0) {
            write_indentation(indentation, out);
            buf_append(out, line, length);
        }
        line += length + 1;
    }
}

/* ---- Nodes: each ends its last line with a line break. ---- */

static void write_block(const cJSON *node, size_t indentation, bool indented, struct buf *out);

static void write_scalar(const cJSON *node, size_t indentation, struct buf *out)
{
    if (cJSON_IsString(node)) {
        const char *text = text_or_empty(node->valuestring);
        if (*text && is_plain(text)) {
            buf_append_string(out, text);
        } else if (indentation > 0 && is_literal(text)) {
            write_literal(text, indentation, out);
        } else {
            write_quoted(text, out);
        }
    } else if (cJSON_IsArray(node) || cJSON_IsObject(node)) {
        buf_append_string(out, cJSON_IsArray(node) ? "[]" : "{}");
    } else {
        json_write(node, out);
    }
    buf_append_char(out, '\n');
}

static bool is_block(const cJSON *node)
{
    return json_first(node) != NULL;
}

/* What stands behind "key:". */
static void write_value(const cJSON *value, size_t indentation, struct buf *out)
{
    if (is_block(value)) {
        buf_append_char(out, '\n');
        write_block(value, cJSON_IsArray(value) ? indentation : indentation + 2, true, out);
    } else {
        buf_append_char(out, ' ');
        write_scalar(value, indentation + 2, out);
    }
}

static void write_member(const cJSON *member, size_t indentation, struct buf *out)
{
    const char *key = text_or_empty(member->string);
    bool is_long = strlen(key) > SIMPLE_KEY_MAXIMUM;
    if (is_long) {
        buf_append_string(out, "? ");
    }
    if (*key && is_plain(key)) {
        buf_append_string(out, key);
    } else {
        write_quoted(key, out);
    }
    if (is_long) {
        buf_append_char(out, '\n');
        write_indentation(indentation, out);
    }
    buf_append_char(out, ':');
    write_value(member, indentation, out);
}

static void write_item(const cJSON *item, size_t indentation, struct buf *out)
{
    buf_append_string(out, "- ");
    if (is_block(item)) {
        write_block(item, indentation + 2, false, out);
    } else {
        write_scalar(item, indentation + 2, out);
    }
}

/* A container with content. `indented`: its first line is still to be indented. */
static void write_block(const cJSON *node, size_t indentation, bool indented, struct buf *out)
{
    for (const cJSON *child = node->child; child && !out->overflowed; child = child->next) {
        if (indented) {
            write_indentation(indentation, out);
        }
        indented = true;
        if (cJSON_IsArray(node)) {
            write_item(child, indentation, out);
        } else {
            write_member(child, indentation, out);
        }
    }
}

bool yaml_write(const cJSON *node, struct buf *out)
{
    if (is_block(node)) {
        write_block(node, 0, false, out);
    } else if (node) {
        write_scalar(node, 0, out);
    } else {
        buf_append_string(out, "null\n");
    }
    return !out->overflowed;
}
