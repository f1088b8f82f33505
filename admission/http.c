#include "admission/http.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

struct span {
    const char *data;
    size_t size;
};

static bool span_is(struct span span, const char *text)
{
    return span.size == strlen(text) && strncasecmp(span.data, text, span.size) == 0;
}

const char *http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {200, "OK"},
        {400, "Bad Request"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {411, "Length Required"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {431, "Request Header Fields Too Large"},
        {501, "Not Implemented"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (texts[i].status == status) {
            return texts[i].text;
        }
    }
    return "Error";
}

/* tchar of RFC 9110 §5.6.2 */
static bool is_token(struct span span)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < span.size; i++) {
        char c = span.data[i];
        bool alphanumeric =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alphanumeric && (c == '\0' || !strchr(others, c))) {
            return false;
        }
    }
    return span.size > 0;
}

static bool has_control(struct span span)
{
    for (size_t i = 0; i < span.size; i++) {
        unsigned char c = (unsigned char)span.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) {
            return true;
        }
    }
    return false;
}

/* Cuts the text at the first `end`; false if there is none. */
static bool cut(struct span *rest, char end, struct span *ret)
{
    const char *found = memchr(rest->data, end, rest->size);
    if (!found) {
        return false;
    }
    *ret = (struct span){rest->data, (size_t)(found - rest->data)};
    rest->size -= ret->size + 1;
    rest->data = found + 1;
    return true;
}

static int parse_request_line(struct span line, struct http_head *ret)
{
    struct span method, target;
    if (!cut(&line, ' ', &method) || !cut(&line, ' ', &target) || !is_token(method) ||
        has_control(target) || target.size == 0 || target.data[0] != '/') {
        return 400;
    }
    if (line.size != 8 || memcmp(line.data, "HTTP/", 5) != 0) {
        return 400;
    }
    bool version_11 = memcmp(line.data, "HTTP/1.1", 8) == 0;
    if (!version_11 && memcmp(line.data, "HTTP/1.0", 8) != 0) {
        return 505;
    }
    const char *query = memchr(target.data, '?', target.size);
    size_t size = query ? (size_t)(query - target.data) : target.size;
    if (size >= sizeof ret->path) {
        return 414;
    }
    memcpy(ret->path, target.data, size);
    ret->path[size] = '\0';
    ret->post = method.size == 4 && memcmp(method.data, "POST", 4) == 0;
    ret->keep_alive = version_11;
    return 0;
}

static int parse_length(struct span value, size_t maximum, size_t *ret)
{
    size_t length = 0;
    if (value.size == 0) {
        return 400;
    }
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return 400;
        }
        if (length <= maximum) { /* beyond it the exact number matters no more */
            length = length * 10 + (size_t)(value.data[i] - '0');
        }
    }
    *ret = length;
    return length > maximum ? 413 : 0;
}

struct seen {
    bool length;
    bool coding;
    size_t maximum;
};

static int parse_header(struct span line, struct seen *seen, struct http_head *ret)
{
    struct span name;
    if (!cut(&line, ':', &name) || !is_token(name) || has_control(line)) {
        return 400; /* a blank before the colon and a folded line are refused by is_token */
    }
    while (line.size > 0 && (*line.data == ' ' || *line.data == '\t')) {
        line.data++;
        line.size--;
    }
    while (line.size > 0 && (line.data[line.size - 1] == ' ' || line.data[line.size - 1] == '\t')) {
        line.size--;
    }
    if (span_is(name, "Content-Length")) {
        if (seen->length) {
            return 400;
        }
        seen->length = true;
        return parse_length(line, seen->maximum, &ret->body_size);
    }
    if (span_is(name, "Transfer-Encoding")) {
        seen->coding = true;
    } else if (span_is(name, "Connection")) {
        if (span_is(line, "close")) {
            ret->keep_alive = false;
        }
    } else if (span_is(name, "Expect")) {
        ret->expect_continue = span_is(line, "100-continue");
    }
    return 0;
}

/* The line that ends in CRLF at the beginning of the rest: 0, or the status to refuse it with. */
static int next_line(struct span *rest, struct span *ret)
{
    if (!cut(rest, '\n', ret) || ret->size == 0 || ret->data[ret->size - 1] != '\r') {
        return 400;
    }
    ret->size--;
    return 0;
}

static int parse(struct span head, size_t body_maximum, struct http_head *ret)
{
    struct span line;
    struct seen seen = {.maximum = body_maximum};
    int status = next_line(&head, &line);
    if (status == 0) {
        status = parse_request_line(line, ret);
    }
    while (status == 0) {
        status = next_line(&head, &line);
        if (status != 0 || line.size == 0) {
            break;
        }
        status = parse_header(line, &seen, ret);
    }
    if (status == 0 && seen.coding) {
        status = seen.length ? 400 : 411;
    }
    if (status == 0 && ret->post && !seen.length) {
        status = 411;
    }
    return status;
}

enum http_progress http_parse_head(const char *data, size_t size, size_t body_maximum,
                                   struct http_head *ret, int *ret_status)
{
    size_t searched = size < HTTP_HEAD_MAXIMUM ? size : HTTP_HEAD_MAXIMUM;
    const char *end = searched >= 4 ? memmem(data, searched, "\r\n\r\n", 4) : NULL;
    if (!end) {
        *ret_status = 431;
        return size < HTTP_HEAD_MAXIMUM ? HTTP_INCOMPLETE : HTTP_REFUSED;
    }
    *ret = (struct http_head){.size = (size_t)(end - data) + 4};
    *ret_status = parse((struct span){data, ret->size}, body_maximum, ret);
    return *ret_status == 0 ? HTTP_COMPLETE : HTTP_REFUSED;
}
