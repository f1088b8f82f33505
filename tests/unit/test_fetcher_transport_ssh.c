#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/transport_ssh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

struct address_case {
    const char *url;
    const char *expected; /* user|host|port|path, or NULL: refused */
};

static const struct address_case addresses[] = {
    {"ssh://git@example.org/team/shop.git", "git|example.org|22|/team/shop.git"},
    {"ssh://example.org/shop", "git|example.org|22|/shop"},
    {"ssh://deploy@example.org:2222/shop", "deploy|example.org|2222|/shop"},
    {"ssh://git@[::1]:22/shop", "git|::1|22|/shop"},
    {"ssh://git@[::1]/shop", "git|::1|22|/shop"},
    {"ssh://git@example.org/~me/shop", "git|example.org|22|~me/shop"},
    {"ssh://git@example.org/a@b:c", "git|example.org|22|/a@b:c"},
    {"ssh://git@example.org", NULL},
    {"ssh://git@example.org/", NULL},
    {"ssh:///shop", NULL},
    {"ssh://@example.org/shop", NULL},
    {"ssh://git:word@example.org/shop", NULL},
    {"ssh://git@example.org:/shop", NULL},
    {"ssh://git@example.org:22x/shop", NULL},
    {"ssh://git@-oProxyCommand=x/shop", NULL},
    {"ssh://-l@example.org/shop", NULL},
    {"ssh://git@example.org/a'b", NULL},
    {"ssh://git@example.org/a b", NULL},
    {"ssh://git@example.org/a\nb", NULL},
    {"ssh://git@example.org/a\\b", NULL},
    {"https://example.org/shop", NULL},
    {"", NULL},
};

static void every_url_is_taken_apart_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct ssh_address address;
        struct error error;
        bool parsed = ssh_address_parse(addresses[i].url, &address, &error);
        AUTO_FREE char *found = parsed ? mem_format("%s|%s|%s|%s", address.user, address.host,
                                                    address.port, address.path)
                                       : NULL;
        ssh_address_release(&address);
        if (!text_equal(found, addresses[i].expected) ||
            (!parsed && strstr(error.message, "word@"))) {
            fail_msg("%s: %s", addresses[i].url, found ? found : error.message);
        }
    }
}

struct said_case {
    const char *said;
    enum fetch_reason reason;
};

static const struct said_case said[] = {
    {"Host key verification failed.", FETCH_HOST_KEY_INVALID},
    {"No ED25519 host key is known for example.org and you have requested strict checking. Host "
     "key "
     "verification failed.",
     FETCH_HOST_KEY_INVALID},
    {"git@example.org: Permission denied (publickey).", FETCH_AUTHENTICATION_FAILED},
    {"Load key \"/proc/1/fd/5\": error in libcrypto git@example.org: Permission denied "
     "(publickey).",
     FETCH_SECRET_INVALID},
    {"ssh: Could not resolve hostname nowhere: Name or service not known", FETCH_UNREACHABLE},
    {"ssh: connect to host 127.0.0.1 port 1: Connection refused", FETCH_UNREACHABLE},
    {"ERROR: Repository not found.", FETCH_REPOSITORY_NOT_FOUND},
    {"fatal: '/a.git' does not appear to be a git repository", FETCH_REPOSITORY_NOT_FOUND},
    {"Permission denied (publickey). Connection closed by 127.0.0.1", FETCH_AUTHENTICATION_FAILED},
    {"something else", FETCH_FAILED},
    {"", FETCH_FAILED},
};

static void what_ssh_says_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        if (ssh_transport_judge(said[i].said) != said[i].reason) {
            fail_msg("%s: %s", said[i].said, fetch_reason_name(ssh_transport_judge(said[i].said)));
        }
    }
}

/* "openssh-key-v1\0", then a string: the name of the cipher. */
#define OPEN "b3BlbnNzaC1rZXktdjEAAAAABG5vbmU="
#define LOCKED "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHI="
#define ARMOUR(body)                                                                               \
    "-----BEGIN OPENSSH PRIVATE KEY-----\n" body "\n-----END OPENSSH PRIVATE KEY-----\n"

static void a_key_with_a_passphrase_is_known_before_ssh_asks_for_it(void **state)
{
    (void)state;
    struct error error;
    assert_true(ssh_transport_check_identity(ARMOUR(OPEN), &error));
    assert_true(ssh_transport_check_identity("-----BEGIN RSA PRIVATE KEY-----\nAA==\n", &error));
    static const char *const refused[] = {
        ARMOUR(LOCKED),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
        "ssh-ed25519 AAAA",
        "-----BEGIN CERTIFICATE-----",
        ""};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(ssh_transport_check_identity(refused[i], &error));
        assert_non_null(strstr(error.message, "identity"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_url_is_taken_apart_or_refused),
        cmocka_unit_test(what_ssh_says_is_understood),
        cmocka_unit_test(a_key_with_a_passphrase_is_known_before_ssh_asks_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
