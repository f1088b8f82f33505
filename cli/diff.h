/* gitmoor diff, in three files: diff.c is the verb, diff_manifests.c finds out what is declared,
 * diff_object.c what would become of each object. */
#ifndef GITMOOR_CLI_DIFF_H
#define GITMOOR_CLI_DIFF_H

#include "cli/cluster.h"
#include "cli/keys.h"
#include "differ/desired.h"
#include "differ/spec.h"

#define DIFF_APPLIER                                                                               \
    "system:serviceaccount:gitmoor-system:gitmoor-applier" /* as the chart has it */

struct diff_verb {
    const char *word; /* "diff", or "adopt": then only what is not the application's is looked at */
    bool adopts;
    struct cluster cluster;
    const char *path;       /* a directory of manifests, or NULL */
    const char *revision;   /* of a repository or chart, or NULL: the application's */
    const char *repository; /* a directory in it */
    const char *applier;    /* user name of the applier */
    const char *take_over;  /* as the differ's setting */
    bool colour;
    struct option_list decrypt_keys;
    cJSON *decryption;           /* these, or NULL */
    const char *generators_file; /* or NULL */
    cJSON *generators;           /* in it, or NULL */

    struct kube_discovery *discovery;
    char *kube_version, *api_versions; /* for charts */
    struct managers people;
    cJSON *who;          /* {username, groups}, or NULL */
    const char **groups; /* of whom, ended by NULL */
    bool is_not_trusted; /* one may not act in the applier's name */
    bool foretold;       /* something was, instead of asking the server */
    bool trouble;        /* something could not be found out */
    size_t made, changed, deleted, kept, foreign;
    char *shown; /* adopt: the revision of the application that was looked at, or NULL */
    char *list;  /* adopt: which names what it is held for, or NULL: it is not */
};

/* Initial values, and the options, that the verbs share. */
#define DIFF_DEFAULTS .repository = ".", .applier = DIFF_APPLIER, .take_over = DIFFER_PEOPLE
#define DIFF_OPTIONS(verb)                                                                           \
    {"path",      0,                                                                                 \
     OPTION_TEXT, &(verb).path,                                                                      \
     "DIR",       "A directory in place of spec.source.path: your working copy, as it stands."},     \
        {"repository", 0,                                                                            \
         OPTION_TEXT,  &(verb).repository,                                                           \
         "DIR",        "A clone of the repository. Default: the one around the current directory."}, \
        {"decrypt-key", 0, OPTION_LIST, &(verb).decrypt_keys, "FILE", KEYS_HELP},                    \
        {"generators", 0, OPTION_TEXT, &(verb).generators_file, "FILE", GENERATORS_HELP},            \
        {"applier",                                                                                  \
         0,                                                                                          \
         OPTION_TEXT,                                                                                \
         &(verb).applier,                                                                            \
         "USER",                                                                                     \
         "User name of the applier, in whose name the server is asked. Default: the chart's."},      \
        {"take-over", 0, OPTION_TEXT, &(verb).take_over, "MANAGERS", "As the differ's setting."},    \
        CLUSTER_OPTIONS((verb).cluster)

/* One application, and where its manifests come from. */
struct diff_application {
    struct diff_verb *verb;
    const char *namespace_, *name;
    const cJSON *object;
    struct application_spec spec;
    bool guarded;                /* admission refuses others than the applier */
    char *revision;              /* as it is told: "main@sha1:…"; NULL for a directory */
    struct desired_set *desired; /* NULL: not read */
    cJSON *plaintext;            /* what was decrypted of it, to be hidden */
    cJSON *leaving;              /* its live objects that Git does not declare */
};

/* Of one application, or with `name` NULL of all; returns the exit status. */
int diff_run(struct diff_verb *verb, const char *name);
/* Also of one that was never run. */
void diff_close(struct diff_verb *verb);

/* The one that is shown unless the command line names one: the newest, or, of what would be taken
 * over, the one that is held for that. Or NULL. */
const char *diff_told_revision(const struct diff_application *application);

/* Renders as the differ does, and fills `desired`, `plaintext` and `revision`. */
bool diff_read_manifests(struct diff_application *application, struct error *error);

/* Tells what a reconcile would make of one declared object. */
void diff_declared(struct diff_application *application, const struct desired_object *desired);

/* Tells which objects would be deleted, and which would stay though they have left Git. */
void diff_pruned(struct diff_application *application);

/* "gitmoor diff: WHAT: WHY" on standard error; the exit status will be 2. */
void diff_complain(struct diff_verb *verb, const char *what, const struct error *error);

#endif
