#include "cli/revision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct revision_case {
    const char *sentence;
    const char *revision, *word;
    bool expected;
};

static const struct revision_case meant[] = {
    {"the whole of it", "main@sha1:4f2a91c0", "main@sha1:4f2a91c0", true},
    {"its commit", "main@sha1:4f2a91c0", "4f2a91c0", true},
    {"the beginning of its commit", "main@sha1:4f2a91c0", "4f2a", true},
    {"fewer than four digits are no commit", "main@sha1:4f2a91c0", "4f2", false},
    {"another commit", "main@sha1:4f2a91c0", "4f2b", false},
    {"another branch", "main@sha1:4f2a91c0", "next@sha1:4f2a91c0", false},
    {"a branch alone", "main@sha1:4f2a91c0", "main", false},
    {"no revision is meant by nothing", NULL, "4f2a", false},
};

static const struct revision_case same[] = {
    {"the same", "main@sha1:4f2a", "main@sha1:4f2a", true},
    {"one commit by two names", "main@sha1:4f2a", "v1.4.2@sha1:4f2a", true},
    {"two commits", "main@sha1:4f2a", "main@sha1:4f2b", false},
    {"the beginning is not the whole", "main@sha1:4f2a91", "main@sha1:4f2a", false},
    {"nothing is of no commit", NULL, "main@sha1:4f2a", false},
    {"not even the same as nothing", NULL, NULL, false},
};

static void check(const struct revision_case *rows, size_t count,
                  bool (*judge)(const char *left, const char *right))
{
    for (size_t i = 0; i < count; i++) {
        if (judge(rows[i].revision, rows[i].word) != rows[i].expected) {
            fail_msg("not so: %s", rows[i].sentence);
        }
    }
}

static void a_word_means_a_revision(void **state)
{
    (void)state;
    check(meant, sizeof meant / sizeof meant[0], revision_is_meant);
}

static void revisions_of_one_commit_are_the_same(void **state)
{
    (void)state;
    check(same, sizeof same / sizeof same[0], revision_is_same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_means_a_revision),
        cmocka_unit_test(revisions_of_one_commit_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
