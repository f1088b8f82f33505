#include "fetcher/transport_curl.h"

#include "common/base/memory.h"
#include "common/base/text.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <strings.h>

#define CONNECT_SECONDS 15L
/* A server that says nothing for so long while packing is taken for dead; git's own sends progress
 * every few seconds. */
#define SILENCE_SECONDS 30L
/* Distributions differ in where the bundle of authorities is; the first that is there counts. */
static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt",
                                      "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};
#define BUNDLE_MAXIMUM ((size_t)8 << 20)

/* ---- What a failure means ---- */

void transport_curl_end(CURLM *multi, CURL **easy, struct curl_slist **headers)
{
    if (*easy) {
        curl_multi_remove_handle(multi, *easy);
        curl_easy_cleanup(*easy);
        *easy = NULL;
    }
    curl_slist_free_all(*headers);
    *headers = NULL;
}

int transport_curl_fail(struct transport *transport, const char *url, CURLcode code,
                        const char *error_text, bool connected)
{
    const char *why = error_text[0] ? error_text : curl_easy_strerror(code);
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return transport_fail(
            transport, FETCH_CERTIFICATE_INVALID, ERROR_DENIED,
            "the certificate of %s is not trusted: %s. If the server has an authority of "
            "its own, put that authority's certificate into the Secret as ca.crt",
            url, why);
    case CURLE_COULDNT_RESOLVE_PROXY:
        return transport_fail(transport, FETCH_UNREACHABLE, ERROR_UNAVAILABLE,
                              "the proxy for %s cannot be found: %s. Check the proxy's address and "
                              "the cluster's DNS",
                              url, why);
    case CURLE_COULDNT_RESOLVE_HOST:
        return transport_fail(
            transport, FETCH_UNREACHABLE, ERROR_UNAVAILABLE,
            "the host of %s cannot be found: %s. Check spec.url and the cluster's DNS", url, why);
    case CURLE_OPERATION_TIMEDOUT:
        if (!connected) {
            return transport_fail(transport, FETCH_UNREACHABLE, ERROR_UNAVAILABLE,
                                  "%s does not answer: %s. Check the server and the network to it",
                                  url, why);
        }
        return transport_fail(
            transport, FETCH_TIMEOUT, ERROR_TIMEOUT,
            "%s did not answer in time: %s. Check the server and the network to it", url, why);
    case CURLE_SSL_CONNECT_ERROR:
        return transport_fail(
            transport, FETCH_UNREACHABLE, ERROR_UNAVAILABLE,
            "no TLS connection to %s: %s. The server must speak TLS 1.2 or better", url, why);
    default:
        return transport_fail(transport, FETCH_UNREACHABLE, ERROR_UNAVAILABLE,
                              "%s cannot be reached: %s. Check the server and the network to it",
                              url, why);
    }
}

static int fail_credentials(struct transport *transport, const char *url, long status)
{
    bool given = transport->bearer_token || transport->username || transport->password;
    return transport_fail(
        transport, FETCH_AUTHENTICATION_FAILED, ERROR_DENIED,
        given ? "%s refuses the credentials of the Secret (HTTP %ld). Check that they are "
                "current and may read this repository"
              : "%s wants credentials (HTTP %ld), or does not exist. Put username and "
                "password, or bearerToken, into a Secret and name it in spec.secretRef",
        url, status);
}

int transport_curl_fail_status(struct transport *transport, const char *url, long status,
                               int64_t retry_after, const char *server)
{
    transport->retry_after_ms = retry_after * 1000;
    if (status == 401 || status == 403) {
        return fail_credentials(transport, url, status);
    }
    if (status == 404 || status == 410) {
        return transport_fail(
            transport, FETCH_REPOSITORY_NOT_FOUND, ERROR_NOT_FOUND,
            "there is no repository at %s (HTTP %ld), or the credentials may not see it. "
            "Check spec.url",
            url, status);
    }
    if (status == 429) {
        return transport_fail(transport, FETCH_TOO_MANY_REQUESTS, ERROR_UNAVAILABLE,
                              "the server of %s wants fewer requests (HTTP 429). Raise "
                              "spec.interval, or give credentials, for which servers allow more",
                              url);
    }
    if (status >= 500) {
        return transport_fail(
            transport, FETCH_UNREACHABLE, ERROR_UNAVAILABLE,
            "the server of %s cannot answer now (HTTP %ld); it is asked again later", url, status);
    }
    return transport_fail(transport, FETCH_FAILED, ERROR_INVALID,
                          "%s answered HTTP %ld, which is no answer of a %s. Check spec.url", url,
                          status, server);
}

