#include "fetcher/semver.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <string.h>

#define COMPARISONS_MAXIMUM 64
#define DIGITS_MAXIMUM 18 /* fit into 64 bits */

/* One comparison as an interval; the bounds that are not there are not looked at. */
struct comparison {
    struct semver low, high;
    bool has_low, above_low; /* "above": the bound itself is not in it */
    bool has_high, below_high;
    bool outside;   /* "!=": what is not in the interval */
    bool named_pre; /* it names a pre-release */
    unsigned group;
};

struct semver_range {
    char *text; /* what the versions point into */
    struct comparison comparisons[COMPARISONS_MAXIMUM];
    size_t count;
    unsigned groups;
};

/* ---- Versions ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
}

static bool take_number(const char **at, uint64_t *ret)
{
    size_t digits = 0;
    uint64_t value = 0;
    for (; is_digit((*at)[digits]); digits++) {
        value = digits < DIGITS_MAXIMUM ? value * 10 + (uint64_t)((*at)[digits] - '0') : value;
    }
    bool leading_zero = digits > 1 && **at == '0';
    *at += digits;
    *ret = value;
    return digits > 0 && digits <= DIGITS_MAXIMUM && !leading_zero;
}

/* Identifiers with dots between them; numeric ones of a pre-release have no leading zero. */
static bool take_identifiers(const char **at, bool is_pre)
{
    do {
        size_t size = 0, digits = 0;
        for (; is_word((*at)[size]); size++) {
            digits += is_digit((*at)[size]);
        }
        if (size == 0 || (is_pre && size > 1 && digits == size && **at == '0')) {
            return false;
        }
        *at += size;
    } while (**at == '.' && (*at)++);
    return true;
}

/* "-rc.1+build", either or both or neither. */
static bool take_suffix(const char **at, struct semver *ret)
{
    if (**at == '-') {
        ret->pre = ++*at;
        if (!take_identifiers(at, true)) {
            return false;
        }
        ret->pre_size = (size_t)(*at - ret->pre);
    }
    return **at != '+' || ((*at)++, take_identifiers(at, false));
}

bool semver_parse(const char *text, struct semver *ret)
{
    *ret = (struct semver){0};
    if (!text || strlen(text) > SEMVER_TEXT_MAXIMUM) {
        return false;
    }
    const char *at = text + (*text == 'v');
    for (size_t i = 0; i < 3; i++) {
        if ((i > 0 && *at++ != '.') || !take_number(&at, &ret->numbers[i])) {
            return false;
        }
    }
    return take_suffix(&at, ret) && *at == '\0';
}

static int compare_size(size_t left, size_t right)
{
    return left < right ? -1 : left > right;
}

/* Numbers by value and before words, words by byte. */
static int compare_identifier(const char *left, size_t left_size, const char *right,
                              size_t right_size)
{
    bool left_number = strspn(left, "0123456789") >= left_size;
    bool right_number = strspn(right, "0123456789") >= right_size;
    if (left_number != right_number) {
        return left_number ? -1 : 1;
    }
    if (left_number && left_size != right_size) {
        return compare_size(left_size, right_size);
    }
    int order = memcmp(left, right, left_size < right_size ? left_size : right_size);
    return order != 0 ? order : compare_size(left_size, right_size);
}

static size_t identifier_size(const char *text, size_t left)
{
    const char *dot = memchr(text, '.', left);
    return dot ? (size_t)(dot - text) : left;
}

static int compare_pre(const struct semver *left, const struct semver *right)
{
    if (left->pre_size == 0 || right->pre_size == 0) {
        return compare_size(left->pre_size == 0, right->pre_size == 0); /* a release is higher */
    }
    const char *a = left->pre, *b = right->pre;
    size_t a_left = left->pre_size, b_left = right->pre_size;
    while (true) {
        size_t a_size = identifier_size(a, a_left), b_size = identifier_size(b, b_left);
        int order = compare_identifier(a, a_size, b, b_size);
        if (order != 0 || a_size == a_left || b_size == b_left) {
            return order != 0 ? order : compare_size(a_left - a_size, b_left - b_size);
        }
        a += a_size + 1;
        b += b_size + 1;
        a_left -= a_size + 1;
        b_left -= b_size + 1;
    }
}

