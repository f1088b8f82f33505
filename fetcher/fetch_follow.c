/* What spec.ref means: a branch, a tag, the highest tag of a range, a reference by its full name, a
 * commit, or the default branch. */
#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/fetch_internal.h"
#include "fetcher/versions.h"

#include <stdio.h>
#include <string.h>

static bool connect_remote(struct fetch *fetch)
{
    if (git_remote_create_anonymous(&fetch->remote, fetch->repository, fetch->request->url) < 0) {
        return fetch_fail_git(fetch);
    }
    if (git_remote_connect(fetch->remote, GIT_DIRECTION_FETCH, &fetch->options.callbacks, NULL,
                           NULL) == 0) {
        return true;
    }
    if (fetch->transport.reason == FETCH_SUCCEEDED &&
        text_has_prefix(fetch->request->url, "file://")) {
        return fetch_fail(fetch, FETCH_REPOSITORY_NOT_FOUND, ERROR_NOT_FOUND,
                          "there is no Git repository at %s. Check spec.url", fetch->request->url);
    }
    return fetch_fail_git(fetch);
}

/* Whether the mirror has the commit with its root tree. */
static bool has_commit(struct fetch *fetch, const git_oid *id)
{
    git_commit *commit = NULL;
    git_tree *tree = NULL;
    bool has = git_commit_lookup(&commit, fetch->repository, id) == 0 &&
               git_commit_tree(&tree, commit) == 0;
    git_tree_free(tree);
    git_commit_free(commit);
    return has;
}

/* Fetches what the refspecs name and the mirror lacks. */
static bool download(struct fetch *fetch, char **refspecs, size_t count)
{
    git_strarray specs = {refspecs, count};
    return git_remote_download(fetch->remote, &specs, &fetch->options) == 0 ||
           fetch_fail_git(fetch);
}

static bool set_reference(struct fetch *fetch, const git_oid *id)
{
    git_reference *reference = NULL;
    int result = git_reference_create(&reference, fetch->repository, MIRROR_REFERENCE, id, 1, NULL);
    git_reference_free(reference);
    return result == 0 || fetch_fail_git(fetch);
}

/* The object that the server has under `name`, or NULL. */
static const git_oid *advertised(struct fetch *fetch, const char *name)
{
    const git_remote_head **heads = NULL;
    size_t count = 0;
    if (git_remote_ls(&heads, &count, fetch->remote) < 0) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(heads[i]->name, name) == 0) {
            return &heads[i]->oid;
        }
    }
    return NULL;
}

static bool is_empty_remote(struct fetch *fetch)
{
    const git_remote_head **heads = NULL;
    size_t count = 0;
    return git_remote_ls(&heads, &count, fetch->remote) == 0 && count == 0;
}

static bool has_tag(struct fetch *fetch, const git_oid *id)
{
    git_tag *tag = NULL;
    bool has = git_tag_lookup(&tag, fetch->repository, id) == 0;
    git_tag_free(tag);
    return has;
}

/* Brings the full reference name `reference` of the server here, which is at `target` and leads to
 * `commit_id`; *ret_tip is the commit there. */
static bool fetch_reference(struct fetch *fetch, const char *reference, const git_oid *target,
                            const git_oid *commit_id, git_oid *ret_tip)
{
    git_object *object = NULL;
    git_object *commit = NULL;
    AUTO_FREE char *refspec = mem_format("+%s:" MIRROR_REFERENCE, reference);
    bool is_here = has_commit(fetch, commit_id) &&
                   (git_oid_equal(target, commit_id) || has_tag(fetch, target));
    if (!is_here && !download(fetch, &refspec, 1)) {
        return false;
    }
    bool peeled = git_object_lookup(&object, fetch->repository, target, GIT_OBJECT_ANY) == 0 &&
                  git_object_peel(&commit, object, GIT_OBJECT_COMMIT) == 0;
    if (peeled) {
        *ret_tip = *git_object_id(commit);
    }
    git_object_free(commit);
    git_object_free(object);
    if (!peeled) {
        return fetch_fail_git(fetch);
    }
    return has_commit(fetch, ret_tip) ? set_reference(fetch, ret_tip) : fetch_fail_git(fetch);
}

/* ---- Which commit ---- */

static bool follow_branch(struct fetch *fetch, const char *branch, git_oid *ret_tip)
{
    AUTO_FREE char *reference = mem_format("refs/heads/%s", branch);
    const git_oid *target = advertised(fetch, reference);
    if (!target) {
        return fetch_fail(fetch, FETCH_BRANCH_NOT_FOUND, ERROR_NOT_FOUND,
                          "%s has no branch %s. Check spec.ref.branch, or push the branch",
                          fetch->request->url, branch);
    }
    snprintf(fetch->name, sizeof fetch->name, "%s", branch);
    return fetch_reference(fetch, reference, target, target, ret_tip);
}

