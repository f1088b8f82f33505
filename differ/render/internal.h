/* What the files of the render share: the scan under way. Nobody else includes this. */
#ifndef GITMOOR_DIFFER_RENDER_INTERNAL_H
#define GITMOOR_DIFFER_RENDER_INTERNAL_H

#include "common/base/map.h"
#include "differ/render/ignore.h"
#include "differ/render/render.h"
#include "differ/render/sops.h"

struct render_scan {
    struct arena arena;
    struct source *source;
    struct render_options options;
    enum render_type type;
    bool type_is_detected;    /* the spec does not say it */
    const char *path;         /* of the application, resolved */
    const char *chart;        /* name in Chart.yaml; NULL if it is none */
    const char *builder_file; /* kustomization.yaml or Chart.yaml of the application, as named to
                                people; "" if there is none */
    struct render_item *items;
    size_t count;
    size_t capacity;
    size_t problems;
    size_t directories;
    struct ignore ignore;
    struct map ignore_read; /* directories whose .sourceignore has been looked for */
    struct map added;       /* paths that a build reads: items, and what was looked for in vain */
    struct digest_state *key_state;
    bool key_known; /* every id was there */
    struct digest key;
    struct map values_files; /* paths of valuesFiles, of a chart */
    struct map public;       /* paths of files that go into ConfigMaps */
    struct map decrypted;    /* path → struct render_decrypted, of what SOPS has encrypted */
    size_t undecrypted;      /* problems told of them: then nothing is built */
    bool without_keys;       /* none of them could be tried */
    char **hidden;           /* plaintext that no message may show */
    size_t hidden_count;
};

/* A file that SOPS has encrypted, and what was in it. */
struct render_plaintext {
    char *data; /* NULL: not decrypted, or nothing to decrypt */
    size_t size;
};
struct render_decrypted {
    const char *name;  /* as it is named to people */
    struct buf source; /* as it stands in the repository */
    struct sops_file file;
    struct render_plaintext *texts; /* of each part of the file */
    bool failed;
};

/* ---- decrypt.c ---- */

/* NULL: SOPS has not encrypted it. */
const struct render_decrypted *render_decrypted_file(const struct render_scan *scan,
                                                     const char *path);
/* Appends the file with its encrypted parts decrypted, of one that has not failed. */
bool render_decrypted_write(const struct render_decrypted *file, struct buf *out);
void render_decrypted_release(struct render_scan *scan);

/* ---- hide.c ---- */

/* No message will show what was in that part. */
void render_hide_part(struct render_scan *scan, const struct render_decrypted *file, size_t part);
/* The message without plaintext, to be freed. */
char *render_hide(const struct render_scan *scan, const char *message);
/* A sink whose errors reach the other one so. */
struct render_hiding {
    const struct render_scan *scan;
    const struct render_sink *outer;
    struct render_sink sink;
};
void render_hiding_init(struct render_hiding *hiding, const struct render_scan *scan,
                        const struct render_sink *outer);

/* ---- scan.c ---- */

/* Whether the failure says something about the files, and so is a result. */
bool render_is_result(const struct error *error);
/* `line` 0: none can be named. The texts are copied. */
void render_add_problem(struct render_scan *scan, const char *file, unsigned line,
                        const char *problem);
/* A file to be read; the strings are the arena's. */
void render_add_file(struct render_scan *scan, const char *file, const char *path);
/* The id of what is at the path, or that nothing is, becomes part of the key. */
void render_key_add(struct render_scan *scan, const char *path);
/* And so does this, which `what` names (render_explainer). */
void render_key_add_setting(struct render_scan *scan, const char *what, const char *text);

/* ---- tree.c: the files that a build reads, and their private copy ---- */

/* Finds `path` (links are followed), and notes the links on the way for the copy. False as
 * render_scan, or with the result in `error`: a path that leads out, a loop. */
bool render_tree_find(struct render_scan *scan, const char *path, const char **ret_path,
                      enum source_type *ret_type, struct error *error);
