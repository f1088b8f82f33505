/* The header lists of requests: who asks (bearer token, impersonation) and in which content types.
 *
 * Identity is where mistakes are expensive, so there is one rule: a request that is to be made as
 * somebody else either says so completely or is not made. An empty name would mean the client's
 * own power (Flux Operator CVE-2026-23990), a line break in it a header of the sender's choice. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/kube/internal.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_MAXIMUM 65536  /* projected tokens are about 1 KiB */
#define TOKEN_CHECK_MS 10000 /* kubelet renews at 80 % of an hour; both tokens are valid then */
#define SETS_MAXIMUM 512     /* identities kept; unused ones go when there are more */
#define KEY_MAXIMUM 8192

static bool read_token(const char *path, char **ret, struct error *error)
{
    AUTO_BUF struct buf text = {0};
    buf_init(&text, TOKEN_MAXIMUM);
    if (!buf_read_file(&text, path, error)) {
        return error_prefix(error, "the bearer token");
    }
    while (text.size && strchr(" \t\r\n", text.data[text.size - 1])) {
        text.size--;
    }
    text.data[text.size] = '\0';
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] == 0x7f) {
            text.size = 0;
        }
    }
    if (text.size == 0) {
        return error_set(error, ERROR_INVALID, "the token file %s holds no bearer token", path);
    }
    *ret = buf_detach(&text);
    return true;
}

