#include "differ/render/pattern.h"

#include <stdint.h>
#include <string.h>

enum part_kind { PART_CHARACTER, PART_ANY, PART_MANY, PART_SET };

struct part {
    enum part_kind kind;
    const char *at; /* the character; what stands between the brackets, without the mark of "not" */
    size_t size;
    bool negated;
};

struct pattern {
    struct part parts[PATTERN_MAXIMUM];
    size_t count;
};

/* ---- Characters ---- */

/* Bytes of the character there; 1 where it is none. */
static size_t size_of(const char *at)
{
    size_t size = 1;
    while (((unsigned char)at[size] & 0xC0) == 0x80 && size < 4) {
        size++;
    }
    return size;
}

static size_t size_before(const char *at, const char *start)
{
    size_t size = 1;
    while (((unsigned char)*(at - size) & 0xC0) == 0x80 && size < 4 && at - size > start) {
        size++;
    }
    return size;
}

/* UTF-8 is in the order of its code points. */
static int compare(const char *left, size_t left_size, const char *right, size_t right_size)
{
    size_t least = left_size < right_size ? left_size : right_size;
    int order = memcmp(left, right, least);
    return order ? order : (left_size > right_size) - (left_size < right_size);
}

/* ---- Reading ---- */

/* The bracket that ends the set which begins at `at`; a first one is a member. NULL: none. */
static const char *end_of_set(const char *at)
{
    at += *at == '!' || *at == '^';
    at += *at == ']';
    while (*at && *at != ']') {
        at += *at == '\\' && at[1] ? 2 : 1;
    }
    return *at ? at : NULL;
}

static const char *read_set(const char *at, const char *end, struct part *part)
{
    part->kind = PART_SET;
    part->negated = *at == '!' || *at == '^';
    part->at = at + part->negated;
    part->size = (size_t)(end - part->at);
    return end + 1;
}

static const char *read_part(const char *at, struct part *part)
{
    const char *end = *at == '[' ? end_of_set(at + 1) : NULL;
    if (end) {
        return read_set(at + 1, end, part);
    }
    if (*at == '*' || *at == '?') {
        part->kind = *at == '*' ? PART_MANY : PART_ANY;
        return at + 1;
    }
    at += *at == '\\' && at[1];
    part->kind = PART_CHARACTER;
    part->at = at;
    part->size = size_of(at);
    return at + part->size;
}

static bool read(const char *text, struct pattern *pattern)
{
    while (*text) {
        if (pattern->count == PATTERN_MAXIMUM) {
            return false;
        }
        text = read_part(text, &pattern->parts[pattern->count++]);
    }
    return true;
}

/* ---- Matching ---- */

/* The next member of a set, without its backslash. */
static const char *read_member(const char **at, const char *end, size_t *ret_size)
{
    *at += **at == '\\' && *at + 1 < end;
    const char *member = *at;
    *ret_size = size_of(member);
    *at += *ret_size;
    return member;
}

static bool set_has(const struct part *set, const char *character, size_t size)
{
    bool found = false;
    const char *end = set->at + set->size;
    for (const char *at = set->at; at < end && !found;) {
        size_t low_size, high_size;
        const char *low = read_member(&at, end, &low_size);
        const char *high = low;
        high_size = low_size;
        if (end - at >= 2 && *at == '-') {
            at++;
            high = read_member(&at, end, &high_size);
        }
        found = compare(low, low_size, character, size) <= 0 &&
                compare(character, size, high, high_size) <= 0;
    }
    return found != set->negated;
}

static bool part_takes(const struct part *part, const char *character, size_t size)
{
    switch (part->kind) {
    case PART_CHARACTER:
        return compare(part->at, part->size, character, size) == 0;
    case PART_SET:
        return set_has(part, character, size);
    default:
        return true;
    }
}

/* Places between the parts, of which those are true that may have been reached. From the end, the
 * parts are gone through backwards. */
struct places {
    const struct pattern *pattern;
    bool backwards;
    bool reached[PATTERN_MAXIMUM + 1];
};

static const struct part *part_behind(const struct places *places, size_t place)
{
    const struct pattern *pattern = places->pattern;
    return &pattern->parts[places->backwards ? pattern->count - 1 - place : place];
}

/* A `*` may be nothing. */
static void skip_many(struct places *places)
{
    for (size_t i = 0; i < places->pattern->count; i++) {
        if (places->reached[i] && part_behind(places, i)->kind == PART_MANY) {
            places->reached[i + 1] = true;
        }
    }
}

/* False if no place is left. */
static bool step(struct places *places, const char *character, size_t size)
{
    bool any = false;
    for (size_t i = places->pattern->count + 1; i-- > 0;) {
        const struct part *own = i < places->pattern->count ? part_behind(places, i) : NULL;
        bool stays = places->reached[i] && own && own->kind == PART_MANY;
        const struct part *before = i > 0 ? part_behind(places, i - 1) : NULL;
        bool comes = before && places->reached[i - 1] && before->kind != PART_MANY &&
                     part_takes(before, character, size);
        places->reached[i] = stays || comes;
        any |= places->reached[i];
    }
    skip_many(places);
    return any;
}

bool pattern_match(const char *pattern, const char *text, enum pattern_side side, bool longest,
                   size_t *ret_size, size_t *ret_work)
{
    struct pattern parts = {.count = 0};
    struct places places = {.pattern = &parts, .backwards = side == PATTERN_END};
    size_t length = strlen(text), taken = 0;
    if (!read(pattern, &parts)) {
        return false;
    }
    *ret_size = 0;
    *ret_work = 0;
    places.reached[0] = true;
    skip_many(&places);
    bool going = longest || !places.reached[parts.count]; /* nothing at all is the fewest */
    while (going && taken < length) {
        const char *at = places.backwards ? text + (length - taken) : text + taken;
        size_t size = places.backwards ? size_before(at, text) : size_of(at);
        going = step(&places, places.backwards ? at - size : at, size);
        taken += size;
        *ret_work += parts.count;
        if (places.reached[parts.count]) {
            *ret_size = taken;
            going = going && longest;
        }
    }
    return true;
}
