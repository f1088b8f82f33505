/* normalise_object: one table of objects before and after. Rows named after PITFALLS §2. */
#include "common/base/error.h"
#include "differ/normalise.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct row {
    const char *name, *before, *after;
} rows[] = {
    {"status is removed",
     "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"status\":{\"phase\":\"Running\"}}",
     "{\"apiVersion\":\"v1\",\"kind\":\"Pod\"}"},
    {"rules of an aggregated role are the controller's",
     "{\"aggregationRule\":{},\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":"
     "\"ClusterRole\",\"rules\":[]}",
     "{\"aggregationRule\":{},\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":"
     "\"ClusterRole\"}"},
    {"rules of another role are as they are",
     "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRole\",\"rules\":["
     "{\"verbs\":[\"b\",\"a\"]}]}",
     "{\"apiVersion\":\"rbac.authorization.k8s.io/v1\",\"kind\":\"ClusterRole\",\"rules\":["
     "{\"verbs\":[\"b\",\"a\"]}]}"},
    {"metadata that only the server writes is removed",
     "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"creationTimestamp\":null,"
     "\"generation\":3,\"managedFields\":[],\"name\":\"a\",\"resourceVersion\":\"7\",\"selfLink\":"
     "\"/x\",\"uid\":\"u\"}}",
     "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"}}"},
    {"null creationTimestamp in a template is removed",
     "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"spec\":{\"template\":{\"metadata\":{"
     "\"creationTimestamp\":null,\"labels\":{\"a\":\"b\"}}}}}",
     "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"spec\":{\"template\":{\"metadata\":{"
     "\"labels\":{\"a\":\"b\"}}}}}"},
    {"other nulls stay, they mean something to server-side apply",
     "{\"apiVersion\":\"v1\",\"data\":{\"a\":null},\"kind\":\"ConfigMap\"}",
     "{\"apiVersion\":\"v1\",\"data\":{\"a\":null},\"kind\":\"ConfigMap\"}"},
    {"stringData is folded into data and wins over it",
     "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"eA==\",\"b\":\"eQ==\"},\"kind\":\"Secret\","
     "\"stringData\":{\"a\":\"hello\",\"c\":\"\"}}",
     "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"aGVsbG8=\",\"b\":\"eQ==\",\"c\":\"\"},\"kind\":"
     "\"Secret\"}"},
    {"stringData of another group's Secret is left alone",
     "{\"apiVersion\":\"example.org/v1\",\"kind\":\"Secret\",\"stringData\":{\"a\":\"b\"}}",
     "{\"apiVersion\":\"example.org/v1\",\"kind\":\"Secret\",\"stringData\":{\"a\":\"b\"}}"},
    {"a Service's port without protocol gets TCP, another keeps its own",
     "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"spec\":{\"ports\":[{\"port\":80},{\"port\":53,"
     "\"protocol\":\"UDP\"}]}}",
     "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"spec\":{\"ports\":[{\"port\":80,\"protocol\":"
     "\"TCP\"},{\"port\":53,\"protocol\":\"UDP\"}]}}"},
    {"a CronJob's container port without protocol gets TCP",
     "{\"apiVersion\":\"batch/v1\",\"kind\":\"CronJob\",\"spec\":{\"jobTemplate\":{\"spec\":{"
     "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80}]}]"
     "}}}}}}",
     "{\"apiVersion\":\"batch/v1\",\"kind\":\"CronJob\",\"spec\":{\"jobTemplate\":{\"spec\":{"
     "\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"ports\":[{\"containerPort\":80,"
     "\"protocol\":\"TCP\"}]}]}}}}}}"},
    {"a custom resource's ports are left alone",
     "{\"apiVersion\":\"example.org/"
     "v1\",\"kind\":\"Service\",\"spec\":{\"ports\":[{\"port\":80}]}}",
     "{\"apiVersion\":\"example.org/"
     "v1\",\"kind\":\"Service\",\"spec\":{\"ports\":[{\"port\":80}]}}"},
    {"ports of a wrong type are the server's to refuse",
     "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"spec\":{\"ports\":\"80\"}}",
     "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"spec\":{\"ports\":\"80\"}}"},
};

static void objects_are_normalised(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        AUTO_JSON cJSON *object = NULL;
        struct error error;
        if (!json_parse(rows[i].before, strlen(rows[i].before), NULL, &object, &error)) {
            fail_msg("%s: %s", rows[i].name, error.message);
        }
        normalise_object(object);
        AUTO_BUF struct buf text;
        buf_init(&text, 65536);
        json_write(object, &text);
        if (strcmp(text.data, rows[i].after) != 0) {
            fail_msg("%s: got %s", rows[i].name, text.data);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_normalised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