static void free_secret(char *secret)
{
    if (secret) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

bool kube_headers_init(struct kube_headers *headers, const struct kube_config *config,
                       struct error *error)
{
    memset(headers, 0, sizeof(*headers));
    map_init(&headers->sets);
    if (config->token_file) {
        headers->token_file = config->token_file;
        headers->token_checked = clock_monotonic_ms();
        return read_token(config->token_file, &headers->token, error);
    }
    headers->token = mem_string(config->token);
    return true;
}

static void set_free(void *value)
{
    struct kube_header_set *set = value;
    if (set->authorization) {
        explicit_bzero(set->authorization->data, strlen(set->authorization->data));
    }
    curl_slist_free_all(set->list);
    free(set);
}

void kube_headers_release(struct kube_headers *headers)
{
    map_release(&headers->sets, set_free);
    free_secret(headers->token);
    headers->token = NULL;
}

/* What names of namespaces and service accounts are made of (RFC 1123), and nothing that could be
 * more than a name. */
static bool is_name(const char *text)
{
    return !text_is_empty(text) && strlen(text) <= 253 &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.")] == '\0';
}

static bool is_header_value(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < ' ' || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool check_person(const struct kube_impersonation *as, struct error *error)
{
    bool valid = *as->user != '\0' && is_header_value(as->user);
    for (const char *const *group = as->groups; group && *group; group++) {
        valid = valid && **group != '\0' && is_header_value(*group);
    }
    return valid || error_set(error, ERROR_INVALID,
                              "cannot act as user \"%.100s\": a header cannot hold the name or a "
                              "group; the request was not sent",
                              as->user);
}

static bool check_account(const struct kube_impersonation *as, struct error *error)
{
    if (!is_name(as->namespace_) || !is_name(as->service_account)) {
        return error_set(error, ERROR_INVALID,
                         "cannot act as service account \"%.100s\" of namespace \"%.100s\": these "
                         "are not names; the request was not sent",
                         text_or_empty(as->service_account), text_or_empty(as->namespace_));
    }
    return true;
}

static bool check_impersonation(const struct kube_impersonation *as, struct error *error)
{
    if (as->user ? !check_person(as, error) : !check_account(as, error)) {
        return false;
    }
    if (as->extra_key && (*as->extra_key == '\0' || text_is_empty(as->extra_value) ||
                          !is_header_value(as->extra_value))) {
        return error_set(error, ERROR_INVALID,
                         "cannot act as %s: the extra \"%.100s\" has no value that a header can "
                         "hold; the request was not sent",
                         as->user ? as->user : as->service_account, as->extra_key);
    }
    return true;
}

/* Appends "<name>: <value>" to the list and returns its last node. */
static struct curl_slist *add(struct curl_slist *list, struct buf *line, const char *name,
                              const char *value)
{
    buf_clear(line);
    buf_append_string(line, name);
    buf_append_string(line, ": ");
    buf_append_string(line, value);
    return curl_slist_append(list, line->data);
}

static struct curl_slist *add_extra(struct curl_slist *list, struct buf *line,
                                    const struct kube_impersonation *as)
{
    if (as->extra_key) {
        buf_clear(line);
        buf_append_string(line, "Impersonate-Extra-");
        buf_append_percent(line, as->extra_key);
        buf_append_string(line, ": ");
        buf_append_string(line, as->extra_value);
        list = curl_slist_append(list, line->data);
    }
    return list;
}

static struct curl_slist *add_impersonation(struct curl_slist *list, struct buf *line,
                                            const struct kube_impersonation *as)
{
    if (as->user) {
        list = add(list, line, "Impersonate-User", as->user);
        for (const char *const *group = as->groups; group && *group; group++) {
            list = add(list, line, "Impersonate-Group", *group);
        }
        return add_extra(list, line, as);
    }
    /* No Impersonate-Group: then the server adds the groups of service accounts by itself. */
    buf_clear(line);
    buf_append_format(line, "Impersonate-User: system:serviceaccount:%s:%s", as->namespace_,
                      as->service_account);
    list = curl_slist_append(list, line->data);
    return add_extra(list, line, as);
}

static struct kube_header_set *make_set(const struct kube_headers *headers, const char *type,
                                        const char *accept, const struct kube_impersonation *as)
{
    struct kube_header_set *set = NEW(struct kube_header_set);
    AUTO_BUF struct buf line = {0};
    buf_init(&line, TOKEN_MAXIMUM + KEY_MAXIMUM);
    if (headers->token) {
        buf_append_string(&line, "Authorization: Bearer ");
        buf_append_string(&line, headers->token);
        set->list = curl_slist_append(NULL, line.data);
        set->authorization = set->list;
    }
    set->list = add(set->list, &line, "Accept", accept);
    set->list = add(set->list, &line, "Content-Type", type);
    set->list = curl_slist_append(set->list, "Expect:"); /* else large bodies wait for a 100 */
    if (as) {
        set->list = add_impersonation(set->list, &line, as);
    }
    explicit_bzero(line.data, line.capacity);
    return set;
}

/* Forgets the sets that no call uses now. */
static void shrink(struct kube_headers *headers)
{
    struct map kept;
    map_init(&kept);
    for (struct map_slot *slot = map_first(&headers->sets); slot;
         slot = map_next(&headers->sets, slot)) {
        struct kube_header_set *set = slot->value;
        if (set->users) {
            map_set(&kept, slot->key, set);
        } else {
            set_free(set);
        }
    }
    map_release(&headers->sets, NULL);
    headers->sets = kept;
}

/* What sets of headers are told apart by: no header holds a line break. */
static void append_key(struct buf *out, const char *type, const char *accept,
                       const struct kube_impersonation *as)
{
    buf_append_format(out, "%s\n%s", type, accept);
    if (as) {
        buf_append_format(out, "\n%s\n%s\n%s\n%s\n%s", text_or_empty(as->namespace_),
                          text_or_empty(as->service_account), text_or_empty(as->extra_key),
                          text_or_empty(as->extra_value), text_or_empty(as->user));
    }
    for (const char *const *group = as ? as->groups : NULL; group && *group; group++) {
        buf_append_format(out, "\n%s", *group);
    }
}

bool kube_headers_get(struct kube_headers *headers, const struct kube_request *request,
                      struct kube_header_set **ret, struct error *error)
{
    const char *type = request->content_type ? request->content_type : "application/json";
    const char *accept = request->accept ? request->accept : "application/json";
    const struct kube_impersonation *as = request->as;
    if (as && !check_impersonation(as, error)) {
        return false;
    }
    AUTO_BUF struct buf key = {0};
    buf_init(&key, KEY_MAXIMUM);
    append_key(&key, type, accept, as);
    if (key.overflowed) {
        return error_set(error, ERROR_LIMIT,
                         "the headers of a request are over %d bytes; the request was not sent",
                         KEY_MAXIMUM);
    }
    struct kube_header_set *set = map_get(&headers->sets, key.data);
    if (!set) {
        if (headers->sets.count >= SETS_MAXIMUM) {
            shrink(headers);
        }
        set = make_set(headers, type, accept, as);
        map_set(&headers->sets, key.data, set);
    }
    set->users++;
    *ret = set;
    return true;
}

void kube_headers_put(struct kube_header_set *set)
{
    set->users--;
}

bool kube_headers_refresh(struct kube_headers *headers, bool now)
{
    int64_t time = clock_monotonic_ms();
    char *token = NULL;
    if (!headers->token_file || (!now && time - headers->token_checked < TOKEN_CHECK_MS)) {
        return false;
    }
    headers->token_checked = time;
    if (!read_token(headers->token_file, &token, NULL)) {
        return false; /* being replaced just now: the one we have is valid for a while */
    }
    if (text_equal(token, headers->token)) {
        free_secret(token);
        return false;
    }
    free_secret(headers->token);
    headers->token = token;
    /* libcurl reads the lists when it sends, and does so in this thread: the lines are replaced
     * in place, for the calls that wait for another try too. */
    for (struct map_slot *slot = map_first(&headers->sets); slot;
         slot = map_next(&headers->sets, slot)) {
        struct kube_header_set *set = slot->value;
        if (set->authorization) {
            free_secret(set->authorization->data);
            set->authorization->data = mem_format("Authorization: Bearer %s", token);
        }
    }
    return true;
}
