#include "common/data/packed.h"

#include "common/base/memory.h"

#include <string.h>

#define TEXT_MAXIMUM ((size_t)4 << 20) /* of what is larger the tree stays */

struct packed {
    cJSON *tree; /* or, while it rests, NULL */
    char *text;  /* canonical; NULL if none was made of this tree */
};

struct packed *packed_new(cJSON *tree)
{
    struct packed *packed = NEW(struct packed);
    packed->tree = tree;
    return packed;
}

void packed_free(struct packed *packed)
{
    if (packed) {
        json_free(packed->tree);
        free(packed->text);
        free(packed);
    }
}

bool packed_is_at_rest(const struct packed *packed)
{
    return !packed->tree;
}

cJSON *packed_copy(const struct packed *packed)
{
    cJSON *copy = NULL;
    if (packed->tree) {
        return json_copy(packed->tree);
    }
    json_parse(packed->text, strlen(packed->text), NULL, &copy, NULL); /* we wrote it */
    return copy;
}

const cJSON *packed_tree(struct packed *packed)
{
    if (!packed->tree) {
        packed->tree = packed_copy(packed);
    }
    return packed->tree;
}

void packed_set(struct packed *packed, cJSON *tree)
{
    json_free(packed->tree);
    free(packed->text);
    packed->tree = tree;
    packed->text = NULL;
}

void packed_rest(struct packed *packed)
{
    if (packed->tree && !packed->text) {
        AUTO_BUF struct buf text;
        buf_init(&text, TEXT_MAXIMUM);
        packed->text = json_write(packed->tree, &text) ? mem_string_n(text.data, text.size) : NULL;
    }
    if (packed->text) {
        json_free(packed->tree);
        packed->tree = NULL;
    }
}
