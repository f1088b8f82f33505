/* What charts are told of the cluster, and what they take from it: its version, the APIs that it
 * serves, and the values that ConfigMaps and Secrets of the Application's namespace hold. */
#ifndef GITMOOR_DIFFER_CHARTS_H
#define GITMOOR_DIFFER_CHARTS_H

#include "common/data/json.h"
#include "common/kube/client.h"

struct differ;
struct application;
struct chart_values;
struct kube_discovery;

/* The answer to GET /version. */
void charts_take_version(struct differ *differ, const struct kube_response *response);

/* What charts are told of discovery: "apps/v1,apps/v1/Deployment,…"; the caller frees. */
char *charts_describe_apis(const struct kube_discovery *discovery);

/* Discovery has been read: what charts are told is made anew; if it has changed, those that are
 * charts are rendered again. */
void charts_discovered(struct differ *differ);

/* Adds to a request of the worker what all charts are told. */
void charts_describe(const struct differ *differ, cJSON *request);

/* ---- valuesFrom, substituteFrom, and decryption ---- */

/* Watches what the application's spec names, and nothing else any more. To be called when the spec
 * has changed. */
void charts_watch_values(struct application *application);
void charts_values_free(struct chart_values *values); /* NULL is fine */

enum charts_values_state {
    CHARTS_VALUES_HERE,
    CHARTS_VALUES_AWAITED, /* the application is woken, and its repository stepped, when they come
                            */
    CHARTS_VALUES_WRONG    /* it cannot be rendered */
};
enum charts_values_state charts_values_state(const struct application *application);
/* Tells the application, as the result of rendering that revision, what is wrong; once. */
void charts_tell_problem(struct application *application, const char *revision);
/* Adds the texts, the variables to substitute, and the keys that decrypt, to the application's part
 * of a request. */
void charts_add_values(const struct application *application, cJSON *item);

#endif
