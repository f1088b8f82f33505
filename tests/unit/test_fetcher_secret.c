#include "common/base/text.h"
#include "fetcher/secret.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct secret_case {
    const char *sentence;
    const char *data;
    const char *expected; /* the request afterwards, or NULL */
    const char *words;    /* in the error */
};

static const struct secret_case cases[] = {
    {"basic", "{\"username\":\"dXNlcg==\",\"password\":\"cGFzcw==\"}",
     "{\"password\":\"pass\",\"username\":\"user\"}", NULL},
    {"a line end after a word is dropped", "{\"password\":\"cGFzcw0K\"}", "{\"password\":\"pass\"}",
     NULL},
    {"a token", "{\"bearerToken\":\"dG9r\"}", "{\"bearerToken\":\"tok\"}", NULL},
    {"an authority keeps its lines", "{\"ca.crt\":\"YQpiCg==\"}", "{\"authorities\":\"a\\nb\\n\"}",
     NULL},
    {"a deploy key keeps its lines", "{\"identity\":\"YQpiCg==\",\"known_hosts\":\"YwpkCg==\"}",
     "{\"identity\":\"a\\nb\\n\",\"knownHosts\":\"c\\nd\\n\"}", NULL},
    {"a Secret of type kubernetes.io/ssh-auth", "{\"ssh-privatekey\":\"YQpiCg==\"}",
     "{\"identity\":\"a\\nb\\n\"}", NULL},
    {"a client certificate", "{\"tls.crt\":\"YQpiCg==\",\"tls.key\":\"YwpkCg==\"}",
     "{\"certificate\":\"a\\nb\\n\",\"key\":\"c\\nd\\n\"}", NULL},
    {"two deploy keys", "{\"identity\":\"eA==\",\"ssh-privatekey\":\"eQ==\"}", NULL, "both"},
    {"other keys are left alone", "{\"other\":\"eA==\",\"bearerToken\":\"dG9r\"}",
     "{\"bearerToken\":\"tok\"}", NULL},
    {"none of the keys", "{\"other\":\"eA==\"}", NULL, "none of the keys"},
    {"no data", "null", NULL, "none of the keys"},
    {"both ways to log in", "{\"password\":\"eA==\",\"bearerToken\":\"eQ==\"}", NULL, "both"},
    {"two lines in a word: a header would be split", "{\"bearerToken\":\"YQ0KYg==\"}", NULL,
     "bearerToken"},
    {"a NUL", "{\"password\":\"YQBi\"}", NULL, "password"},
    {"what is not UTF-8", "{\"username\":\"/w==\"}", NULL, "username"},
    {"what is not base64", "{\"password\":\"%%%%\"}", NULL, "password"},
};

static void every_secret_is_read_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct error error;
        struct buf text AUTO_BUF, written AUTO_BUF;
        buf_init(&text, 4096);
        buf_init(&written, 4096);
        buf_append_format(&text,
                          "{\"metadata\":{\"namespace\":\"shop\",\"name\":\"git\"},\"data\":%s}",
                          cases[i].data);
        cJSON *secret AUTO_JSON = NULL;
        cJSON *request AUTO_JSON = json_new_object();
        assert_true(json_parse(text.data, text.size, NULL, &secret, &error));
        bool added = secret_add_to(secret, request, &error);
        json_write(request, &written);
        if (added != !cases[i].words || (added ? !text_equal(written.data, cases[i].expected)
                                               : !strstr(error.message, cases[i].words) ||
                                                     !strstr(error.message, "shop/git"))) {
            fail_msg("%s: %s", cases[i].sentence, added ? written.data : error.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_secret_is_read_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
