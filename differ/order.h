/* The order in which objects are applied (DESIGN §4.4); deletion runs it backwards. */
#ifndef GITMOOR_DIFFER_ORDER_H
#define GITMOOR_DIFFER_ORDER_H

#include "common/data/object.h"

/* Stages run one after the other; what is in one stage is applied at once. */
enum order_stage {
    ORDER_FOUNDATIONS, /* CustomResourceDefinitions, Namespaces, ClusterRoles and their bindings */
    ORDER_CLASSES,     /* PriorityClass, StorageClass, IngressClass, RuntimeClass, … */
    ORDER_REST,        /* the usual order of kinds, custom resources last */
    ORDER_WEBHOOKS,    /* webhook configurations and admission policies */
    ORDER_STAGES
};

enum order_stage order_stage_of(const struct object_ref *ref);

/* Total order for printing and planning: stage, rank of the kind, kind, group, namespace, name. */
int order_compare(const struct object_ref *left, const struct object_ref *right);

#define ORDER_WAVE_ANNOTATION "gitmoor.io/wave"

/* The wave (wave.h) that an object's metadata names, 0 if it names none; false if that is not a
 * whole number from -10000 to 10000. */
bool order_read_wave(const cJSON *metadata, int *ret);

#endif
