/* From a directory of manifests to objects: plain YAML and JSON, or what Kustomize or
 * Helm builds of it.
 *
 * Two steps. The scan walks names and ids (and reads kustomizations): which files are read, and the
 * render key, a digest over the ids of everything that the render depends on. Same key, same
 * result, nothing to do. The render then reads the files and hands out their objects.
 *
 * What counts as a plain manifest: *.yaml, *.yml and *.json below the path, in byte order of their
 * full paths, save for what .sourceignore and its defaults exclude. Symbolic links are followed
 * inside the source's root; a file reached through one goes by the name it was reached by. */
#ifndef GITMOOR_DIFFER_RENDER_RENDER_H
#define GITMOOR_DIFFER_RENDER_RENDER_H

#include "common/base/digest.h"
#include "common/data/json.h"
#include "differ/render/source.h"

/* Of one application. A file is bounded by what etcd and the YAML reader take anyway; the sums are
 * ten times what the largest applications known to us have. */
#define RENDER_FILE_MAXIMUM ((size_t)8 << 20)   /* bytes of one file */
#define RENDER_TOTAL_MAXIMUM ((size_t)64 << 20) /* bytes of all files */
#define RENDER_FILES_MAXIMUM 20000
#define RENDER_DIRECTORIES_MAXIMUM 10000 /* visited, each time a link leads there again too */
#define RENDER_DEPTH_MAXIMUM 64          /* of directories */
#define RENDER_OBJECTS_MAXIMUM 50000
#define RENDER_ERRORS_MAXIMUM 100 /* reported; then the render stops */

enum render_type { RENDER_PLAIN, RENDER_KUSTOMIZE, RENDER_HELM, RENDER_GENERATOR };

/* Told of all that the render key covers, in its order, during the scan. */
struct render_explainer {
    /* The id of what is at a path of the source, "" if nothing is: a file, a link, or a directory
     * with everything below it. */
    void (*path)(const char *path, const char *id, void *context);
    /* Whatever else; `what` says what it is. May be secret, except RENDER_SETTING_… */
    void (*setting)(const char *what, const char *text, void *context);
    void *context;
};
#define RENDER_SETTING_PROGRAM "program"
#define RENDER_SETTING_PATH "path"
#define RENDER_SETTING_RELEASE "release"
#define RENDER_SETTING_NAMESPACE "namespace of the release"
#define RENDER_SETTING_TARGET "spec.targetNamespace"
#define RENDER_SETTING_KUBERNETES "Kubernetes version"
#define RENDER_SETTING_APIS "API versions"
#define RENDER_SETTING_SPEC "spec.render"
#define RENDER_SETTING_GENERATOR "generator" /* as the operator defines it */
#define RENDER_SETTING_VARIABLE "variable"   /* its name; the value follows, as "value" */

/* Strings and trees are the caller's, and outlive the scan. */
struct render_options {
    const char *path;             /* within the source; "", "." and "./a/" are understood */
    const char *revision;         /* named in messages, or NULL */
    const cJSON *spec;            /* spec.render of the Application, or NULL: all by default */
    const char *target_namespace; /* spec.targetNamespace, or NULL */
    /* For charts. */
    const char *name, *namespace_; /* of the Application; NULL: "release", "default" */
    const char *kube_version;      /* "v1.35.4"; NULL: Helm's own default */
    const char *api_versions; /* "apps/v1,apps/v1/Deployment,…"; NULL: Helm's defaults alone */
    const cJSON *values;      /* the sources of valuesFrom, in order: [{"from": how it is named to
                               * people,      "text": YAML}] */
    /* For ${…}: an object of strings; NULL: nothing is substituted. */
    const cJSON *variables;
    /* The keys for what SOPS has encrypted: {"from": how they are named to people, "age": {name:
     * text}, "pgp": {name: text}}; NULL: nothing is decrypted. */
    const cJSON *decryption;
    cJSON *plaintext;        /* an array, to which each decrypted value is added; NULL: none is */
    const cJSON *generators; /* as generators.h has them; NULL: none are allowed */
    const struct render_explainer *explainer; /* NULL: nobody asks */
};

