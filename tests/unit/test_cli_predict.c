/* predict_apply: what an apply would make of a live object, without a server to ask. */
#include "cli/predict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OBJECT(body) "{'apiVersion':'v1','kind':'X'," body "}"
#define LIVE(body, ours, theirs)                                                                   \
    OBJECT(body ",'metadata':{'managedFields':[{'manager':'gitmoor','operation':'Apply',"          \
                "'fieldsV1':{" ours                                                                \
                "}},{'manager':'other','operation':'Update','fieldsV1':{" theirs "}}]}")

static const struct row {
    const char *name, *live, *desired, *wanted;
} rows[] = {
    {"a value that was changed", LIVE("'data':{'a':'x'}", "'f:data':{}", "'f:data':{'f:a':{}}"),
     OBJECT("'data':{'a':'1'}"), "{'a':'1'}"},
    {"a field that was added stays where others own it",
     LIVE("'data':{'a':'1','b':'2'}", "'f:data':{'f:a':{}}", "'f:data':{'f:b':{}}"),
     OBJECT("'data':{'a':'1'}"), "{'a':'1','b':'2'}"},
    {"a field that has left Git goes",
     LIVE("'data':{'a':'1','b':'2'}", "'f:data':{'f:a':{},'f:b':{}}", ""),
     OBJECT("'data':{'a':'1'}"), "{'a':'1'}"},
    {"but stays if somebody else owns it too",
     LIVE("'data':{'a':'1','b':'2'}", "'f:data':{'f:a':{},'f:b':{}}", "'f:data':{'f:b':{}}"),
     OBJECT("'data':{'a':'1'}"), "{'a':'1','b':'2'}"},
    {"a new field comes", LIVE("'data':{'a':'1'}", "'f:data':{'f:a':{}}", ""),
     OBJECT("'data':{'a':'1','b':{'c':2}}"), "{'a':'1','b':{'c':2}}"},
    {"a null takes away", LIVE("'data':{'a':'1','b':'2'}", "'f:data':{'f:a':{}}", ""),
     OBJECT("'data':{'a':'1','b':null}"), "{'a':'1'}"},
    {"items are told apart by the keys that managedFields names",
     LIVE("'data':[{'port':80,'nodePort':3},{'port':90}]",
          "'f:data':{'k:{\\'port\\':80}':{'.':{},'f:port':{}},'k:{\\'port\\':90}':{'.':{},"
          "'f:port':{}}}",
          ""),
     OBJECT("'data':[{'port':80,'name':'web'},{'port':70}]"),
     "[{'port':80,'nodePort':3,'name':'web'},{'port':70}]"},
    {"or by name", LIVE("'data':[{'name':'a','set':1},{'name':'b'}]", "", ""),
     OBJECT("'data':[{'name':'b','x':2}]"), "[{'name':'a','set':1},{'name':'b','x':2}]"},
    {"a list that is owned as a whole is replaced",
     LIVE("'data':['a','b']", "'f:data':{}", "'f:data':{}"), OBJECT("'data':['b','c','d']"),
     "['b','c','d']"},
    {"a set's item that has left Git goes",
     LIVE("'data':['a','b','c']", "'f:data':{'v:\\'a\\'':{},'v:\\'b\\'':{}}",
          "'f:data':{'v:\\'c\\'':{}}"),
     OBJECT("'data':['a']"), "['a','c']"},
    {"another way to write a quantity is no change",
     LIVE("'data':{'limits':{'cpu':'1','memory':'1Gi'}}", "", ""),
     OBJECT("'data':{'limits':{'cpu':'1000m','memory':'1024Mi'}}"),
     "{'limits':{'cpu':'1','memory':'1Gi'}}"},
    {"but it is where values are texts", LIVE("'data':{'a':'1'}", "", ""),
     OBJECT("'data':{'a':'1000m'}"), "{'a':'1000m'}"},
    {"a map becomes a value", LIVE("'data':{'a':{'b':1}}", "", ""), OBJECT("'data':{'a':'x'}"),
     "{'a':'x'}"},
};

static cJSON *parse(const char *text)
{
    char *copy = strdup(text);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    cJSON *tree = NULL;
    struct error error;
    if (!json_parse(copy, strlen(copy), NULL, &tree, &error)) {
        fail_msg("%s: %s", error.message, copy);
    }
    free(copy);
    return tree;
}

static void what_an_apply_makes_of_an_object_is_foretold(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *live = parse(rows[i].live);
        AUTO_JSON cJSON *desired = parse(rows[i].desired);
        AUTO_JSON cJSON *wanted = parse(rows[i].wanted);
        AUTO_JSON cJSON *found = predict_apply(live, desired, NULL);
        if (!json_equal(json_get(found, "data"), wanted)) {
            AUTO_BUF struct buf text;
            buf_init(&text, 65536);
            json_write(json_get(found, "data"), &text);
            fail_msg("%s: %s", rows[i].name, text.data);
        }
    }
}

static void owners_may_be_others_than_they_are(void **state)
{
    (void)state;
    AUTO_JSON cJSON *live =
        parse(LIVE("'data':{'a':'1','b':'2'}", "'f:data':{'f:a':{}}", "'f:data':{'f:b':{}}"));
    AUTO_JSON cJSON *desired = parse(OBJECT("'data':{'a':'1'}"));
    AUTO_JSON cJSON *owners = parse("[{'manager':'gitmoor','operation':'Apply','fieldsV1':{"
                                    "'f:data':{'f:a':{},'f:b':{}}}}]"); /* taken over */
    AUTO_JSON cJSON *found = predict_apply(live, desired, owners);
    assert_null(json_get_path(found, "data.b"));
    assert_non_null(json_get_path(found, "data.a"));
}

static const struct quantity {
    const char *left, *right;
    bool same;
} quantities[] = {
    {"1", "1000m", true},   {"1.5", "1500m", true}, {"1Gi", "1024Mi", true}, {"1G", "1Gi", false},
    {"1e3", "1k", true},    {"0", "0m", true},      {"100m", "0.1", true},   {"1E", "1e18", true},
    {"1", "2", false},      {"x", "x", false},      {"", "", false},         {"1 ", "1", false},
    {"-1", "-1000m", true},
};

static void quantities_are_compared_by_what_they_mean(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof quantities / sizeof quantities[0]; i++) {
        if (predict_is_same_quantity(quantities[i].left, quantities[i].right) !=
            quantities[i].same) {
            fail_msg("%s and %s", quantities[i].left, quantities[i].right);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_apply_makes_of_an_object_is_foretold),
        cmocka_unit_test(owners_may_be_others_than_they_are),
        cmocka_unit_test(quantities_are_compared_by_what_they_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
