/* blame_find: what of a drifted object is not as Git declares it, and whose doing that is. */
#include "differ/blame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAP(data, entries)                                                                         \
    "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':'n','labels':{"      \
    "'l':'v'},'managedFields':[" entries "]},'data':{" data "}}"
#define DECLARED_MAP                                                                               \
    "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c','namespace':'n','labels':{"      \
    "'l':'v'}},'data':{'a':'1','b':'2'}}"
#define OURS(fields)                                                                               \
    "{'manager':'gitmoor','operation':'Apply','apiVersion':'v1','time':'2026-01-01T00:00:00Z',"    \
    "'fieldsV1':{" fields "}}"
#define THEIRS(manager, time, fields)                                                              \
    ",{'manager':'" manager "','operation':'Update','apiVersion':'v1','time':'" time               \
    "','fieldsV1':{" fields "}}"
#define LABELS "'f:metadata':{'f:labels':{'f:l':{}}}"
#define NOON "2026-01-02T12:00:00Z"
#define ONE "2026-01-02T13:00:00Z"

#define DECLARED_WORKLOAD                                                                          \
    "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'c','namespace':'n'},"         \
    "'spec':{'replicas':2,'template':{'spec':{'containers':[{'name':'c','image':'a:1','ports':["   \
    "{'containerPort':80,'protocol':'TCP'}]}]}}}}"
#define WORKLOAD(entries)                                                                          \
    "{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'c','namespace':'n',"          \
    "'managedFields':[" entries "]},'spec':{'replicas':5,'template':{'spec':{'containers':["       \
    "{'name':'c','image':'a:2','ports':[{'containerPort':80,'protocol':'TCP'}]}]}}}}"
#define TEMPLATE(fields)                                                                           \
    "'f:spec':{'f:template':{'f:spec':{'f:containers':{'k:{\\'name\\':\\'c\\'}':{" fields "}}}}}"
#define PORTS                                                                                      \
    "'f:ports':{'k:{\\'containerPort\\':80,\\'protocol\\':\\'TCP\\'}':{'.':{},"                    \
    "'f:containerPort':{},'f:protocol':{}}}"

static const struct row {
    const char *name, *desired, *live;
    const char *fields, *manager, *subresource, *time;
} rows[] = {
    {"a value that somebody wrote", DECLARED_MAP,
     MAP("'a':'x','b':'2'",
         OURS("'f:data':{'f:b':{}}," LABELS) THEIRS("kubectl-patch", NOON, "'f:data':{'f:a':{}}")),
     ".data.a", "kubectl-patch", NULL, NOON},
    {"all that we had in a map", DECLARED_MAP,
     MAP("'a':'x','b':'y'",
         OURS(LABELS) THEIRS("kubectl-edit", NOON, "'f:data':{'f:a':{},'f:b':{},'.':{}}")),
     ".data.a .data.b", "kubectl-edit", NULL, NOON},
    {"of two writers the newer is named", DECLARED_MAP,
     MAP("'a':'x','b':'y'", OURS(LABELS) THEIRS("late", ONE, "'f:data':{'f:a':{}}")
                                THEIRS("early", NOON, "'f:data':{'f:b':{}}")),
     ".data.a .data.b", "late", NULL, ONE},
    {"what Git does not declare is nobody's fault", DECLARED_MAP,
     MAP("'a':'x','b':'2','c':'3'",
         OURS("'f:data':{'f:b':{}}," LABELS) THEIRS("editor", NOON, "'f:data':{'f:a':{}}")
             THEIRS("other", ONE, "'f:data':{'f:c':{}}")),
     ".data.a", "editor", NULL, NOON},
    {"a field that was removed has no owner", DECLARED_MAP,
     MAP("'b':'2'", OURS("'f:data':{'f:b':{}}," LABELS)), ".data.a", NULL, NULL, NULL},
    {"a label that was taken", DECLARED_MAP,
     MAP("'a':'1','b':'2'",
         OURS("'f:data':{'f:a':{},'f:b':{}}") THEIRS("kubectl-label", NOON, LABELS)),
     ".metadata.labels.l", "kubectl-label", NULL, NOON},
    {"a map that is now owned as a whole", DECLARED_MAP,
     MAP("'a':'x','b':'y'", OURS(LABELS) THEIRS("atomic", NOON, "'f:data':{}")), ".data", "atomic",
     NULL, NOON},
    {"the entry is gone altogether", DECLARED_MAP, MAP("'a':'1','b':'2'", ""),
     ".metadata.labels.l .data.a .data.b", NULL, NULL, NULL},
    {"a value that is still ours, as a mutating webhook leaves it", DECLARED_MAP,
     MAP("'a':'x','b':'2'", OURS("'f:data':{'f:a':{},'f:b':{}}," LABELS)), ".data.a", NULL, NULL,
     NULL},
    {"nothing", DECLARED_MAP, MAP("'a':'1','b':'2'", OURS("'f:data':{'f:a':{},'f:b':{}}," LABELS)),
     "", NULL, NULL, NULL},
    {"an image, in a list with keys", DECLARED_WORKLOAD,
     WORKLOAD(OURS("'f:spec':{'f:replicas':{},'f:template':{'f:spec':{'f:containers':{"
                   "'k:{\\'name\\':\\'c\\'}':{'f:name':{}," PORTS "}}}}}")
                  THEIRS("kubectl-set", NOON, TEMPLATE("'f:image':{}"))),
     ".spec.template.spec.containers[name=\"c\"].image", "kubectl-set", NULL, NOON},
    {"replicas, through /scale", DECLARED_WORKLOAD,
     WORKLOAD(OURS(TEMPLATE(
         "'f:name':{},'f:image':{}," PORTS)) ",{'manager':'kubectl','operation':'Update','"
                                             "subresource':'scale','time':'" NOON
                                             "','apiVersion':'apps/"
                                             "v1','fieldsV1':{'f:spec':{'f:replicas':{}}}}"),
     ".spec.replicas", "kubectl", "scale", NOON},
    {"a container that was removed", DECLARED_WORKLOAD,
     WORKLOAD(OURS("'f:spec':{'f:replicas':{},'f:template':{'f:spec':{'f:containers':{"
                   "'k:{\\'name\\':\\'other\\'}':{'f:name':{}}}}}}")),
     ".spec.template.spec.containers[name=\"c\"]", NULL, NULL, NULL},
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

static void assert_same(const char *name, const char *what, const char *found, const char *wanted)
{
    if ((found == NULL) != (wanted == NULL) || (found && strcmp(found, wanted) != 0)) {
        fail_msg("%s: %s is %s, not %s", name, what, found ? found : "-", wanted ? wanted : "-");
    }
}

static void fields_and_managers_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_ARENA struct arena arena;
        arena_init(&arena);
        AUTO_JSON cJSON *desired = parse(rows[i].desired);
        AUTO_JSON cJSON *live = parse(rows[i].live);
        struct blame blame;
        blame_find(desired, live, &arena, &blame);
        char fields[1024] = "";
        for (size_t j = 0; j < blame.count; j++) {
            strcat(strcat(fields, j > 0 ? " " : ""), blame.fields[j]);
        }
        assert_same(rows[i].name, "fields", fields, rows[i].fields);
        assert_same(rows[i].name, "manager", blame.manager, rows[i].manager);
        assert_same(rows[i].name, "subresource", blame.subresource, rows[i].subresource);
        assert_same(rows[i].name, "time", blame.time, rows[i].time);
        assert_int_equal(blame.total, blame.count);
    }
}