int semver_compare(const struct semver *left, const struct semver *right)
{
    for (size_t i = 0; i < 3; i++) {
        if (left->numbers[i] != right->numbers[i]) {
            return left->numbers[i] < right->numbers[i] ? -1 : 1;
        }
    }
    return compare_pre(left, right);
}

/* ---- Ranges: how they are read ---- */

enum operation { EQUAL, NOT_EQUAL, ABOVE, FROM, BELOW, UP_TO, TILDE, CARET };

/* A version of which the last parts may be left out. */
struct partial {
    struct semver version; /* with 0 for what is left out */
    unsigned parts;        /* 0: "*" */
};

static enum operation take_operation(const char **at)
{
    static const struct {
        const char *text;
        enum operation operation;
    } rows[] = {{"!=", NOT_EQUAL}, {">=", FROM},  {"=>", FROM}, {"<=", UP_TO},
                {"=<", UP_TO},     {"~>", TILDE}, {"=", EQUAL}, {">", ABOVE},
                {"<", BELOW},      {"~", TILDE},  {"^", CARET}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (text_has_prefix(*at, rows[i].text)) {
            *at += strlen(rows[i].text);
            return rows[i].operation;
        }
    }
    return EQUAL;
}

static void skip(const char **at, const char *characters)
{
    *at += strspn(*at, characters);
}

static bool is_any(char c)
{
    return c == 'x' || c == 'X' || c == '*';
}

static bool take_partial(const char **at, struct partial *ret)
{
    *ret = (struct partial){0};
    *at += **at == 'v';
    bool any = false;
    for (unsigned i = 0; i < 3; i++) {
        if (i > 0 && **at != '.') {
            break;
        }
        *at += i > 0;
        if (is_any(**at)) {
            any = true;
            (*at)++;
        } else if (any || !take_number(at, &ret->version.numbers[i])) {
            return false; /* "x.1": nothing that anyone could mean */
        } else {
            ret->parts = i + 1;
        }
    }
    return take_suffix(at, &ret->version) && (**at == '\0' || strchr(" \t,", **at));
}

/* The lowest version with the first `parts` numbers of `from`, the last of them one higher: "0" is
 * the lowest of all pre-releases. */
static struct semver next_after(const struct semver *from, unsigned parts)
{
    struct semver next = {.pre = "0", .pre_size = 1};
    memcpy(next.numbers, from->numbers, parts * sizeof next.numbers[0]);
    next.numbers[parts - 1]++;
    return next;
}

static void set_low(struct comparison *comparison, struct semver low, bool above)
{
    comparison->low = low;
    comparison->has_low = true;
    comparison->above_low = above;
}

static void set_high(struct comparison *comparison, struct semver high, bool below)
{
    comparison->high = high;
    comparison->has_high = true;
    comparison->below_high = below;
}

/* How many of the numbers must stay as they are. */
static unsigned kept_parts(enum operation operation, const struct partial *partial)
{
    unsigned parts = partial->parts;
    if (operation == TILDE) {
        return parts > 2 ? 2 : parts;
    }
    if (operation == CARET) { /* up to the first that is not 0 */
        unsigned first = 0;
        while (first + 1 < parts && partial->version.numbers[first] == 0) {
            first++;
        }
        return first + 1;
    }
    return parts;
}

static void set_interval(struct comparison *comparison, enum operation operation,
                         const struct partial *partial)
{
    const struct semver *version = &partial->version;
    bool whole = partial->parts == 3;
    switch (operation) {
    case ABOVE:
        set_low(comparison, whole ? *version : next_after(version, partial->parts), whole);
        break;
    case FROM:
        set_low(comparison, *version, false);
        break;
    case BELOW:
        set_high(comparison, *version, true);
        break;
    case UP_TO:
        set_high(comparison, whole ? *version : next_after(version, partial->parts), !whole);
        break;
    case EQUAL:
    case NOT_EQUAL:
    case TILDE:
    case CARET:
        set_low(comparison, *version, false);
        if (whole && (operation == EQUAL || operation == NOT_EQUAL)) {
            set_high(comparison, *version, false);
        } else {
            set_high(comparison, next_after(version, kept_parts(operation, partial)), true);
        }
        comparison->outside = operation == NOT_EQUAL;
        break;
    }
}

