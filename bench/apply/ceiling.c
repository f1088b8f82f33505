/* The ceiling: how fast this API server takes bare server-side apply requests. One pass over a file
 * of requests, a window of them in flight on one HTTP/2 connection, nothing else. It shares no code
 * with Gitmoor, so that both cannot be slow for the same reason.
 *
 * usage: ceiling URL CA-FILE TOKEN REQUESTS-FILE WINDOW
 * The file alternates lines: a path with its query, then the object as JSON. Prints one line of
 * JSON: seconds from the first request to the last answer, how many, how many failed. */
#include "../generator.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <string.h>

#define WINDOW_MAXIMUM 256

struct request {
    char *url;
    char *body;
};

struct slot {
    CURL *handle;
    bool busy;
};

static struct request *read_requests(const char *server, const char *path, size_t *ret_count)
{
    FILE *file = fopen(path, "r");
    struct request *list = NULL;
    char *line;
    size_t count = 0;
    if (!file) {
        die("the file of requests cannot be opened");
    }
    while ((line = read_line(file))) {
        list = realloc(list, (count + 1) * sizeof *list);
        if (!list || asprintf(&list[count].url, "%s%s", server, line) < 0) {
            die("out of memory");
        }
        free(line);
        list[count].body = read_line(file);
        if (!list[count].body) {
            die("a path without a body");
        }
        count++;
    }
    fclose(file);
    *ret_count = count;
    return list;
}

static size_t discard(char *data, size_t size, size_t count, void *context)
{
    (void)data;
    (void)context;
    return size * count;
}

static CURL *make_handle(const char *ca, struct curl_slist *headers)
{
    CURL *handle = curl_easy_init();
    if (!handle) {
        die("no curl handle");
    }
    curl_easy_setopt(handle, CURLOPT_CAINFO, ca);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(handle, CURLOPT_PIPEWAIT, 1L);
    curl_easy_setopt(handle, CURLOPT_CUSTOMREQUEST, "PATCH");
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, discard);
    return handle;
}

static void send_request(CURLM *multi, struct slot *slot, const struct request *request)
{
    curl_easy_setopt(slot->handle, CURLOPT_URL, request->url);
    curl_easy_setopt(slot->handle, CURLOPT_POSTFIELDS, request->body);
    curl_easy_setopt(slot->handle, CURLOPT_PRIVATE, slot);
    slot->busy = true;
    curl_multi_add_handle(multi, slot->handle);
}

/* Takes what has been answered; returns how many answers, and counts failures. */
static size_t take_answers(CURLM *multi, size_t *failed)
{
    size_t answers = 0;
    int left;
    CURLMsg *message;
    while ((message = curl_multi_info_read(multi, &left))) {
        struct slot *slot;
        long status = 0;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&slot);
        curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (message->data.result != CURLE_OK || status >= 300) {
            ++*failed;
        }
        curl_multi_remove_handle(multi, slot->handle);
        slot->busy = false;
        answers++;
    }
    return answers;
}

int main(int argc, char **argv)
{
    static struct slot slots[WINDOW_MAXIMUM];
    if (argc != 6) {
        die("usage: ceiling URL CA-FILE TOKEN REQUESTS-FILE WINDOW");
    }
    size_t window = strtoul(argv[5], NULL, 10);
    if (window < 1 || window > WINDOW_MAXIMUM) {
        die("the window must be between 1 and 256");
    }
    size_t count, next = 0, answered = 0, failed = 0;
    struct request *requests = read_requests(argv[1], argv[4], &count);
    char authorization[4096];
    snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", argv[3]);
    struct curl_slist *headers = curl_slist_append(NULL, authorization);
    headers = curl_slist_append(headers, "Content-Type: application/apply-patch+yaml");
    headers = curl_slist_append(headers, "Accept: application/json");
    CURLM *multi = curl_multi_init();
    curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, 1L);
    for (size_t i = 0; i < window; i++) {
        slots[i].handle = make_handle(argv[2], headers);
    }
    double start = now();
    while (answered < count) {
        for (size_t i = 0; i < window && next < count; i++) {
            if (!slots[i].busy) {
                send_request(multi, &slots[i], &requests[next++]);
            }
        }
        int running;
        curl_multi_perform(multi, &running);
        size_t taken = take_answers(multi, &failed);
        answered += taken;
        if (taken == 0) {
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
        }
    }
    printf("{\"seconds\": %.4f, \"requests\": %zu, \"failed\": %zu}\n", now() - start, count,
           failed);
    return failed ? 1 : 0;
}
