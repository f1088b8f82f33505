#include "fetcher/fetch.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/mirror.h"
#include "fetcher/transport_http.h"
#include "fetcher/transport_ssh.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* So many packs are merged into one after a fetch. */
#define PACKS_MAXIMUM 32

/* A fetch under way. The transport is first: libgit2 hands one pointer to all callbacks. */
struct fetch {
    struct transport transport;
    const struct fetch_request *request;
    git_repository *repository;
    git_remote *remote;
    git_fetch_options options;
    bool was_empty; /* the mirror held nothing: no use in trying with a new one */
    uint64_t size_before;
    char name[256]; /* branch or tag, "" for a commit alone */
    git_oid commit;
    git_oid tag; /* the object that the tag names: an annotated tag, or the commit itself */
    enum fetch_reason reason;
    struct error *error;
};

static bool fail(struct fetch *fetch, enum fetch_reason reason, enum error_code code,
                 const char *format, ...) __attribute__((format(printf, 4, 5)));
static bool fail(struct fetch *fetch, enum fetch_reason reason, enum error_code code,
                 const char *format, ...)
{
    char message[ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fetch->reason = reason;
    return error_set(fetch->error, code, "%s", message);
}

/* libgit2 has failed: by the transport, which knows better why, or by itself. */
static bool fail_git(struct fetch *fetch)
{
    const struct transport *transport = &fetch->transport;
    if (transport->reason != FETCH_SUCCEEDED) {
        fetch->reason = transport->reason;
        *fetch->error = transport->error;
        return false;
    }
    const git_error *last = git_error_last();
    const char *why = last && last->message ? last->message : "libgit2 gave no reason";
    if (strstr(why, "object format") || strstr(why, "object-format")) {
        return fail(fetch, FETCH_UNSUPPORTED_FORMAT, ERROR_INVALID,
                    "%s has objects of a format that is not supported: %s. Use a repository of "
                    "object format SHA-1",
                    fetch->request->url, why);
    }
    return fail(fetch, FETCH_FAILED, ERROR_UNAVAILABLE, "cannot fetch %s: %s", fetch->request->url,
                why);
}

/* ---- The URL ---- */

static bool refuse_url(enum fetch_reason *ret_reason, struct error *error, const char *format,
                       const char *url)
{
    *ret_reason = FETCH_UNSUPPORTED_URL;
    return error_set(error, ERROR_INVALID, format, url);
}

bool fetch_check_url(const char *url, bool allow_file_urls, enum fetch_reason *ret_reason,
                     struct error *error)
{
    if (text_has_prefix(url, "ssh://")) {
        struct ssh_address address;
        *ret_reason = FETCH_UNSUPPORTED_URL;
        bool parsed = ssh_address_parse(url, &address, error);
        ssh_address_release(&address);
        return parsed;
    }
    if (text_has_prefix(url, "file://")) {
        return allow_file_urls ||
               refuse_url(ret_reason, error,
                          "%s: file URLs are for development and are off. Use https, or start the "
                          "fetcher with --allow-file-urls",
                          url);
    }
    if (!text_has_prefix(url, "https://")) {
        return refuse_url(ret_reason, error, "%s: the URL must begin with https:// or ssh://", url);
    }
    const char *host = url + strlen("https://");
    size_t authority = strcspn(host, "/?#");
    if (memchr(host, '@', authority)) {
        /* The URL itself would tell the password. */
        return refuse_url(ret_reason, error,
                          "spec.url holds credentials%s. Take them out and put username and "
                          "password into the Secret of spec.secretRef: a URL is shown to everybody",
                          "");
    }
    if (authority == 0 || strpbrk(url, "?#") || strpbrk(url, " \t\r\n")) {
        return refuse_url(ret_reason, error,
                          "%s: the URL must be https://HOST/PATH without a query or blanks", url);
    }
    return true;
}

/* ---- Talking to the server ---- */

static int on_progress(const git_indexer_progress *progress, void *context)
{
    struct fetch *fetch = context;
    struct transport *transport = &fetch->transport;
    if (transport->reason != FETCH_SUCCEEDED) {
        return -1;
    }
    if (progress->received_bytes > transport->receive_maximum) {
        return transport_fail(transport, FETCH_TOO_LARGE, ERROR_LIMIT,
                              "%s is larger than the fetcher takes (--max-repository-size); raise "
                              "the limit or make the repository smaller",
                              fetch->request->url);
    }
    if (clock_monotonic_ms() > transport->deadline_ms) {
        return transport_fail_timeout(transport);
    }
    return 0;
}

static void prepare(struct fetch *fetch)
{
    const struct fetch_request *request = fetch->request;
    fetch->size_before = mirror_size(request->directory);
    fetch->transport = (struct transport){
        .url = request->url,
        .username = request->username,
        .password = request->password,
        .bearer_token = request->bearer_token,
        .authorities = request->authorities,
        .identity = request->identity,
        .known_hosts = request->known_hosts,
        .receive_maximum = request->size_maximum > fetch->size_before
                               ? request->size_maximum - fetch->size_before
                               : 0,
        .deadline_ms = clock_monotonic_ms() + request->timeout_ms,
    };
    git_fetch_options_init(&fetch->options, GIT_FETCH_OPTIONS_VERSION);
    fetch->options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    fetch->options.callbacks.transfer_progress = on_progress;
    fetch->options.callbacks.payload = fetch;
    if (text_has_prefix(request->url, "https://")) {
        fetch->options.callbacks.transport = http_transport_new;
    } else if (text_has_prefix(request->url, "ssh://")) {
        fetch->options.callbacks.transport = ssh_transport_new;
    }
}

static bool connect_remote(struct fetch *fetch)
{
    if (git_remote_create_anonymous(&fetch->remote, fetch->repository, fetch->request->url) < 0) {
        return fail_git(fetch);
    }
    if (git_remote_connect(fetch->remote, GIT_DIRECTION_FETCH, &fetch->options.callbacks, NULL,
                           NULL) == 0) {
        return true;
    }
    if (fetch->transport.reason == FETCH_SUCCEEDED &&
        text_has_prefix(fetch->request->url, "file://")) {
        return fail(fetch, FETCH_REPOSITORY_NOT_FOUND, ERROR_NOT_FOUND,
                    "there is no Git repository at %s. Check spec.url", fetch->request->url);
    }
    return fail_git(fetch);
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
    return git_remote_download(fetch->remote, &specs, &fetch->options) == 0 || fail_git(fetch);
}

static bool set_reference(struct fetch *fetch, const git_oid *id)
{
    git_reference *reference = NULL;
    int result = git_reference_create(&reference, fetch->repository, MIRROR_REFERENCE, id, 1, NULL);
    git_reference_free(reference);
    return result == 0 || fail_git(fetch);
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
        return fail_git(fetch);
    }
    return has_commit(fetch, ret_tip) ? set_reference(fetch, ret_tip) : fail_git(fetch);
}

