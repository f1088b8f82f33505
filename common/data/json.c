/* Trees of JSON: reading without fear of NULL, building, copying, comparing. */
#include "common/data/json_internal.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

/* Members of an object that are sorted without the heap. */
#define ROOM 32

static bool is_type(const cJSON *node, int type)
{
    return node && (node->type & 0xFF) == type;
}

/* cJSON answers NULL when memory is short; here that ends the process, as everywhere (memory.h). */
static cJSON *checked(cJSON *node)
{
    return node ? node : mem_resize(NULL, SIZE_MAX / 2, 2);
}

void json_free(cJSON *node)
{
    cJSON_Delete(node);
}

void json_cleanup(cJSON **node)
{
    cJSON_Delete(*node);
}

cJSON *json_copy(const cJSON *node)
{
    return node ? checked(cJSON_Duplicate(node, 1)) : NULL;
}

/* ---- Comparing ---- */

static bool members_equal(const cJSON *left, const cJSON *right)
{
    return text_equal(text_or_empty(left->string), text_or_empty(right->string)) &&
           json_equal(left, right);
}

static bool objects_equal_sorted(const cJSON *left, const cJSON *right)
{
    cJSON *left_room[ROOM], *right_room[ROOM];
    size_t left_count, right_count;
    cJSON **left_members = json_sorted_members(left, left_room, ROOM, &left_count);
    cJSON **right_members = json_sorted_members(right, right_room, ROOM, &right_count);
    bool equal = left_count == right_count;
    for (size_t i = 0; equal && i < left_count; i++) {
        equal = members_equal(left_members[i], right_members[i]);
    }
    if (left_members != left_room) {
        free(left_members);
    }
    if (right_members != right_room) {
        free(right_members);
    }
    return equal;
}

/* Usually both sides have their keys in the same order, so that nothing need be sorted. */
static bool objects_equal(const cJSON *left, const cJSON *right)
{
    const cJSON *a = left->child, *b = right->child;
    for (; a && b && text_equal(a->string, b->string); a = a->next, b = b->next) {
    }
    if (a || b) {
        return objects_equal_sorted(left, right);
    }
    for (a = left->child, b = right->child; a && b; a = a->next, b = b->next) {
        if (!json_equal(a, b)) {
            return false;
        }
    }
    return true;
}

static bool arrays_equal(const cJSON *left, const cJSON *right)
{
    const cJSON *a = left->child, *b = right->child;
    for (; a && b; a = a->next, b = b->next) {
        if (!json_equal(a, b)) {
            return false;
        }
    }
    return !a && !b;
}

bool json_equal(const cJSON *left, const cJSON *right)
{
    if (!left || !right) {
        return left == right;
    }
    if ((left->type & 0xFF) != (right->type & 0xFF)) {
        return false;
    }
    switch (left->type & 0xFF) {
    case cJSON_String:
        return text_equal(left->valuestring, right->valuestring);
    case cJSON_Raw:
        return json_number_equal(text_or_empty(left->valuestring),
                                 text_or_empty(right->valuestring));
    case cJSON_Number:
        return !(left->valuedouble < right->valuedouble || left->valuedouble > right->valuedouble);
    case cJSON_Array:
        return arrays_equal(left, right);
    case cJSON_Object:
        return objects_equal(left, right);
    default:
        return true; /* true, false, null */
    }
}

/* ---- Reading ---- */

cJSON *json_first(const cJSON *container)
{
    return is_type(container, cJSON_Object) || is_type(container, cJSON_Array) ? container->child
                                                                               : NULL;
}

cJSON *json_get(const cJSON *object, const char *name)
{
    if (!is_type(object, cJSON_Object) || !name) {
        return NULL;
    }
    cJSON *member = object->child;
    while (member && (!member->string || strcmp(member->string, name) != 0)) {
        member = member->next;
    }
    return member;
}

cJSON *json_get_path(const cJSON *object, const char *dotted_path)
{
    const cJSON *node = object;
    for (const char *at = dotted_path; node; at++) {
        size_t size = strcspn(at, ".");
        cJSON *member = is_type(node, cJSON_Object) ? node->child : NULL;
        while (member && (!member->string || strncmp(member->string, at, size) != 0 ||
                          member->string[size] != '\0')) {
            member = member->next;
        }
        at += size;
        if (!*at) {
            return member;
        }
        node = member;
    }
    return NULL;
}

