/* HTTP/1.1 request heads, as API servers send them to webhooks: a pure parser.
 *
 * Strict, since nothing but API servers need be understood: CRLF line ends, no folded headers, at
 * most one Content-Length, and no Transfer-Encoding (411), so that there is never a question of
 * where a request ends. Source: RFC 9112. */
#ifndef GITMOOR_ADMISSION_HTTP_H
#define GITMOOR_ADMISSION_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#define HTTP_HEAD_MAXIMUM ((size_t)16384)
#define HTTP_PATH_MAXIMUM 256

struct http_head {
    char path[HTTP_PATH_MAXIMUM]; /* without the query */
    size_t size;                  /* of the head with its empty line */
    size_t body_size;
    bool post;
    bool keep_alive;
    bool expect_continue; /* the client waits for "100 Continue" */
};

enum http_progress { HTTP_INCOMPLETE, HTTP_COMPLETE, HTTP_REFUSED };

/* Reads the head at the beginning of the data. Refused: `ret_status` is what to answer (400, 411,
 * 413, 414, 431, 501 or 505) before the connection is closed. With 413, path, size and post are
 * filled. */
enum http_progress http_parse_head(const char *data, size_t size, size_t body_maximum,
                                   struct http_head *ret, int *ret_status);

const char *http_status_text(int status); /* "OK"; "Error" for the unknown */

#endif
