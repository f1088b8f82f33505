/* The settings of gitmoor-differ: one table, from which flags, environment and --help come. */
#ifndef GITMOOR_DIFFER_SETTINGS_H
#define GITMOOR_DIFFER_SETTINGS_H

#include "common/run/process.h"

/* What people write with, by default: what they add to managed objects goes. */
#define DIFFER_PEOPLE                                                                              \
    "kubectl*,before-first-apply,Mozilla,node-fetch,k9s,Lens,OpenLens,freelens,headlamp*,curl"

struct differ_settings {
    struct process_settings common;
    const char *data_dir;   /* bare object databases and packs on their way */
    const char *generators; /* file of generators.h, or NULL */
    const char *memory_dir; /* for what is decrypted: in memory */
    const char *fetcher;    /* inboxes of the peers */
    const char *applier;
    const char *admission;  /* may be empty: then nothing is heard of refusals */
    int64_t render_timeout; /* ms, of one worker */
    int64_t build_timeout;  /* ms, of one application in it that another program builds */
    int64_t build_memory;   /* bytes, of each of those; 0: no limit */
    int64_t builds;         /* of those at once, of all repositories together */
    int64_t render_memory;  /* bytes, of one worker; 0: no limit */
    int64_t render_output;  /* bytes that one worker may answer */
    bool without_secrets;   /* Secrets are neither watched nor managed */
    const char *take_over;  /* field managers of people (managers.h) */
};

extern const struct setting differ_settings_table[];

#endif
