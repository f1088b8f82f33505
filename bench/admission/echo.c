/* The ceiling of reviews: libevent's own evhttp over OpenSSL, which answers every request with the
 * same verdict and reads nothing of it. It shares no code with Gitmoor.
 *
 * usage: echo CERTIFICATE-FILE KEY-FILE. Listens on a free port of 127.0.0.1 and prints it. */
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char answer[] = "{\"apiVersion\":\"admission.k8s.io/"
                             "v1\",\"kind\":\"AdmissionReview\",\"response\":{\"allowed\":"
                             "true,\"uid\":\"705ab4f5-6393-11e8-b7cc-42010a800002\"}}";

static struct bufferevent *open_tls(struct event_base *base, void *context)
{
    return bufferevent_openssl_socket_new(base, -1, SSL_new(context), BUFFEREVENT_SSL_ACCEPTING,
                                          BEV_OPT_CLOSE_ON_FREE);
}

static void on_request(struct evhttp_request *request, void *context)
{
    (void)context;
    struct evbuffer *body = evbuffer_new();
    evbuffer_add(body, answer, sizeof answer - 1);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
                      "application/json");
    evhttp_send_reply(request, 200, "OK", body);
    evbuffer_free(body);
}

static int die(const char *what)
{
    fprintf(stderr, "echo: %s\n", what);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        return die("usage: echo CERTIFICATE-FILE KEY-FILE");
    }
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (!tls || SSL_CTX_use_certificate_chain_file(tls, argv[1]) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, argv[2], SSL_FILETYPE_PEM) != 1) {
        return die("the certificate cannot be used");
    }
    struct event_base *base = event_base_new();
    struct evhttp *server = evhttp_new(base);
    evhttp_set_bevcb(server, open_tls, tls);
    evhttp_set_gencb(server, on_request, NULL);
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server, "127.0.0.1", 0);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int one = 1;
    if (!bound) {
        return die("no port");
    }
    int fd = evhttp_bound_socket_get_fd(bound);
    /* Without it 23 requests a second. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("%u\n", ntohs(address.sin_port));
    fflush(stdout);
    return event_base_dispatch(base);
}
