#include "fetcher/pack.h"

#include "common/base/map.h"
#include "common/base/memory.h"
#include "fetcher/mirror.h"

/* Deeper nesting than any file system has; trees may nest without end. */
#define DEPTH_MAXIMUM 256
#define OBJECTS_MAXIMUM ((size_t)2000000)
#define HAVES_MAXIMUM 64

struct packing {
    const struct pack_request *request;
    git_repository *repository;
    git_packbuilder *builder;
    /* Trees that were walked. One that stands at many paths is walked once: sixteen levels of
     * sixteen equal entries would be 16^16 visits. Whatever it holds is then in the pack, or at
     * the first path in a have. */
    struct map walked;
    bool (*write)(const void *data, size_t size, void *context, struct error *error);
    void *context;
    uint64_t written;
    enum fetch_reason reason;
    struct error *error;
};

static bool fail_git(struct packing *packing, const char *doing)
{
    packing->reason = FETCH_BROKEN_MIRROR;
    return mirror_git_error(packing->error, doing);
}

static bool fail_limit(struct packing *packing, const char *what)
{
    packing->reason = FETCH_TOO_LARGE;
    return error_set(packing->error, ERROR_LIMIT, "commit %s %s", packing->request->want, what);
}

static bool insert(struct packing *packing, const git_oid *id, const char *name)
{
    if (git_packbuilder_object_count(packing->builder) >= OBJECTS_MAXIMUM) {
        return fail_limit(packing, "has more than 2,000,000 files and directories");
    }
    return git_packbuilder_insert(packing->builder, id, name) == 0 ||
           fail_git(packing, "cannot pack an object");
}

/* Marks the tree; true if it was marked before. */
static bool mark_walked(struct packing *packing, const git_oid *id)
{
    char hex[GIT_OID_SHA1_HEXSIZE + 1];
    git_oid_tostr(hex, sizeof hex, id);
    if (map_has(&packing->walked, hex)) {
        return true;
    }
    map_set(&packing->walked, hex, packing);
    return false;
}

/* The trees at one path, of those haves that have one there. */
struct beside {
    git_tree *trees[HAVES_MAXIMUM];
    size_t count;
};

static void beside_release(struct beside *beside)
{
    for (size_t i = 0; i < beside->count; i++) {
        git_tree_free(beside->trees[i]);
    }
    beside->count = 0;
}
#define AUTO_BESIDE __attribute__((cleanup(beside_release)))

static bool stands_beside(const struct beside *beside, const char *name, const git_oid *id)
{
    for (size_t i = 0; i < beside->count; i++) {
        const git_tree_entry *entry = git_tree_entry_byname(beside->trees[i], name);
        if (entry && git_oid_equal(git_tree_entry_id(entry), id)) {
            return true;
        }
    }
    return false;
}

/* The subtrees `name` of the trees beside. One that cannot be read is as one that is not there. */
static void descend(struct packing *packing, const struct beside *beside, const char *name,
                    struct beside *ret)
{
    for (size_t i = 0; i < beside->count; i++) {
        const git_tree_entry *entry = git_tree_entry_byname(beside->trees[i], name);
        if (entry && git_tree_entry_type(entry) == GIT_OBJECT_TREE &&
            git_tree_lookup(&ret->trees[ret->count], packing->repository,
                            git_tree_entry_id(entry)) == 0) {
            ret->count++;
        }
    }
}

static bool walk(struct packing *packing, const git_oid *id, const char *name,
                 const struct beside *beside, unsigned depth);

static bool walk_entry(struct packing *packing, const git_tree_entry *entry,
                       const struct beside *beside, unsigned depth)
{
    const git_oid *id = git_tree_entry_id(entry);
    const char *name = git_tree_entry_name(entry);
    git_object_t type = git_tree_entry_type(entry);
    if (type == GIT_OBJECT_COMMIT || stands_beside(beside, name, id)) {
        return true; /* a submodule is a commit of another repository */
    }
    if (type != GIT_OBJECT_TREE) {
        return insert(packing, id, name);
    }
    struct beside below AUTO_BESIDE = {.count = 0};
    descend(packing, beside, name, &below);
    return walk(packing, id, name, &below, depth + 1);
}

