/* What an Application takes from ConfigMaps and Secrets of its own namespace: values for a chart
 * (spec.render.helm.valuesFrom), variables to substitute (spec.substituteFrom), and keys that
 * decrypt (spec.decryption). Which objects, and what is made of them; who asks for the objects is
 * another matter: the differ watches them (charts_values.c), `gitmoor diff` reads them once. */
#ifndef GITMOOR_DIFFER_VALUES_H
#define GITMOOR_DIFFER_VALUES_H

#include "differ/spec.h"

enum values_wanted { VALUES_TEXT, VALUES_VARIABLES, VALUES_KEYS };

/* One object that is named. */
struct values_source {
    enum values_wanted wanted;
    char *name;
    char *key; /* NULL: all of them */
    bool secret;
    bool optional;
    bool found; /* the object is there */
    char *text; /* of the key, or a JSON object of all; NULL if it is not there */
};

/* In the order of the spec, and of none anything is known; the array is for values_free. */
size_t values_list(const struct application_spec *spec, struct values_source **ret);
void values_free(struct values_source *sources, size_t count);

/* "spec.substituteFrom" */
const char *values_field(const struct values_source *source);
/* "Secret" or "ConfigMap" */
const char *values_kind(const struct values_source *source);

/* The object as it is now; NULL: it is not there. Returns whether what is wanted of it changed. */
bool values_take(struct values_source *source, const cJSON *object);

/* Whether what is wanted is not there, and must be; what is optional may be absent. */
bool values_is_lacking(const struct values_source *source);
/* Why, if it is; for the caller to free. */
char *values_describe_lack(const struct values_source *source, const char *namespace_);

/* Adds what render.h takes to `item`: "values" (texts), "variables" and "decryption". */
void values_add(const struct values_source *sources, size_t count,
                const struct application_spec *spec, cJSON *item);

#endif