static bool add_comparison(struct semver_range *range, enum operation operation,
                           const struct partial *partial)
{
    if (range->count == COMPARISONS_MAXIMUM) {
        return false;
    }
    struct comparison *comparison = &range->comparisons[range->count++];
    comparison->group = range->groups;
    comparison->named_pre = partial->version.pre_size > 0;
    if (partial->parts > 0) {
        set_interval(comparison, operation, partial);
        return true;
    }
    /* "*": nothing is above, below or beside all versions. */
    set_low(comparison, partial->version, false);
    return operation != ABOVE && operation != BELOW && operation != NOT_EQUAL;
}

/* One comparison, or "1.2 - 1.4". */
static bool take_comparison(struct semver_range *range, const char **at)
{
    struct partial partial;
    const char *start = *at;
    enum operation operation = take_operation(at);
    bool bare = *at == start;
    skip(at, " \t");
    if (!take_partial(at, &partial)) {
        return false;
    }
    const char *after = *at;
    skip(at, " \t");
    if (!bare || **at != '-' || !strchr(" \t", (*at)[1])) {
        *at = after;
        return add_comparison(range, operation, &partial);
    }
    struct partial last;
    (*at)++;
    skip(at, " \t");
    return take_partial(at, &last) && add_comparison(range, FROM, &partial) &&
           add_comparison(range, UP_TO, &last);
}

/* Those that stand side by side. */
static bool take_group(struct semver_range *range, char *text)
{
    const char *at = text;
    skip(&at, " \t");
    do {
        if (!take_comparison(range, &at)) {
            return false;
        }
        skip(&at, " \t");
        if (*at == ',') {
            at++;
            skip(&at, " \t");
            if (*at == '\0') {
                return false; /* nothing after the comma */
            }
        }
    } while (*at);
    range->groups++;
    return true;
}

static bool take_range(struct semver_range *range)
{
    char *text = range->text;
    if (strspn(text, " \t") == strlen(text)) {
        struct partial all = {0};
        return add_comparison(range, FROM, &all) && ++range->groups;
    }
    for (char *next; text; text = next) {
        next = strstr(text, "||");
        if (next) {
            *next = '\0';
            next += 2;
        }
        if (!take_group(range, text)) {
            return false;
        }
    }
    return true;
}

struct semver_range *semver_range_new(const char *text, struct error *error)
{
    struct semver_range *range = NEW(struct semver_range);
    range->text = mem_string(text_or_empty(text));
    if (strlen(range->text) <= SEMVER_RANGE_MAXIMUM && take_range(range)) {
        return range;
    }
    semver_range_free(range);
    error_set(error, ERROR_INVALID,
              "\"%.80s\" is no version and no range of versions such as 1.4.2, ^1.4, ~1.4.0, "
              "\">=1.2 <2\" or \"1.x || 3.x\"",
              text_or_empty(text));
    return NULL;
}

void semver_range_free(struct semver_range *range)
{
    if (range) {
        free(range->text);
        free(range);
    }
}

/* ---- Ranges: what is in them ---- */

static bool comparison_holds(const struct comparison *comparison, const struct semver *version)
{
    int to_low = comparison->has_low ? semver_compare(version, &comparison->low) : 1;
    int to_high = comparison->has_high ? semver_compare(version, &comparison->high) : -1;
    bool inside = (comparison->above_low ? to_low > 0 : to_low >= 0) &&
                  (comparison->below_high ? to_high < 0 : to_high <= 0);
    return inside != comparison->outside;
}

static bool group_holds(const struct semver_range *range, unsigned group,
                        const struct semver *version)
{
    bool pre = version->pre_size == 0, all = true;
    for (size_t i = 0; i < range->count; i++) {
        const struct comparison *comparison = &range->comparisons[i];
        if (comparison->group == group) {
            pre = pre || comparison->named_pre;
            all = all && comparison_holds(comparison, version);
        }
    }
    return pre && all;
}

bool semver_range_holds(const struct semver_range *range, const struct semver *version)
{
    for (unsigned group = 0; group < range->groups; group++) {
        if (group_holds(range, group, version)) {
            return true;
        }
    }
    return false;
}

bool semver_range_anchor(const struct semver_range *range, struct semver *ret)
{
    static const struct semver zero;
    for (size_t i = 0; i < range->count; i++) {
        const struct comparison *comparison = &range->comparisons[i];
        const struct semver *bound = comparison->has_low ? &comparison->low : &comparison->high;
        if (semver_compare(bound, &zero) != 0) {
            *ret = *bound;
            return true;
        }
    }
    return false;
}