/* ---- Which commit ---- */

static bool follow_branch(struct fetch *fetch, const char *branch, git_oid *ret_tip)
{
    AUTO_FREE char *reference = mem_format("refs/heads/%s", branch);
    const git_oid *target = advertised(fetch, reference);
    if (!target) {
        return fail(fetch, FETCH_BRANCH_NOT_FOUND, ERROR_NOT_FOUND,
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
        return fail(fetch, FETCH_BRANCH_NOT_FOUND, ERROR_NOT_FOUND,
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
        return fail(fetch, FETCH_TAG_NOT_FOUND, ERROR_NOT_FOUND,
                    "%s has no tag %s. Check spec.ref.tag, or push the tag", fetch->request->url,
                    tag);
    }
    snprintf(fetch->name, sizeof fetch->name, "%s", tag);
    AUTO_FREE char *peeled = mem_format("%s^{}", reference); /* advertised for annotated tags */
    const git_oid *commit = advertised(fetch, peeled);
    fetch->tag = *target;
    return fetch_reference(fetch, reference, target, commit ? commit : target, ret_tip);
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
            return fail_git(fetch);
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
        return fail(fetch, FETCH_COMMIT_NOT_FOUND, ERROR_NOT_FOUND,
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
        (!request->tag && git_graph_descendant_of(fetch->repository, tip, id) == 1)) {
        return true;
    }
    if (request->tag) {
        char hex[FETCH_COMMIT_SIZE];
        git_oid_tostr(hex, sizeof hex, tip);
        return fail(fetch, FETCH_COMMIT_NOT_FOUND, ERROR_NOT_FOUND,
                    "tag %s of %s is at commit %s, not at %s. Check spec.ref", request->tag,
                    request->url, hex, request->commit);
    }
    return fail(fetch, FETCH_COMMIT_NOT_FOUND, ERROR_NOT_FOUND,
                "commit %s is not on branch %s of %s. Check spec.ref", request->commit,
                request->branch, request->url);
}

/* Names come from the spec: what is no name of Git's would be a pattern or worse in a refspec. */
static bool check_name(struct fetch *fetch, const char *field, const char *kind, const char *name)
{
    int valid = 0;
    AUTO_FREE char *reference = name ? mem_format("refs/%s/%s", kind, name) : NULL;
    if (!name ||
        (git_reference_name_is_valid(&valid, reference) == 0 && valid && strlen(name) <= 255)) {
        return true;
    }
    return fail(fetch, FETCH_INVALID_SPEC, ERROR_INVALID,
                "%s \"%.80s\" is not a name that Git allows", field, name);
}

static bool check_names(struct fetch *fetch, git_oid *ret_commit)
{
    const struct fetch_request *request = fetch->request;
    const char *commit = request->commit;
    if (request->verify_tag && !request->tag) {
        return fail(fetch, FETCH_INVALID_SPEC, ERROR_INVALID,
                    "spec.verify.mode wants a signed tag, and spec.ref names no tag");
    }
    if (!check_name(fetch, "spec.ref.branch", "heads", request->branch) ||
        !check_name(fetch, "spec.ref.tag", "tags", request->tag)) {
        return false;
    }
    if (commit && strlen(commit) == 64) {
        return fail(fetch, FETCH_UNSUPPORTED_FORMAT, ERROR_INVALID,
                    "spec.ref.commit is a SHA-256 id, and repositories of that object format are "
                    "not supported. Use one of object format SHA-1");
    }
    if (commit && (strlen(commit) != 40 || git_oid_fromstr(ret_commit, commit) < 0)) {
        return fail(fetch, FETCH_INVALID_SPEC, ERROR_INVALID,
                    "spec.ref.commit \"%.80s\" is not a commit id of 40 hex digits", commit);
    }
    return true;
}

static bool follow(struct fetch *fetch)
{
    const struct fetch_request *request = fetch->request;
    git_oid wanted = {0};
    if (!check_names(fetch, &wanted)) {
        return false;
    }
    bool pinned = request->commit != NULL;
    bool alone = pinned && !request->branch && !request->tag;
    fetch->commit = wanted;
    if (alone && has_commit(fetch, &wanted)) {
        return true; /* a commit never changes: nothing to ask the server for */
    }
    if (!connect_remote(fetch)) {
        return false;
    }
    if (is_empty_remote(fetch)) {
        return fail(fetch, FETCH_EMPTY_REPOSITORY, ERROR_NOT_FOUND,
                    "%s is empty. Push a first commit", request->url);
    }
    if (alone) {
        return fetch_commit_alone(fetch, &wanted);
    }
    git_oid tip;
    bool found = request->branch ? follow_branch(fetch, request->branch, &tip)
                 : request->tag  ? follow_tag(fetch, request->tag, &tip)
                                 : follow_default(fetch, &tip);
    if (!found || (pinned && !check_commit_on(fetch, &wanted, &tip))) {
        return false;
    }
    fetch->commit = pinned ? wanted : tip;
    return true;
}

/* Whether the branch was elsewhere before, at a commit that is not in its history now. */
static bool was_forced(struct fetch *fetch)
{
    const char *previous = fetch->request->previous;
    const char *at = previous ? strrchr(previous, '@') : NULL;
    git_oid before;
    if (!at || fetch->request->tag || !text_has_prefix(at, "@sha1:") ||
        (size_t)(at - previous) != strlen(fetch->name) ||
        strncmp(previous, fetch->name, strlen(fetch->name)) != 0 ||
        git_oid_fromstr(&before, at + strlen("@sha1:")) < 0 ||
        git_oid_equal(&before, &fetch->commit)) {
        return false;
    }
    /* Absent is no ancestor either: the whole history is here. */
    return git_graph_descendant_of(fetch->repository, &fetch->commit, &before) != 1;
}

/* ---- Whose it is ---- */

static bool verify_one(struct fetch *fetch, const char *what, const git_oid *id,
                       char signer[VERIFY_SIGNER_SIZE])
{
    struct error why;
    if (verify_object(fetch->repository, id, fetch->request->keys, signer, &why) == VERIFY_SIGNED) {
        return true;
    }
    return fail(
        fetch, FETCH_VERIFICATION_FAILED, ERROR_DENIED,
        "%s of %s is not accepted: %s. What was fetched before stays in force. Sign it with "
        "a key of the Secret of spec.verify, or put the signer's public key there",
        what, fetch->request->url, why.message);
}

static bool verify(struct fetch *fetch, char signer[VERIFY_SIGNER_SIZE])
{
    const struct fetch_request *request = fetch->request;
    if (!request->keys) {
        return true;
    }
    char hex[FETCH_COMMIT_SIZE];
    git_oid_tostr(hex, sizeof hex, &fetch->commit);
    AUTO_FREE char *tag = mem_format("tag %s", text_or_empty(request->tag));
    AUTO_FREE char *commit = mem_format("commit %s", hex);
    return (!request->verify_tag || verify_one(fetch, tag, &fetch->tag, signer)) &&
           (!request->verify_head || verify_one(fetch, commit, &fetch->commit, signer));
}

static void describe(struct fetch *fetch, struct fetch_result *ret)
{
    git_oid_tostr(ret->commit, sizeof ret->commit, &fetch->commit);
    snprintf(ret->revision, sizeof ret->revision, "%s%ssha1:%s", fetch->name,
             fetch->name[0] ? "@" : "", ret->commit);
    ret->forced = was_forced(fetch);
    ret->cloned = fetch->was_empty;
    ret->received_bytes = fetch->remote ? git_remote_stats(fetch->remote)->received_bytes : 0;
}

/* ---- The whole ---- */

/* Opens the mirror. One with packs but without a head that can be read is broken, or its first
 * fetch was killed in its last moment: it is begun anew. */
static bool open_mirror(struct fetch *fetch)
{
    const struct fetch_request *request = fetch->request;
    fetch->reason = FETCH_FAILED;
    if (!mirror_open(request->directory, request->url, &fetch->repository, fetch->error)) {
        return false;
    }
    git_oid head;
    bool has_packs = mirror_pack_count(request->directory) > 0;
    if (has_packs && !mirror_head(fetch->repository, &head)) {
        git_repository_free(fetch->repository);
        fetch->repository = NULL;
        has_packs = false;
        if (!mirror_empty(request->directory, fetch->error) ||
            !mirror_open(request->directory, request->url, &fetch->repository, fetch->error)) {
            return false;
        }
    }
    fetch->was_empty = !has_packs;
    return true;
}

static bool attempt(struct fetch *fetch, struct fetch_result *ret)
{
    const char *directory = fetch->request->directory;
    if (!open_mirror(fetch)) {
        return false;
    }
    prepare(fetch);
    if (!follow(fetch) || !verify(fetch, ret->signer)) {
        return false;
    }
    describe(fetch, ret);
    struct error ignored; /* the packs are merged next time, then */
    if (mirror_pack_count(directory) > PACKS_MAXIMUM) {
        mirror_merge_packs(fetch->repository, directory, &ignored);
    }
    return true;
}

static void release(struct fetch *fetch)
{
    git_remote_free(fetch->remote);
    git_repository_free(fetch->repository);
    fetch->remote = NULL;
    fetch->repository = NULL;
}

/* A failure that a mirror made anew may not have: one of libgit2's own, not of the server or the
 * user, or the limit, which dropping dead history may satisfy. */
static bool may_be_the_mirror(const struct fetch *fetch)
{
    return !fetch->was_empty &&
           (fetch->reason == FETCH_FAILED || fetch->reason == FETCH_TOO_LARGE) &&
           (fetch->transport.reason == FETCH_SUCCEEDED || fetch->reason == FETCH_TOO_LARGE);
}

static bool check_credentials(const struct fetch_request *request, struct error *error)
{
    if (request->authorities && !http_transport_check_authorities(request->authorities, error)) {
        return false;
    }
    if (!text_has_prefix(request->url, "ssh://")) {
        return true;
    }
    if (!request->identity || !request->known_hosts) {
        return error_set(error, ERROR_INVALID,
                         "%s needs a Secret with identity (a private key) and known_hosts (the "
                         "server's keys, as ssh-keyscan prints them), and spec.secretRef that "
                         "names it",
                         request->url);
    }
    return ssh_transport_check_identity(request->identity, error);
}

bool fetch_run(const struct fetch_request *request, struct fetch_result *ret,
               enum fetch_reason *ret_reason, struct error *error)
{
    if (!fetch_check_url(request->url, request->allow_file_urls, ret_reason, error)) {
        return false;
    }
    struct fetch fetch = {.request = request, .error = error, .reason = FETCH_FAILED};
    if (!check_credentials(request, error)) {
        *ret_reason = FETCH_SECRET_INVALID;
        return false;
    }
    struct fetch_result result = {0};
    bool fetched =
        (!request->fresh || mirror_empty(request->directory, error)) && attempt(&fetch, &result);
    if (!fetched && may_be_the_mirror(&fetch)) {
        release(&fetch);
        fetched = mirror_empty(request->directory, error) && attempt(&fetch, &result);
    }
    release(&fetch);
    if (!fetched) {
        *ret_reason = fetch.reason;
        return false;
    }
    *ret = result;
    return true;
}
