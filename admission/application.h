/* What admission knows of the Applications: for each one its protection, where Git declares it, and
 * the namespaces that hold its objects. A few hundred bytes each, never the whole object: the
 * target is 20 MB resident with a thousand of them.
 *
 * Owned by whoever made the set; the pointers that it hands out live until the set is changed. */
#ifndef GITMOOR_ADMISSION_APPLICATION_H
#define GITMOOR_ADMISSION_APPLICATION_H

#include "common/base/map.h"
#include "common/data/json.h"
#include "common/data/object.h"

enum protection { PROTECTION_OFF, PROTECTION_WARN, PROTECTION_ENFORCE }; /* ascending strictness */

struct application {
    char label[OBJECT_LABEL_VALUE_SIZE]; /* value of gitmoor.io/managed-by on its objects */
    char *namespace_;
    char *name;
    enum protection protection;
    char *repository;       /* spec.source, as object_source_word names it; or NULL */
    char *source_namespace; /* where that is: spec.source.namespace, or the Application's own */
    char *path;             /* spec.source.path */
    char *revision;         /* status.lastAppliedRevision, or NULL while there is none */
    char **namespaces;      /* status.namespaces */
    size_t namespace_count;
    char **kinds; /* status.kinds, "Kind.group" */
    size_t kind_count;
    uint64_t epoch; /* of the watch; see kube_watch */
};

/* Reads an Application. False, with a message, if it is not one or lacks its name or namespace. */
bool application_from_json(const cJSON *object, struct application **ret, struct error *error);
void application_free(struct application *application);

/* Whether status.namespaces, or status.kinds, names it. */
bool application_holds(const struct application *application, const char *namespace_);
bool application_has_kind(const struct application *application, const char *kind);

/* All of them, by label value. */
struct application_set {
    struct map by_label;
    bool complete; /* what is not in it does not exist, or only since a moment ago */
};

void application_set_init(struct application_set *set);
void application_set_release(struct application_set *set);
/* Takes the application; replaces the one of the same label. */
void application_set_put(struct application_set *set, struct application *application);
void application_set_remove(struct application_set *set, const char *namespace_, const char *name);
/* Removes what no list since `epoch` has told of. */
void application_set_sweep(struct application_set *set, uint64_t epoch);
const struct application *application_set_find(const struct application_set *set,
                                               const char *label);

/* The applications of which the question is true, strictest first, then by name: at most `maximum`
 * are written to `ret`; returns how many there are. Cost: one pass over the set, paid only for
 * deletions of Namespaces and CustomResourceDefinitions and for /scale. */
size_t application_set_select(const struct application_set *set,
                              bool (*question)(const struct application *application,
                                               const char *name),
                              const char *name, const struct application **ret, size_t maximum);

#endif
