/* JSON: one strict reader over cJSON, one canonical writer, and null-safe access.
 *
 * Trees are cJSON nodes. In every tree that comes from here a number is a node of type cJSON_Raw
 * that holds the number's own text, since a double damages 9007199254740993 (PITFALLS §1). Use
 * json_is_number, json_to_int and json_add_int; never cJSON's number functions.
 * Trees are owned by the caller and freed with json_free (or AUTO_JSON). */
#ifndef GITMOOR_DATA_JSON_H
#define GITMOOR_DATA_JSON_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/error.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_limits {
    size_t bytes;   /* of the text */
    unsigned depth; /* of nesting: an empty top-level object has depth 1 */
    size_t nodes;   /* values of all kinds */
};

/* 16 MiB, depth 100, 2,000,000 nodes: etcd stores 1.5 MiB an object; lists are paged. */
extern const struct json_limits json_default_limits;

/* Parses one JSON value that fills the whole text (white space around it is allowed). Refuses:
 * trailing garbage, duplicate keys, invalid UTF-8, "\u0000", lone surrogates, NaN and kin, and
 * what exceeds the limits (NULL: json_default_limits). Errors carry line and column. */
bool json_parse(const char *text, size_t size, const struct json_limits *limits, cJSON **ret,
                struct error *error);

/* The same for what the API server holds: zero bytes in strings (as U+FFFD and "0", U+FFFD itself
 * then twice) and what is nested more deeply than the limits allow (as null) do not keep the rest
 * from being read. `*ret_lost` says what could not be kept; NULL: the tree is as the text. */
bool json_parse_forgiving(const char *text, size_t size, const struct json_limits *limits,
                          cJSON **ret, const char **ret_lost, struct error *error);

/* The same as json_parse, with the tree in the arena: to be read only, and gone with it. A third of
 * the time of parsing and freeing is malloc's otherwise. */
bool json_parse_in(struct arena *arena, const char *text, size_t size,
                   const struct json_limits *limits, const cJSON **ret, struct error *error);

/* Appends the canonical form: keys sorted by byte order, no white space, numbers as they stand,
 * strings escaped only where JSON requires it. Returns false if the buffer overflowed. */
bool json_write(const cJSON *node, struct buf *out);

/* As json_write, but indented by two blanks and keys in their own order, for people. */
bool json_write_pretty(const cJSON *node, struct buf *out);

void json_free(cJSON *node);
void json_cleanup(cJSON **node);
/* Also for a tree that a function only takes in order to free it: hence unused. */
#define AUTO_JSON __attribute__((cleanup(json_cleanup), unused))

/* A deep copy. */
cJSON *json_copy(const cJSON *node);

/* Equal as JSON values: object keys in any order; numbers by text, or else by value (1 and 1.0). */
bool json_equal(const cJSON *left, const cJSON *right);

/* ---- Reading. `object` may be NULL or of another type: then the answer is "absent". ---- */
cJSON *json_get(const cJSON *object, const char *name);             /* case-sensitive */
cJSON *json_get_path(const cJSON *object, const char *dotted_path); /* "metadata.name" */
const char *json_string(const cJSON *object, const char *name);     /* NULL unless a string */
const char *json_string_path(const cJSON *object, const char *dotted_path);
bool json_bool(const cJSON *object, const char *name, bool otherwise);
int64_t json_int(const cJSON *object, const char *name, int64_t otherwise);
cJSON *json_object(const cJSON *object, const char *name); /* NULL unless an object */
cJSON *json_array(const cJSON *object, const char *name);  /* NULL unless an array */
size_t json_size(const cJSON *container);                  /* O(n) */

bool json_is_number(const cJSON *node);
bool json_to_int(const cJSON *number, int64_t *ret); /* false: not a whole number, or too large */
const char *json_number_text(const cJSON *number);   /* NULL unless a number */

/* for (cJSON *item = json_first(array); item; item = item->next). NULL for a non-container. */
cJSON *json_first(const cJSON *container);

/* ---- Building. Each add returns the new node, owned by the container; or NULL, the value freed,
 * if there is no container of that kind or no value. ---- */
cJSON *json_new_object(void);
cJSON *json_new_array(void);
cJSON *json_new_string(const char *text);
cJSON *json_new_int(int64_t value);
cJSON *json_new_number(const char *text); /* NULL unless the text is a JSON number */
cJSON *json_new_bool(bool value);
cJSON *json_new_null(void);

cJSON *json_add(cJSON *object, const char *name, cJSON *value);            /* takes value */
cJSON *json_add_string(cJSON *object, const char *name, const char *text); /* NULL: nothing */
cJSON *json_add_int(cJSON *object, const char *name, int64_t value);
cJSON *json_add_bool(cJSON *object, const char *name, bool value);
cJSON *json_add_object(cJSON *object, const char *name);
cJSON *json_add_array(cJSON *object, const char *name);
cJSON *json_append(cJSON *array, cJSON *value); /* takes value */
/* Replaces or adds; takes value. */
void json_set(cJSON *object, const char *name, cJSON *value);
void json_remove(cJSON *object, const char *name);
/* The member, made an object if it is absent. */
cJSON *json_ensure_object(cJSON *object, const char *name);

#endif