bool transport_curl_same_server(const char *left_url, const char *right_url)
{
    CURLU *from = curl_url();
    CURLU *to = curl_url();
    bool same = from && to && curl_url_set(from, CURLUPART_URL, left_url, 0) == CURLUE_OK &&
                curl_url_set(to, CURLUPART_URL, right_url, 0) == CURLUE_OK;
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    for (size_t i = 0; same && i < sizeof parts / sizeof parts[0]; i++) {
        char *left = NULL, *right = NULL;
        same = curl_url_get(from, parts[i], &left, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               curl_url_get(to, parts[i], &right, CURLU_DEFAULT_PORT) == CURLUE_OK &&
               strcasecmp(left, right) == 0;
        curl_free(left);
        curl_free(right);
    }
    char *user = NULL;
    same = same && curl_url_get(to, CURLUPART_USER, &user, 0) == CURLUE_NO_USER;
    curl_free(user);
    curl_url_cleanup(from);
    curl_url_cleanup(to);
    return same;
}

char *transport_curl_resolve(const char *base, const char *reference)
{
    CURLU *url = curl_url();
    char *text = NULL, *user = NULL;
    bool resolved = url && curl_url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK &&
                    curl_url_set(url, CURLUPART_URL, reference, 0) == CURLUE_OK &&
                    curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
                    curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK &&
                    text_has_prefix(text, "https://");
    char *found = resolved ? mem_string(text) : NULL;
    curl_free(text);
    curl_free(user);
    curl_url_cleanup(url);
    return found;
}

/* ---- The connection ---- */

void transport_curl_set_credentials(CURL *easy, const struct transport *transport)
{
    if (transport->bearer_token) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, transport->bearer_token);
    } else if (transport->username || transport->password) {
        curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(easy, CURLOPT_USERNAME, text_or_empty(transport->username));
        curl_easy_setopt(easy, CURLOPT_PASSWORD, text_or_empty(transport->password));
    }
}

static void set_blob(CURL *easy, CURLoption option, const char *text)
{
    struct curl_blob blob = {(void *)text, strlen(text), CURL_BLOB_COPY};
    curl_easy_setopt(easy, option, &blob);
}

/* A proxy of the Secret is in the place of the environment's. */
static void set_proxy(CURL *easy, const struct transport *transport)
{
    curl_easy_setopt(easy, CURLOPT_PROXY, transport->proxy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
    if (transport->proxy_username) {
        curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, transport->proxy_username);
        curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD, text_or_empty(transport->proxy_password));
    }
}

void transport_curl_set_connection(CURL *easy, const struct transport *transport,
                                   const struct buf *authorities, char *error_text)
{
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, SILENCE_SECONDS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_text);
    if (authorities->size > 0) {
        struct curl_blob blob = {authorities->data, authorities->size, CURL_BLOB_NOCOPY};
        curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (transport->certificate && transport->key) {
        set_blob(easy, CURLOPT_SSLCERT_BLOB, transport->certificate);
        set_blob(easy, CURLOPT_SSLKEY_BLOB, transport->key);
    }
    if (transport->proxy) {
        set_proxy(easy, transport);
    }
}

/* libcurl replaces the system's authorities by the blob, so the blob holds both. */
void transport_curl_collect_authorities(const struct transport *transport, struct buf *ret)
{
    buf_init(ret, 2 * BUNDLE_MAXIMUM);
    if (!transport->authorities) {
        return;
    }
    buf_append_string(ret, transport->authorities);
    buf_append_char(ret, '\n');
    for (size_t i = 0; i < sizeof bundles / sizeof bundles[0]; i++) {
        struct buf bundle AUTO_BUF;
        buf_init(&bundle, BUNDLE_MAXIMUM);
        struct error ignored; /* a machine without system authorities has those of the Secret */
        if (buf_read_file(&bundle, bundles[i], &ignored)) {
            buf_append(ret, bundle.data, bundle.size);
            return;
        }
    }
}

/* ---- What Secrets hold ---- */

bool transport_curl_library_open(struct error *error)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return error_set(error, ERROR_INTERNAL, "cannot initialise libcurl");
    }
    return true;
}

bool transport_curl_check_authorities(const char *pem, struct error *error)
{
    BIO *text = BIO_new_mem_buf(pem, -1);
    unsigned certificates = 0;
    for (X509 *certificate; text && (certificate = PEM_read_bio_X509(text, NULL, NULL, NULL));) {
        X509_free(certificate);
        certificates++;
    }
    BIO_free(text);
    ERR_clear_error();
    if (certificates == 0) {
        return error_set(error, ERROR_INVALID, "ca.crt holds no certificate in PEM format");
    }
    return true;
}

bool transport_curl_check_identity(const char *certificate, const char *key, struct error *error)
{
    BIO *certificate_text = BIO_new_mem_buf(certificate, -1);
    BIO *key_text = BIO_new_mem_buf(key, -1);
    X509 *x509 = certificate_text ? PEM_read_bio_X509(certificate_text, NULL, NULL, NULL) : NULL;
    /* A passphrase that is given is never asked for. */
    EVP_PKEY *private_key =
        key_text ? PEM_read_bio_PrivateKey(key_text, NULL, NULL, (void *)"") : NULL;
    bool fits = x509 && private_key && X509_check_private_key(x509, private_key) == 1;
    const char *why = !x509          ? "tls.crt holds no certificate in PEM format"
                      : !private_key ? "tls.key holds no private key in PEM format that can be "
                                       "read without a passphrase"
                                     : "tls.key is not the private key of tls.crt";
    EVP_PKEY_free(private_key);
    X509_free(x509);
    BIO_free(key_text);
    BIO_free(certificate_text);
    ERR_clear_error();
    return fits || error_set(error, ERROR_INVALID, "%s", why);
}

bool transport_curl_check_proxy(const char *address, struct error *error)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *user = NULL;
    bool parsed = url && curl_url_set(url, CURLUPART_URL, address, 0) == CURLUE_OK &&
                  curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                  (text_equal(scheme, "http") || text_equal(scheme, "https"));
    bool has_user = parsed && curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK;
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(url);
    if (has_user) {
        return error_set(error, ERROR_INVALID,
                         "the proxy's address holds credentials. Put them into the Secret as "
                         "username and password");
    }
    return parsed || error_set(error, ERROR_INVALID,
                               "the proxy's address is no URL such as http://proxy.example:3128");
}
