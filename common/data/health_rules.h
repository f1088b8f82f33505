/* Health by rules of the user's: for a kind, an ordered list of rules, each of which names the
 * conditions and fields that an object must have for it to be Current, InProgress or Failed. The
 * first that holds decides; docs/health.md has the form. They are data, so that judging one object
 * costs a bounded walk over its status and can neither fail nor loop.
 *
 * What rules say of a kind stands in the place of kstatus's judgement. Before them, as there, come
 * deletion (Terminating) and a generation that has not been observed yet (InProgress). */
#ifndef GITMOOR_DATA_HEALTH_RULES_H
#define GITMOOR_DATA_HEALTH_RULES_H

#include "common/base/error.h"
#include "common/data/health.h"

#include <stddef.h>

#define HEALTH_RULES_FILE_MAXIMUM ((size_t)1 << 20) /* as a ConfigMap */

struct health_rules;

/* A file (kind HealthRules). `name` is the file's, for messages, which read
 * "<name>:<line>: checks[2].rules[0].status: <why>". */
bool health_rules_parse(const char *text, size_t size, const char *name, struct health_rules **ret,
                        struct error *error);
/* A list of checks, as spec.health.checks of an Application: messages begin with `field`. NULL or
 * an empty list gives NULL. */
bool health_rules_read(const cJSON *checks, const char *field, struct health_rules **ret,
                       struct error *error);
void health_rules_free(struct health_rules *rules); /* NULL is fine */

/* Those that come with Gitmoor (health_rules.yaml). */
struct health_rules *health_rules_shipped(void);

/* What the rules say of one kind, as canonical JSON, "" for nothing: two sets that answer the same
 * judge its objects alike. The caller frees. */
char *health_rules_of_kind(const struct health_rules *rules, const char *group, const char *kind);

/* The verdict of the first of the sets that has a check for the object's kind, or else that of
 * health_judge. A set may be NULL. */
enum health_status health_judge_by(const struct health_rules *const *sets, size_t count,
                                   const cJSON *object, char ret_message[HEALTH_MESSAGE_SIZE]);

#endif
