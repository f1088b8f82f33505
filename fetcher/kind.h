/* The kinds that the fetcher fetches. */
#ifndef GITMOOR_FETCHER_KIND_H
#define GITMOOR_FETCHER_KIND_H

struct source_kind {
    const char *kind;   /* "GitRepository" */
    const char *plural; /* as in its path */
    const char *prefix; /* of the name in keys: object_source_word */
    const char *part;   /* of readiness */
    /* The Event that what was there is there no more; the note ends with the revision before. */
    const char *replaced, *replaced_note;
};

enum { SOURCE_GIT, SOURCE_HELM, SOURCE_KINDS };
extern const struct source_kind source_kinds[SOURCE_KINDS];

#endif
