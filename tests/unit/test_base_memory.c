/* Unit tests of common/base/memory.c. */
#include "common/base/memory.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void memory_is_zeroed_and_never_null(void **state)
{
    (void)state;
    AUTO_FREE char *nothing = mem_new(0, 0);
    assert_non_null(nothing);
    AUTO_FREE char *some = mem_new(10, 10);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(some[i], 0);
    }
    some = mem_resize(some, 0, 8);
    assert_non_null(some);
}

static void strings_are_copied(void **state)
{
    (void)state;
    assert_null(mem_string(NULL));
    AUTO_FREE char *whole = mem_string("shop");
    AUTO_FREE char *part = mem_string_n("shop/web", 4);
    AUTO_FREE char *formatted = mem_format("%s-%d", "a", 1);
    assert_string_equal(whole, "shop");
    assert_string_equal(part, "shop");
    assert_string_equal(formatted, "a-1");
}

static void a_descriptor_is_closed_at_the_end_of_its_scope(void **state)
{
    (void)state;
    int kept;
    {
        AUTO_CLOSE int fd = open("/dev/null", O_RDONLY);
        AUTO_CLOSE int none = -1;
        kept = fd;
        assert_true(fcntl(kept, F_GETFD) >= 0);
        assert_int_equal(none, -1);
    }
    assert_int_equal(fcntl(kept, F_GETFD), -1);
}

/* In a child: ask for `count` times `size` bytes; the exit status tells how it ended. */
static int end_of_asking(size_t count, size_t size)
{
    pid_t pid = fork();
    if (pid == 0) {
        close(STDERR_FILENO);
        free(mem_new(count, size));
        _exit(0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void running_out_of_memory_ends_the_process_in_order(void **state)
{
    (void)state;
#if defined __SANITIZE_ADDRESS__
    skip(); /* the sanitizer ends the process itself */
#endif
    assert_int_equal(end_of_asking(1, 16), 0);
    assert_int_equal(end_of_asking(SIZE_MAX / 2, 4), 70); /* the product wraps around */
    assert_int_equal(end_of_asking(1, SIZE_MAX / 2), 70);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_and_never_null),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(a_descriptor_is_closed_at_the_end_of_its_scope),
        cmocka_unit_test(running_out_of_memory_ends_the_process_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