static const char *string_of(const cJSON *node)
{
    return is_type(node, cJSON_String) ? node->valuestring : NULL;
}

const char *json_string(const cJSON *object, const char *name)
{
    return string_of(json_get(object, name));
}

const char *json_string_path(const cJSON *object, const char *dotted_path)
{
    return string_of(json_get_path(object, dotted_path));
}

bool json_bool(const cJSON *object, const char *name, bool otherwise)
{
    const cJSON *node = json_get(object, name);
    return is_type(node, cJSON_True) || (otherwise && !is_type(node, cJSON_False));
}

int64_t json_int(const cJSON *object, const char *name, int64_t otherwise)
{
    int64_t value;
    return json_to_int(json_get(object, name), &value) ? value : otherwise;
}

cJSON *json_object(const cJSON *object, const char *name)
{
    cJSON *node = json_get(object, name);
    return is_type(node, cJSON_Object) ? node : NULL;
}

cJSON *json_array(const cJSON *object, const char *name)
{
    cJSON *node = json_get(object, name);
    return is_type(node, cJSON_Array) ? node : NULL;
}

size_t json_size(const cJSON *container)
{
    size_t size = 0;
    for (const cJSON *item = json_first(container); item; item = item->next) {
        size++;
    }
    return size;
}

/* ---- Building ---- */

cJSON *json_new_object(void)
{
    return checked(cJSON_CreateObject());
}

cJSON *json_new_array(void)
{
    return checked(cJSON_CreateArray());
}

cJSON *json_new_string(const char *text)
{
    return checked(cJSON_CreateString(text_or_empty(text)));
}

cJSON *json_new_int(int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return checked(cJSON_CreateRaw(text));
}

cJSON *json_new_number(const char *text)
{
    size_t size = text ? strlen(text) : 0;
    bool valid = size > 0 && json_number_size(text, text + size) == size;
    return valid ? checked(cJSON_CreateRaw(text)) : NULL;
}

cJSON *json_new_bool(bool value)
{
    return checked(cJSON_CreateBool(value));
}

cJSON *json_new_null(void)
{
    return checked(cJSON_CreateNull());
}

cJSON *json_add(cJSON *object, const char *name, cJSON *value)
{
    if (!value || !is_type(object, cJSON_Object) || !cJSON_AddItemToObject(object, name, value)) {
        json_free(value);
        return NULL;
    }
    return value;
}

cJSON *json_add_string(cJSON *object, const char *name, const char *text)
{
    return text ? json_add(object, name, json_new_string(text)) : NULL;
}

cJSON *json_add_int(cJSON *object, const char *name, int64_t value)
{
    return json_add(object, name, json_new_int(value));
}

cJSON *json_add_bool(cJSON *object, const char *name, bool value)
{
    return json_add(object, name, json_new_bool(value));
}

cJSON *json_add_object(cJSON *object, const char *name)
{
    return json_add(object, name, json_new_object());
}

cJSON *json_add_array(cJSON *object, const char *name)
{
    return json_add(object, name, json_new_array());
}

cJSON *json_append(cJSON *array, cJSON *value)
{
    if (!value || !is_type(array, cJSON_Array) || !cJSON_AddItemToArray(array, value)) {
        json_free(value);
        return NULL;
    }
    return value;
}

void json_set(cJSON *object, const char *name, cJSON *value)
{
    cJSON *old = json_get(object, name);
    if (!old || !value) {
        json_add(object, name, value);
        return;
    }
    if (old == value) {
        return;
    }
    char *key = mem_string(name);
    cJSON_ReplaceItemViaPointer(object, old, value);
    if (!(value->type & cJSON_StringIsConst)) {
        free(value->string);
    }
    value->string = key;
    value->type &= ~cJSON_StringIsConst;
}

void json_remove(cJSON *object, const char *name)
{
    cJSON *member = json_get(object, name);
    if (member) {
        cJSON_Delete(cJSON_DetachItemViaPointer(object, member));
    }
}

cJSON *json_ensure_object(cJSON *object, const char *name)
{
    cJSON *member = json_get(object, name);
    if (is_type(member, cJSON_Object)) {
        return member;
    }
    json_set(object, name, json_new_object());
    return json_get(object, name);
}