static bool follow_default(struct fetch *fetch, git_oid *ret_tip)
{
    git_buf name = {0};
    bool found = git_remote_default_branch(&name, fetch->remote) == 0 &&
                 text_has_prefix(name.ptr, "refs/heads/");
    AUTO_FREE char *branch = found ? mem_string(name.ptr + strlen("refs/heads/")) : NULL;
    git_buf_dispose(&name);
    if (!found) {
        return fetch_fail(fetch, FETCH_BRANCH_NOT_FOUND, ERROR_NOT_FOUND,
                          "HEAD of %s names no branch that exists. Name one in spec.ref.branch",
                          fetch->request->url);
    }
    return follow_branch(fetch, branch, ret_tip);
}

static bool follow_tag(struct fetch *fetch, const char *tag, git_oid *ret_tip)
{
    AUTO_FREE char *reference = mem_format("refs/tags/%s", tag);
    const git_oid *target = advertised(fetch, reference);
    if (!target) {
        return fetch_fail(fetch, FETCH_TAG_NOT_FOUND, ERROR_NOT_FOUND,
                          "%s has no tag %s. Check spec.ref.tag, or push the tag",
                          fetch->request->url, tag);
    }
    snprintf(fetch->name, sizeof fetch->name, "%s", tag);
    fetch->is_tag = true;
    AUTO_FREE char *peeled = mem_format("%s^{}", reference); /* advertised for annotated tags */
    const git_oid *commit = advertised(fetch, peeled);
    fetch->tag = *target;
    return fetch_reference(fetch, reference, target, commit ? commit : target, ret_tip);
}

/* The tags that are versions; "refs/tags/v1.4.2^{}" says what an annotated one leads to. */
static void list_tags(struct fetch *fetch, struct versions *ret)
{
    const git_remote_head **heads = NULL;
    size_t count = 0;
    if (git_remote_ls(&heads, &count, fetch->remote) < 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (text_has_prefix(heads[i]->name, "refs/tags/") &&
            !text_has_suffix(heads[i]->name, "^{}")) {
            versions_add(ret, heads[i]->name + strlen("refs/tags/"), NULL);
        }
    }
}

static bool follow_range(struct fetch *fetch, git_oid *ret_tip)
{
    const char *text = fetch->request->semver;
    struct error error;
    struct semver_range *range = semver_range_new(text, &error);
    if (!range) {
        return fetch_fail(fetch, FETCH_INVALID_SPEC, ERROR_INVALID, "spec.ref.semver: %s",
                          error.message);
    }
    struct versions tags AUTO_VERSIONS = {0};
    list_tags(fetch, &tags);
    const struct version *highest = versions_highest(&tags, range);
    AUTO_FREE char *tag = highest ? mem_string(highest->text) : NULL;
    struct buf others AUTO_BUF;
    buf_init(&others, ERROR_MESSAGE_SIZE / 2);
    if (!tag) {
        versions_describe(&tags, range, &others);
    }
    semver_range_free(range);
    if (tag) {
        return follow_tag(fetch, tag, ret_tip);
    }
    return fetch_fail(fetch, FETCH_TAG_NOT_FOUND, ERROR_NOT_FOUND,
                      "%s has no tag that is a version in \"%s\". %s. Check spec.ref.semver, or "
                      "push the tag",
                      fetch->request->url, text, others.data);
}

/* A reference by its full name: refs/pull/1/head. */
static bool follow_name(struct fetch *fetch, const char *name, git_oid *ret_tip)
{
    const git_oid *target = advertised(fetch, name);
    if (!target) {
        return fetch_fail(fetch, FETCH_REFERENCE_NOT_FOUND, ERROR_NOT_FOUND,
                          "%s has no reference %s, or does not show it. Check spec.ref.name",
                          fetch->request->url, name);
    }
    snprintf(fetch->name, sizeof fetch->name, "%s", name);
    AUTO_FREE char *peeled = mem_format("%s^{}", name);
    const git_oid *commit = advertised(fetch, peeled);
    return fetch_reference(fetch, name, target, commit ? commit : target, ret_tip);
}

/* A server need not hand out a commit by its name: then everything is fetched, once. */
static bool fetch_commit_alone(struct fetch *fetch, const git_oid *id)
{
    const char *commit = fetch->request->commit;
    AUTO_FREE char *exact = mem_format("+%s:" MIRROR_REFERENCE, commit);
    git_strarray one = {&exact, 1};
    if (git_remote_download(fetch->remote, &one, &fetch->options) < 0) {
        const git_error *last = git_error_last();
        const char *why = last && last->message ? last->message : "";
        if (fetch->transport.reason != FETCH_SUCCEEDED) {
            return fetch_fail_git(fetch);
        }
        if (strstr(why, "cannot fetch a specific object")) {
            char heads[] = "+refs/heads/*:refs/fetched/*", tags[] = "+refs/tags/*:refs/fetched/*";
            char *all[] = {heads, tags};
            if (!download(fetch, all, 2)) {
                return false;
            }
        }
    }
    if (!has_commit(fetch, id)) {
        return fetch_fail(fetch, FETCH_COMMIT_NOT_FOUND, ERROR_NOT_FOUND,
                          "%s has no commit %s. Check spec.ref.commit, or push it to a branch",
                          fetch->request->url, commit);
    }
    return set_reference(fetch, id);
}

