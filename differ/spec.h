/* What an Application asks for, read from its spec. */
#ifndef GITMOOR_DIFFER_SPEC_H
#define GITMOOR_DIFFER_SPEC_H

#include "common/data/health_rules.h"
#include "common/data/json.h"
#include "differ/break_glass.h"
#include "differ/ignore_fields.h"
#include "differ/managers.h"
#include "differ/sync_window.h"

/* More deletions by one revision than that are held. */
struct prune_limit {
    int64_t value; /* negative: no limit */
    bool is_share; /* percent of the application's objects, not a number of them */
};

struct application_spec {
    char *source_namespace;  /* of the repository; the Application's own, mostly */
    char *repository;        /* object_source_word; "" if there is none */
    char *path;              /* "." for the whole repository */
    char *target_namespace;  /* or NULL */
    char *service_account;   /* or NULL */
    cJSON *render;           /* spec.render, or NULL */
    cJSON *substitute;       /* spec.substitute, or NULL */
    cJSON *substitute_from;  /* spec.substituteFrom, or NULL */
    char *decryption_secret; /* name in spec.decryption, or NULL */
    cJSON *depends_on;       /* keys of Applications, strings in an array */
    bool preflight, prune, self_heal, suspend, health_wait, rollback_on_failure;
    bool force;              /* spec.force */
    bool adopts_if_approved; /* spec.adopt is IfApproved */
    bool deletes;            /* spec.deletionPolicy is Delete */
    struct break_glass break_glass;
    struct prune_limit prune_limit;
    int64_t health_timeout;             /* ms */
    struct health_rules *health_checks; /* spec.health.checks, or NULL */
    char *error;                        /* why it, or they, cannot be read, or NULL */
    bool exact;              /* whatever Git does not declare goes, save for what is… */
    struct managers allowed; /* …of these */
    struct managers taken;   /* whose fields are taken over, beside those of the setting */
    char *drift_text;        /* canonical JSON of that choice, or NULL */
    struct ignore_fields ignore;
    struct sync_windows windows;
};

/* Of the whole object: its namespace counts. What is read is the spec's own. */
void application_spec_read(const cJSON *object, struct application_spec *ret);
void application_spec_release(struct application_spec *spec);

/* The keys ("namespace/name") that the object's spec.dependsOn names, as an array of strings. */
cJSON *application_spec_depends_on(const cJSON *object);

#endif
