/* Shared by the yaml*.c files only. */
#ifndef GITMOOR_DATA_YAML_INTERNAL_H
#define GITMOOR_DATA_YAML_INTERNAL_H

#include "common/data/yaml.h"

/* What a scalar of YAML means to kubectl. */
enum yaml_kind {
    YAML_KIND_STRING,
    YAML_KIND_NULL,
    YAML_KIND_BOOL,
    YAML_KIND_INT,      /* of 64 bits, signed */
    YAML_KIND_UNSIGNED, /* beyond that, within 64 bits unsigned */
    YAML_KIND_FLOAT,
};

struct yaml_scalar {
    enum yaml_kind kind;
    bool boolean;
    int64_t integer;
    uint64_t unsigned_;
    double number;
};

/* Types a plain scalar as go-yaml v2 does. */
void yaml_scalar_resolve(const char *text, struct yaml_scalar *ret);
/* Types a scalar that carries a tag (the long form, "tag:yaml.org,2002:int"). False if the text is
 * not what the tag says, with what it is instead. A tag that YAML does not define makes a string.
 */
bool yaml_scalar_resolve_tagged(const char *tag, const char *text, struct yaml_scalar *ret,
                                const char **ret_instead);
bool yaml_tag_is(const char *tag, const char *short_name); /* "!!" and this */

/* Decodes !!binary. Bytes that are not UTF-8 become U+FFFD. NULL if it is not base64 or holds a
 * zero byte. The caller frees. */
char *yaml_binary_decode(const char *text);

/* The budgets of one stream, and where it comes from, for messages. */
struct yaml_stream {
    const char *name;
    struct yaml_limits limits;
    size_t nodes; /* used so far */
    bool (*document)(cJSON *tree, unsigned line, void *context, struct error *error);
    void *context;
};

/* Reads all documents of the text with libyaml. */
bool yaml_stream_parse(struct yaml_stream *stream, const char *text, size_t size,
                       struct error *error);

#define YAML_FLOAT_SIZE 352 /* "-", 309 digits or a point and the digits behind it, and the NUL */
/* As Go's encoding/json writes a float64, which must be finite. */
void yaml_float_format(double value, char ret_text[YAML_FLOAT_SIZE]);
/* As Go's strconv.FormatFloat(value, 'g', -1, 32) writes it: keys are written so. */
void yaml_float_key_format(double value, char ret_text[YAML_FLOAT_SIZE]);
/* A JSON number as kubectl passes it on: an int64 as it is, all else by way of a float64. */
cJSON *yaml_number_node(const char *json_number);

#endif
