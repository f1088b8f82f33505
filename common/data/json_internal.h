/* Shared by the json_*.c files only. */
#ifndef GITMOOR_DATA_JSON_INTERNAL_H
#define GITMOOR_DATA_JSON_INTERNAL_H

#include "common/data/json.h"

/* cJSON parses, copies and frees by recursion and itself stops at this depth. */
#define JSON_DEPTH_MAXIMUM 1000
/* cJSON copies a number into 64 bytes and misreads a longer one. Go prints at most 25. */
#define JSON_NUMBER_MAXIMUM 63

struct json_span {
    size_t start, size;
};

/* The pre-scan: what cJSON's parser would let through is refused here, before it runs. */
struct json_scan {
    const char *text;
    const char *at; /* where it stands; after a failure, where the fault is */
    const char *end;
    struct json_limits limits;
    size_t nodes;
    struct json_span *numbers; /* of the text, in its order; freed by json_scan_release */
    size_t number_count, number_capacity;
    size_t stop_at_key; /* stop before the key with this ordinal (from 1); 0: never */
    size_t keys;
    unsigned depth;
    bool is_object[JSON_DEPTH_MAXIMUM];
    enum error_code code; /* of the failure */
    const char *why;
};

void json_scan_init(struct json_scan *scan, const char *text, size_t size,
                    const struct json_limits *limits);
void json_scan_release(struct json_scan *scan);
/* Scans one value. False: code, why and at tell what is wrong. */
bool json_scan_value(struct json_scan *scan);
/* Scans one value that fills the whole text. */
bool json_scan_run(struct json_scan *scan);
/* Parses the one value that was scanned. */
bool json_parse_scanned(const struct json_scan *scan, cJSON **ret, struct error *error);
/* Line and column (in characters) of where it stands, from 1. */
void json_scan_position(const struct json_scan *scan, size_t *ret_line, size_t *ret_column);

/* The size of the number that `text` begins with, by JSON's grammar; 0 if it is none. */
size_t json_number_size(const char *text, const char *end);

/* Bytes of the well-formed UTF-8 character at `at` (1 to 4), or 0. */
size_t json_utf8_size(const char *at, const char *end);

/* An object's members by byte order of their keys: an array for the caller to free, or `room` if
 * there are at most `room_size` of them. What is not an object has none. */
cJSON **json_sorted_members(const cJSON *object, cJSON **room, size_t room_size, size_t *ret_count);

/* Numbers equal by value, exactly: no doubles. */
bool json_number_equal(const char *left, const char *right);

#endif
