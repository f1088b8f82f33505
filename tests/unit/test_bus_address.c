#include "common/bus/address.h"

#include "common/base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void addresses_are_ipc_paths_or_tcp_ips(void **state)
{
    (void)state;
    static const struct {
        const char *text, *blobs; /* NULL: refused */
    } cases[] = {
        {"ipc:///run/gitmoor/differ", "ipc:///run/gitmoor/differ.blobs"},
        {"tcp://10.0.0.5:7001", "tcp://10.0.0.5:7002"},
        {"tcp://0.0.0.0:65534", "tcp://0.0.0.0:65535"},
        {"tcp://[fd00::5]:7001", "tcp://[fd00::5]:7002"},
        {"tcp://[fd00::5:7001", NULL},
        {"tcp://fd00::5:7001", NULL},
        {"tcp://10.0.0.5:65535", NULL},
        {"tcp://10.0.0.5:0", NULL},
        {"tcp://10.0.0.5:", NULL},
        {"tcp://10.0.0.5", NULL},
        {"tcp://:7001", NULL},
        {"tcp://differ.gitmoor.svc:7001", NULL},
        {"tcp://eth0;10.0.0.5:7001", NULL},
        {"tcp://10.0.0.5:7001 ", NULL},
        {"tcp://", NULL},
        {"ipc://relative", NULL},
        {"ipc:///", NULL},
        {"ipc:///run/gitmoor/", NULL},
        {"ipc://", NULL},
        {"inproc://x", NULL},
        {"", NULL},
        {NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address address;
        struct error error = {0};
        bool parsed = bus_address_parse(cases[i].text, &address, &error);
        if (parsed != (cases[i].blobs != NULL)) {
            fail_msg("%s", cases[i].text);
        }
        if (parsed) {
            assert_string_equal(address.inbox, cases[i].text);
            assert_string_equal(address.blobs, cases[i].blobs);
            assert_int_equal(address.is_ipc, cases[i].text[0] == 'i');
        } else {
            assert_int_equal(error.code, ERROR_INVALID);
        }
    }
}

static void a_path_too_long_for_the_kernel_is_refused(void **state)
{
    (void)state;
    char text[256] = "ipc:///";
    memset(text + 7, 'x', 100);
    struct address address;
    struct error error = {0};
    assert_true(bus_address_parse(text, &address, &error)); /* 101 + ".blobs" + NUL = 108 */
    text[107] = 'x';
    assert_false(bus_address_parse(text, &address, &error));
    assert_non_null(strstr(error.message, "shorter"));
}

static void the_directory_is_made_closed_and_an_open_one_refused(void **state)
{
    (void)state;
    char directory[] = "/tmp/gitmoor-address-XXXXXX";
    assert_non_null(mkdtemp(directory));
    AUTO_FREE char *text = mem_format("ipc://%s/a/b/inbox", directory);
    struct address address;
    struct error error = {0};
    assert_true(bus_address_parse(text, &address, &error));
    mode_t mask = umask(0);
    assert_true(bus_address_make_directory(&address, &error));
    assert_true(bus_address_make_directory(&address, &error));
    umask(mask);
    AUTO_FREE char *made = mem_format("%s/a/b", directory);
    AUTO_FREE char *parent = mem_format("%s/a", directory);
    struct stat status;
    assert_int_equal(stat(made, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(stat(parent, &status), 0);
    assert_int_equal(status.st_mode & 0022, 0);

    assert_int_equal(chmod(made, 0750), 0);
    assert_false(bus_address_make_directory(&address, &error));
    assert_int_equal(error.code, ERROR_DENIED);
    assert_non_null(strstr(error.message, made));
    rmdir(made);
    rmdir(parent);
    rmdir(directory);
    assert_true(bus_address_parse("ipc:///inbox", &address, &error));
    assert_false(bus_address_make_directory(&address, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_ipc_paths_or_tcp_ips),
        cmocka_unit_test(a_path_too_long_for_the_kernel_is_refused),
        cmocka_unit_test(the_directory_is_made_closed_and_an_open_one_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