static void at_most_ten_fields_are_named_and_the_rest_counted(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_JSON cJSON *desired = parse("{'apiVersion':'v1','kind':'ConfigMap','data':{}}");
    AUTO_JSON cJSON *live = parse("{'apiVersion':'v1','kind':'ConfigMap','metadata':{}}");
    for (int i = 0; i < 25; i++) {
        char name[16];
        snprintf(name, sizeof name, "k%02d", i);
        json_add_string(json_object(desired, "data"), name, "secret");
    }
    struct blame blame;
    blame_find(desired, live, &arena, &blame);
    assert_int_equal(blame.count, BLAME_FIELDS_MAXIMUM);
    assert_int_equal(blame.total, 25);
    for (size_t i = 0; i < blame.count; i++) {
        assert_null(strstr(blame.fields[i], "secret")); /* paths, never values */
    }
}

static void what_others_added_is_named_too(void **state)
{
    (void)state;
    AUTO_ARENA struct arena arena;
    arena_init(&arena);
    AUTO_JSON cJSON *live = parse(MAP("'a':'1','b':'2','c':'3','d':'4'",
                                      OURS("'f:data':{'f:a':{},'f:b':{}}," LABELS)
                                          THEIRS("kubectl-edit", NOON, "'f:data':{'f:c':{}}")
                                              THEIRS("a-controller", ONE, "'f:data':{'f:d':{}}")));
    AUTO_JSON cJSON *owners = parse("[" OURS("'f:data':{'f:a':{},'f:b':{},'f:c':{}}," LABELS)
                                        THEIRS("a-controller", ONE, "'f:data':{'f:d':{}}") "]");
    struct blame blame;
    blame_find_added(live, owners, &arena, &blame);
    assert_int_equal(blame.total, 1);
    assert_string_equal(blame.fields[0], ".data.c");
    assert_string_equal(blame.manager, "kubectl-edit");
    assert_string_equal(blame.time, NOON);
    /* What is given up is no drift of anybody. */
    blame_find_added(live, json_get_path(live, "metadata.managedFields"), &arena, &blame);
    assert_int_equal(blame.total, 0);
    assert_null(blame.manager);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_and_managers_are_named),
        cmocka_unit_test(what_others_added_is_named_too),
        cmocka_unit_test(at_most_ten_fields_are_named_and_the_rest_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
