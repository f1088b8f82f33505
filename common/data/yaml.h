/* YAML streams to JSON trees, by libyaml events with limits of our own, typed as kubectl types them
 * (sigs.k8s.io/yaml: YAML 1.1 booleans, octals, `_` in numbers; keys become strings).
 * `kubectl` is the oracle of the tests. */
#ifndef GITMOOR_DATA_YAML_H
#define GITMOOR_DATA_YAML_H

#include "common/base/error.h"
#include "common/data/json.h"

struct yaml_limits {
    size_t bytes;   /* of the stream */
    unsigned depth; /* of nesting */
    size_t nodes;   /* nodes of all documents, aliases counted each time they are expanded */
};

/* 16 MiB, depth 100, 1,000,000 nodes. */
extern const struct yaml_limits yaml_default_limits;

/* Calls `document` for each document in the stream, with its tree (which it takes) and the line it
 * starts on (1-based, of its first content). Documents that hold only comments, or null, are
 * skipped. JSON is YAML here, also several values one after the other, as for kubectl. Numbers come
 * out as kubectl sends them: int64, or else float64 as Go prints it. Refuses duplicate keys,
 * self-referencing aliases, invalid UTF-8 and what exceeds the limits (NULL: yaml_default_limits).
 * Errors read "<name>:<line>: <why>". Stops and returns false if `document` returns false, which
 * then has filled the error. */
bool yaml_parse(const char *text, size_t size, const char *name, const struct yaml_limits *limits,
                bool (*document)(cJSON *tree, unsigned line, void *context, struct error *error),
                void *context, struct error *error);

/* The line on which a value began, in a tree that yaml_parse made of YAML; 0 where that is not
 * known, as in a document that is JSON. */
unsigned yaml_line(const cJSON *node);

/* Whether a string of such a tree stood without quotes, and would be something else if its text
 * were another. */
bool yaml_is_plain(const cJSON *node);
/* What a text is as a scalar without quotes; NULL for a number that JSON cannot hold. */
cJSON *yaml_plain_node(const char *text);

/* Appends one node as a YAML document that kubectl reads back as the same JSON: keys in their own
 * order, strings quoted where they would otherwise be read as something else. */
bool yaml_write(const cJSON *node, struct buf *out);

#endif