static bool walk(struct packing *packing, const git_oid *id, const char *name,
                 const struct beside *beside, unsigned depth)
{
    if (depth > DEPTH_MAXIMUM) {
        return fail_limit(packing, "has directories nested more than 256 deep");
    }
    if (mark_walked(packing, id)) {
        return true;
    }
    git_tree *tree = NULL;
    if (git_tree_lookup(&tree, packing->repository, id) < 0) {
        return fail_git(packing, "cannot read a directory of the commit");
    }
    bool walked = insert(packing, id, name);
    for (size_t i = 0; walked && i < git_tree_entrycount(tree); i++) {
        walked = walk_entry(packing, git_tree_entry_byindex(tree, i), beside, depth);
    }
    git_tree_free(tree);
    return walked;
}

static void add_have(struct packing *packing, const char *hex, struct beside *beside)
{
    git_oid id;
    git_commit *commit = NULL;
    if (beside->count < HAVES_MAXIMUM && git_oid_fromstr(&id, hex) == 0 &&
        git_commit_lookup(&commit, packing->repository, &id) == 0 &&
        git_commit_tree(&beside->trees[beside->count], commit) == 0) {
        beside->count++;
    }
    git_commit_free(commit);
}

static bool collect(struct packing *packing)
{
    const struct pack_request *request = packing->request;
    git_oid want;
    git_commit *commit = NULL;
    if (git_oid_fromstr(&want, request->want) < 0 ||
        git_commit_lookup(&commit, packing->repository, &want) < 0) {
        packing->reason = FETCH_COMMIT_NOT_FOUND;
        return error_set(packing->error, ERROR_NOT_FOUND, "commit %.80s is not in the mirror",
                         request->want);
    }
    struct beside beside AUTO_BESIDE = {.count = 0};
    for (size_t i = 0; i < request->have_count; i++) {
        add_have(packing, request->have[i], &beside);
    }
    git_oid root = *git_commit_tree_id(commit);
    git_commit_free(commit);
    bool held = false; /* a revert: the very tree is there already */
    for (size_t i = 0; i < beside.count; i++) {
        held = held || git_oid_equal(git_tree_id(beside.trees[i]), &root);
    }
    return insert(packing, &want, NULL) && (held || walk(packing, &root, "", &beside, 0));
}

static int on_pack_data(void *data, size_t size, void *context)
{
    struct packing *packing = context;
    packing->written += size;
    if (packing->written > packing->request->size_maximum) {
        fail_limit(packing, "is larger than the fetcher takes (--max-repository-size)");
        return GIT_EUSER;
    }
    if (!packing->write(data, size, packing->context, packing->error)) {
        packing->reason = FETCH_FAILED;
        return GIT_EUSER;
    }
    return 0;
}

bool pack_write(const struct pack_request *request,
                bool (*write)(const void *data, size_t size, void *context, struct error *error),
                void *context, enum fetch_reason *ret_reason, struct error *error)
{
    struct packing packing = {
        .request = request, .write = write, .context = context, .error = error};
    AUTO_REPOSITORY git_repository *repository = NULL;
    map_init(&packing.walked);
    bool packed = git_repository_open_bare(&repository, request->directory) == 0 &&
                  git_packbuilder_new(&packing.builder, repository) == 0;
    packing.repository = repository;
    if (!packed) {
        fail_git(&packing, "cannot open the mirror");
    }
    packed = packed && collect(&packing);
    if (packed) {
        int result = git_packbuilder_foreach(packing.builder, on_pack_data, &packing);
        packed = result == 0 ||
                 (packing.reason == FETCH_SUCCEEDED && fail_git(&packing, "cannot write a pack"));
        packed = packed && packing.reason == FETCH_SUCCEEDED;
    }
    git_packbuilder_free(packing.builder);
    map_release(&packing.walked, NULL);
    if (!packed) {
        *ret_reason = packing.reason;
    }
    return packed;
}