/* Where and within which limits another program may build. */
struct render_builder {
    const char *scratch;    /* a directory that is made and removed */
    int64_t timeout_ms;     /* of one application */
    int64_t memory_maximum; /* bytes; 0: none */
    /* A directory of this application alone, below one that is in memory (tmpfs), for what has been
     * decrypted: made and removed. NULL: there is none, and why. */
    const char *memory;
    const char *memory_problem;
};

#define RENDER_TIMEOUT_MS 60000 /* for the command line */
#define RENDER_MEMORY_MAXIMUM ((int64_t)1 << 30)

struct render_scan;

/* False only for failures that are not of the files: an object that the database lacks, damage,
 * an error of the operating system. What is wrong with the tree (no such path, a link that leads
 * out, …) is kept in the scan, and told by render_plain. */
bool render_scan(struct source *source, const struct render_options *options,
                 struct render_scan **ret, struct error *error);
/* Whether another program is to build it, as the spec or the directory's files say. */
bool render_scan_is_built(const struct render_scan *scan);
bool render_scan_is_chart(const struct render_scan *scan);
void render_scan_free(struct render_scan *scan);
void render_scan_cleanup(struct render_scan **scan);
#define AUTO_SCAN __attribute__((cleanup(render_scan_cleanup)))

/* The render key; false if the source keeps no ids. */
bool render_scan_key(const struct render_scan *scan, struct digest *ret);

struct render_sink {
    /* Takes the object. `line` is where its document starts. */
    void (*object)(cJSON *object, const char *file, unsigned line, void *context);
    /* `line` is 0 if none can be named. At most RENDER_ERRORS_MAXIMUM times. */
    void (*error)(const char *file, unsigned line, const char *message, void *context);
    void *context;
};

/* A build by another program: begins, goes on while `loop` runs, and tells the sink; scan and sink
 * outlive it. NULL as render_scan is false. Only if the scan is to be built. */
struct event_base;
struct render_job;
struct render_job *render_job_start(struct render_scan *scan, const struct render_builder *builder,
                                    const struct render_sink *sink, struct event_base *loop,
                                    struct error *error);
bool render_job_is_done(const struct render_job *job);
void render_job_free(struct render_job *job); /* ends what is not done; NULL is fine */

/* Decrypts what SOPS has encrypted among the files, before they are rendered or built, while `loop`
 * runs; what cannot be decrypted is told. False as render_scan. */
bool render_decrypt(struct render_scan *scan, const struct render_builder *builder,
                    const struct render_sink *sink, struct event_base *loop, struct error *error);

/* Decrypts, reads the files of the scan or has them built, and waits for that. False as
 * render_scan.
 */
bool render_run(struct source *source, struct render_scan *scan,
                const struct render_builder *builder, const struct render_sink *sink,
                struct error *error);
/* The programs that build, ended by NULL. A sandbox must leave them executable. */
extern const char *const render_programs[];
/* Of plain manifests. */
bool render_plain(struct source *source, const struct render_scan *scan,
                  const struct render_sink *sink, struct error *error);

/* The same for a text that is already there: all of the application of the scan, whose variables
 * are substituted (NULL: none). */
bool render_text(const char *text, size_t size, const char *file, const struct render_scan *scan,
                 const struct render_sink *sink);

/* The file that makes a directory something else than plain manifests (kustomization.yaml,
 * Chart.yaml, …), among its entries; NULL if none does. */
const char *render_find_builder(const struct source_entry *entries, size_t count,
                                enum render_type *ret_type);

/* ---- Between the two steps ---- */
struct render_item {
    const char *file;    /* as it is named to people */
    const char *path;    /* in the source, all but the last name resolved */
    const char *problem; /* instead of a file to read: what is wrong with it */
    unsigned line;       /* of the problem; 0: none */
    const char *target;  /* of a symbolic link that a build follows; NULL for a file */
};
const struct render_item *render_scan_items(const struct render_scan *scan, size_t *ret_count);

#endif
