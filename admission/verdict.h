/* The verdict on one request: a pure function of the review, the settings and the Applications. It
 * makes no request, keeps no state and never fails; `gitmoor review` runs the same code.
 *
 * The rules are those of PITFALLS §3 and DESIGN §8; each has its name here, is in rules.c, and
 * has its words in message.c. Order: the applier passes; a rule is broken or it is not; if it is,
 * the protection of the application whose object it is, and break-glass, say what follows. */
#ifndef GITMOOR_ADMISSION_VERDICT_H
#define GITMOOR_ADMISSION_VERDICT_H

#include "admission/application.h"
#include "admission/loss.h"
#include "admission/request.h"
#include "common/base/arena.h"

struct verdict_settings {
    const char *applier; /* its user name; NULL or "": nobody is the applier */
    /* The control plane's; '*' at the end: prefix. Ends with NULL. */
    const char *const *controllers;
    /* The reason that was written on the object of this uid beforehand, or NULL; for /scale, whose
     * reviews do not show it. May be NULL. */
    const char *(*noted_reason)(const char *uid, void *context);
    void *context;
};

/* What the API server's own controllers are called, with and without
 * --use-service-account-credentials. */
extern const char *const verdict_default_controllers[];

enum verdict_rule {
    RULE_NONE,
    RULE_FIELD_MANAGER,   /* writes as manager gitmoor, and is not the applier */
    RULE_FIELDS,          /* takes away declared fields */
    RULE_OWNER_REFERENCE, /* adds an ownerReference: the garbage collector would delete the object
                           */
    RULE_CLAIM,           /* puts our label, or our managedFields entry, where neither was */
    RULE_SCALE,           /* scales declared replicas */
    RULE_DELETE,          /* deletes a managed object */
    RULE_NAMESPACE,       /* deletes a Namespace that is managed or holds managed objects */
    RULE_DEFINITION,      /* deletes the CustomResourceDefinition of managed objects */
    RULE_REASON           /* writes a break-glass reason, and is not break-glass */
};
const char *verdict_rule_name(enum verdict_rule rule); /* "fields", "delete", … */

enum verdict_outcome { VERDICT_ALLOW, VERDICT_WARN, VERDICT_REFUSE, VERDICT_BREAK_GLASS };
const char *verdict_outcome_name(enum verdict_outcome outcome); /* "allowed", "warned", … */

#define VERDICT_OWNERS_NAMED 3 /* applications that a message names, where several hold it */

struct verdict {
    enum verdict_outcome outcome;
    enum verdict_rule rule;
    const char *message; /* for the user: the refusal or the warning; NULL if simply allowed */
    const char *object;  /* "Deployment prod/web"; NULL if simply allowed */
    const char *key;     /* "apps/Deployment/prod/web", as object_ref_key writes it */
    const char *label;   /* label value of the application; "" if the object has none */
    const char *reason;  /* the break-glass reason that was given, or NULL */
    bool abandoned;      /* its Application does not exist any more */
    bool break_glass;    /* the user acts as the break-glass group */
    struct paths fields; /* the declared fields that would go */
    const struct application *owners[VERDICT_OWNERS_NAMED]; /* known ones, strictest first */
    size_t owner_count; /* may exceed VERDICT_OWNERS_NAMED; 0: not known */
};

/* All strings are the arena's, the review's or the set's. */
void verdict_decide(const struct request *request, const struct verdict_settings *settings,
                    const struct application_set *applications, struct arena *arena,
                    struct verdict *ret);

#endif
