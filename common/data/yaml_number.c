/* Numbers as Go writes them. kubectl reads every number of a manifest into an int64 or else a
 * float64 and sends that on, so what goes to the server here must be the same text.
 * Sources: Go's strconv.FormatFloat and encoding/json's floatEncoder. */
#include "common/data/yaml_internal.h"

#include "common/base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest digits d[.ddd] and the exponent that read back as the same number. */
struct shortest {
    bool negative;
    char digits[20];
    int count;
    int exponent; /* of the first digit */
};

static bool reads_back(const char *text, double value, bool single)
{
    return single ? (double)strtof(text, NULL) == value : strtod(text, NULL) == value;
}

/* The next larger decimal of as many digits. Needed for powers of two, whose neighbour below is
 * half as far as the one above: the nearest short decimal may lie beyond it. */
static void increment(char *text)
{
    char *end = strchr(text, 'e');
    for (char *at = end - 1; at >= text; at--) {
        if (*at == '.' || *at == '-') {
            continue;
        }
        if (*at != '9') {
            ++*at;
            return;
        }
        *at = '0';
    }
}

static void find_shortest(double value, bool single, struct shortest *ret)
{
    char text[40];
    int fraction;
    bool is_power = fabs(frexp(value, &fraction)) == 0.5;
    int maximum = single ? 8 : 16;
    for (int precision = 0; precision <= maximum; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (reads_back(text, value, single)) {
            break;
        }
        if (is_power && precision < maximum) {
            increment(text);
            if (reads_back(text, value, single)) {
                break;
            }
        }
    }
    *ret = (struct shortest){.negative = text[0] == '-'};
    for (const char *at = text; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9') {
            ret->digits[ret->count++] = *at;
        }
    }
    while (ret->count > 1 && ret->digits[ret->count - 1] == '0') {
        ret->count--;
    }
    ret->exponent = atoi(strchr(text, 'e') + 1);
}

static void write_fixed(const struct shortest *shortest, char *out)
{
    if (shortest->negative) {
        *out++ = '-';
    }
    if (shortest->exponent < 0) {
        *out++ = '0';
    }
    for (int i = 0; i <= shortest->exponent; i++) {
        *out++ = i < shortest->count ? shortest->digits[i] : '0';
    }
    if (shortest->count > shortest->exponent + 1) {
        *out++ = '.';
        for (int i = -1; i > shortest->exponent; i--) {
            *out++ = '0';
        }
        for (int i = shortest->exponent < 0 ? 0 : shortest->exponent + 1; i < shortest->count;
             i++) {
            *out++ = shortest->digits[i];
        }
    }
    *out = '\0';
}

static void write_exponent(const struct shortest *shortest, int exponent_digits,
                           char out[YAML_FLOAT_SIZE])
{
    snprintf(out, YAML_FLOAT_SIZE, "%s%c%s%.*se%c%0*d", shortest->negative ? "-" : "",
             shortest->digits[0], shortest->count > 1 ? "." : "", shortest->count - 1,
             shortest->digits + 1, shortest->exponent < 0 ? '-' : '+', exponent_digits,
             abs(shortest->exponent));
}

void yaml_float_format(double value, char ret_text[YAML_FLOAT_SIZE])
{
    struct shortest shortest;
    find_shortest(value, false, &shortest);
    double size = fabs(value);
    if (size > 0 && (size < 1e-6 || size >= 1e21)) {
        /* e-09 becomes e-9, e+21 stays. */
        write_exponent(&shortest, shortest.exponent < 0 ? 1 : 2, ret_text);
    } else {
        write_fixed(&shortest, ret_text);
    }
}

void yaml_float_key_format(double value, char ret_text[YAML_FLOAT_SIZE])
{
    double rounded = (double)(float)value;
    if (!isfinite(rounded)) {
        snprintf(ret_text, YAML_FLOAT_SIZE, "%s",
                 isnan(rounded) ? ".nan"
                 : rounded < 0  ? "-.inf"
                                : ".inf");
        return;
    }
    struct shortest shortest;
    find_shortest(rounded, true, &shortest);
    /* Go's 'g' with the shortest precision decides as for %.6g. */
    if (shortest.exponent < -4 || shortest.exponent >= 6) {
        write_exponent(&shortest, 2, ret_text);
    } else {
        write_fixed(&shortest, ret_text);
    }
}

cJSON *yaml_number_node(const char *json_number)
{
    int64_t value;
    if (text_parse_int(json_number, &value)) {
        return json_new_int(value);
    }
    char text[YAML_FLOAT_SIZE];
    yaml_float_format(strtod(json_number, NULL), text);
    return json_new_number(text);
}
