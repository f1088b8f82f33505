/* Shared by health*.c only: answers, and the rules in memory. */
#ifndef GITMOOR_DATA_HEALTH_INTERNAL_H
#define GITMOOR_DATA_HEALTH_INTERNAL_H

#include "common/base/arena.h"
#include "common/data/health.h"
#include "common/data/health_rules.h"

/* Writes the message, cut between characters where it is too long, and returns the status. */
enum health_status health_answer(char *message, enum health_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* True: decided, by deletion or by metadata that cannot be read. */
bool health_judge_deletion(const cJSON *object, char *message, enum health_status *ret);

enum health_presence { HEALTH_EITHER, HEALTH_SET, HEALTH_UNSET };

/* Where a pointer leads to several places: whether each of them must be so, and there must be one,
 * or one is enough. */
enum health_match { HEALTH_ALL, HEALTH_ANY };

struct health_condition {
    const char *at; /* pointer to the list of conditions */
    const char *type;
    const char *status;   /* NULL: any */
    const cJSON *reasons; /* array of strings; NULL: any */
    enum health_match match;
    enum health_presence presence; /* HEALTH_UNSET: there must be none of the type */
};

struct health_field {
    const char *path;
    const char *same_as; /* pointer to the value that it must have, or NULL */
    const cJSON *values; /* array of scalars, one of which it must be, or NULL */
    enum health_match match;
    enum health_presence presence;
};

/* Holds if all its conditions and fields do. */
struct health_rule {
    enum health_status status;
    struct health_condition *conditions;
    struct health_field *fields;
    size_t condition_count, field_count;
    const char *message; /* pointer, or NULL */
};

struct health_check {
    const char *group, *kind;
    const char *version;             /* NULL: any */
    const char *observed_generation; /* pointer; "": is not looked at */
    struct health_rule *rules;
    size_t count;
    enum health_status otherwise; /* where no rule holds */
    bool otherwise_kstatus;       /* then kstatus judges */
    const cJSON *tree;
};

/* Strings point into `tree`, which is the rules' own. */
struct health_rules {
    struct arena arena;
    cJSON *tree;
    struct health_check *checks;
    size_t count;
};

/* What health_rules_read.c is told. */
struct health_rules_source {
    const char *file;  /* NULL: not a file */
    const char *field; /* what messages call the list */
    unsigned line;     /* for values whose own line is not known */
    size_t maximum;    /* checks */
};

/* Fills the rules from the list of checks, which is part of rules->tree. */
bool health_rules_fill(struct health_rules *rules, const cJSON *checks,
                       const struct health_rules_source *source, struct error *error);

/* The verdict of one check. */
enum health_status health_check_judge(const struct health_check *check, const cJSON *object,
                                      char message[HEALTH_MESSAGE_SIZE]);

#endif