/* The commit must be the tip, or, on a branch, an ancestor of it. */
static bool check_commit_on(struct fetch *fetch, const git_oid *id, const git_oid *tip)
{
    const struct fetch_request *request = fetch->request;
    if (git_oid_equal(id, tip) ||
        (!fetch->is_tag && git_graph_descendant_of(fetch->repository, tip, id) == 1)) {
        return true;
    }
    if (fetch->is_tag) {
        char hex[FETCH_COMMIT_SIZE];
        git_oid_tostr(hex, sizeof hex, tip);
        return fetch_fail(fetch, FETCH_COMMIT_NOT_FOUND, ERROR_NOT_FOUND,
                          "tag %s of %s is at commit %s, not at %s. Check spec.ref", fetch->name,
                          request->url, hex, request->commit);
    }
    return fetch_fail(fetch, FETCH_COMMIT_NOT_FOUND, ERROR_NOT_FOUND,
                      "commit %s is not on %s of %s. Check spec.ref", request->commit, fetch->name,
                      request->url);
}

/* Names come from the spec: what is no name of Git's would be a pattern or worse in a refspec.
 * `where`: "refs/heads/", or "" for a name that is whole. */
static bool check_name(struct fetch *fetch, const char *field, const char *where, const char *name)
{
    int valid = 0;
    AUTO_FREE char *reference = name ? mem_format("%s%s", where, name) : NULL;
    if (!name || (git_reference_name_is_valid(&valid, reference) == 0 && valid &&
                  strlen(name) <= 255 && text_has_prefix(reference, "refs/"))) {
        return true;
    }
    return fetch_fail(fetch, FETCH_INVALID_SPEC, ERROR_INVALID,
                      "%s \"%.80s\" is not a name that Git allows", field, name);
}

static bool check_names(struct fetch *fetch, git_oid *ret_commit)
{
    const struct fetch_request *request = fetch->request;
    const char *commit = request->commit;
    if (request->verify_tag && !request->tag && !request->semver) {
        return fetch_fail(fetch, FETCH_INVALID_SPEC, ERROR_INVALID,
                          "spec.verify.mode wants a signed tag, and spec.ref names no tag");
    }
    if (!check_name(fetch, "spec.ref.branch", "refs/heads/", request->branch) ||
        !check_name(fetch, "spec.ref.tag", "refs/tags/", request->tag) ||
        !check_name(fetch, "spec.ref.name", "", request->name)) {
        return false;
    }
    if (commit && strlen(commit) == 64) {
        return fetch_fail(
            fetch, FETCH_UNSUPPORTED_FORMAT, ERROR_INVALID,
            "spec.ref.commit is a SHA-256 id, and repositories of that object format are "
            "not supported. Use one of object format SHA-1");
    }
    if (commit && (strlen(commit) != 40 || git_oid_fromstr(ret_commit, commit) < 0)) {
        return fetch_fail(fetch, FETCH_INVALID_SPEC, ERROR_INVALID,
                          "spec.ref.commit \"%.80s\" is not a commit id of 40 hex digits", commit);
    }
    return true;
}

bool fetch_follow(struct fetch *fetch)
{
    const struct fetch_request *request = fetch->request;
    git_oid wanted = {0};
    if (!check_names(fetch, &wanted)) {
        return false;
    }
    bool pinned = request->commit != NULL;
    bool alone = pinned && !request->branch && !request->tag && !request->semver && !request->name;
    fetch->commit = wanted;
    if (alone && has_commit(fetch, &wanted)) {
        return true; /* a commit never changes: nothing to ask the server for */
    }
    if (!connect_remote(fetch)) {
        return false;
    }
    if (is_empty_remote(fetch)) {
        return fetch_fail(fetch, FETCH_EMPTY_REPOSITORY, ERROR_NOT_FOUND,
                          "%s is empty. Push a first commit", request->url);
    }
    if (alone) {
        return fetch_commit_alone(fetch, &wanted);
    }
    git_oid tip;
    bool found = request->name     ? follow_name(fetch, request->name, &tip)
                 : request->semver ? follow_range(fetch, &tip)
                 : request->branch ? follow_branch(fetch, request->branch, &tip)
                 : request->tag    ? follow_tag(fetch, request->tag, &tip)
                                   : follow_default(fetch, &tip);
    if (!found || (pinned && !check_commit_on(fetch, &wanted, &tip))) {
        return false;
    }
    fetch->commit = pinned ? wanted : tip;
    return true;
}