/* Notes a regular file for the copy and the key; once, however often it is asked. */
void render_tree_add(struct render_scan *scan, const char *path);
/* Everything below a directory. False as render_scan. */
bool render_tree_add_all(struct render_scan *scan, const char *path, struct error *error);
/* Writes the files and links below `directory`, which exists. False if the operating system
 * refuses, or as render_scan. */
bool render_tree_write(struct render_scan *scan, const char *directory, struct error *error);
/* False: it is a pointer of Git LFS in the place of the file, which `name` names. */
bool render_tree_check_content(const char *name, const struct buf *text, struct error *error);
bool render_tree_write_file(const char *path, const struct buf *text, struct error *error);
/* The path of `value` as seen from `directory`, without "." and "..", by names alone (as Kustomize
 * and Helm do it); NULL if that leads out of the root, or is absolute. */
const char *render_tree_join(struct arena *arena, const char *directory, const char *value);

/* ---- kustomize.c ---- */

/* Notes all that the kustomization of the application's directory reads. False as render_scan. */
bool render_kustomize_scan(struct render_scan *scan, struct error *error);

/* ---- overlay.c ---- */

#define RENDER_TREE                                                                                \
    "tree" /* the copy, within the scratch directory; the overlay stands beside it */
/* Whether the spec adds anything to what is built. */
bool render_overlay_is_wanted(const struct render_scan *scan);
/* The components that it adds, relative to the application's directory; NULL after the last. */
const char *render_overlay_component(const struct render_scan *scan, size_t index);
/* The kustomization, as JSON. False if the buffer overflowed. */
bool render_overlay_write(struct render_scan *scan, struct buf *out);

/* ---- helm.c ---- */

/* Notes the chart's files and the values files. False as render_scan. */
bool render_helm_scan(struct render_scan *scan, struct error *error);
/* Whether the chart's values are read from it. */
bool render_helm_is_values(const struct render_scan *scan, const char *path);
bool render_helm_begin(struct render_job *job, struct event_base *loop, struct error *error);

/* ---- generator.c ---- */

/* Notes the files of the application, and what it includes. False as render_scan. */
bool render_generator_scan(struct render_scan *scan, struct error *error);
bool render_generator_begin(struct render_job *job, struct event_base *loop, struct error *error);

/* ---- values.c ---- */

/* The values beside those in files; NULL with an error that names the source. */
cJSON *render_values_merge(const struct render_scan *scan, struct error *error);

/* ---- build.c ---- */

struct render_job {
    struct render_scan *scan;
    const struct render_sink *sink;
    struct render_hiding hiding;
    char *scratch; /* holds the copy, and what stands beside it */
    char *tree;    /* the copy of the files */
    int64_t timeout_ms;
    int64_t memory_maximum;
    struct child *child; /* NULL before and after */
    bool done;
    const char *name; /* of the program */
    /* Of a generator; while the job begins. NULL: the program is looked for by its name, and reads
     * nothing but the copy, in whose directory it starts. */
    const char *program;
    const char *const *paths;       /* more that it reads and executes, ended by NULL */
    const char *const *environment; /* beside what all have, ended by NULL */
    char *directory;                /* in which it starts */
    struct buf input;               /* what it reads from its standard input */
    /* Writes what the program reads beside the copy; NULL: nothing. */
    bool (*prepare)(struct render_job *job, struct error *error);
    /* What it answered; NULL: objects and nothing else. */
    void (*take)(const struct render_job *job, const char *output, size_t size);
    /* Why it failed, in its own words; NULL: that is told of the kustomization or chart. */
    void (*fail)(const struct render_job *job, const char *message);
};

/* Copies the files, prepares, and starts the program in the copy, with `argv`, whose first is
 * filled in. False if the operating system refuses, or as render_scan; all other failures are told
 * to the sink, and the job is done. */
bool render_job_begin(struct render_job *job, const char **argv, struct event_base *loop,
                      struct error *error);

#endif
