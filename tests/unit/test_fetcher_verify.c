/* verify_revision against git itself: each case says what git verify-commit or verify-tag says of
 * the same object with the same keys, or why we differ. */
#include "common/base/buf.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "fetcher/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/gitmoor-test-verify-XXXXXX";

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...)
{
    char command[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Keys of every kind, and a repository with one signed commit and tag by each. `date` sets what git
 * takes for the committer's date. */
static const char prepare[] =
    "set -e; exec >prepare.log 2>&1\n"
    "export GNUPGHOME=$PWD/gnupg GIT_CONFIG_GLOBAL=$PWD/gitconfig GIT_CONFIG_NOSYSTEM=1 HOME=$PWD\n"
    "mkdir -m 700 gnupg\n"
    "git config --global user.name Tester; git config --global user.email t@example.org\n"
    "git config --global init.defaultBranch main\n"
    "for kind in ed25519 rsa ecdsa256 ecdsa384 ecdsa521 stranger; do\n"
    "  case $kind in ecdsa*) t=\"ecdsa -b ${kind#ecdsa}\";; rsa) t='rsa -b 2048';; *) t=ed25519;; "
    "esac\n"
    "  ssh-keygen -q -t $t -N '' -C $kind@example.org -f $kind\n"
    "  echo \"$kind@example.org $(cut -d' ' -f1,2 $kind.pub)\" >>allowed\n"
    "done\n"
    "gpgkey() { gpg --batch --quiet --passphrase '' --quick-gen-key \"$1 <$1@example.org>\" $2 "
    "sign $3; }\n"
    "gpgkey first ed25519 never; gpgkey second rsa2048 never\n"
    "gpg --batch --quiet --faked-system-time 20200101T000000! --passphrase '' --quick-gen-key "
    "'old <old@example.org>' ed25519 sign 30d\n"
    "for k in first second old; do gpg --armor --export $k@example.org >$k.asc; done\n"
    "gpg --export first@example.org >first.gpg\n"
    "gpg --armor --export first@example.org second@example.org >both.asc\n"
    "gpg --batch --armor --passphrase '' --export-secret-keys first@example.org >first-secret.asc\n"
    "git init -q repo; cd repo\n"
    "git config gpg.ssh.allowedSignersFile ../allowed\n"
    "ssh() { git -c gpg.format=ssh -c user.signingkey=../$1 \"${@:2}\"; }\n"
    "git commit -q --allow-empty -m unsigned; git tag unsigned; git tag -a -m m unsigned-tag\n"
    "for kind in ed25519 rsa ecdsa256 ecdsa384 ecdsa521; do\n"
    "  ssh $kind commit -q --allow-empty -S -m $kind; git branch $kind\n"
    "  ssh $kind tag -s -m $kind $kind-tag\n"
    "done\n"
    "for k in first second; do\n"
    "  git -c user.signingkey=$k@example.org commit -q --allow-empty -S -m $k; git branch pgp-$k\n"
    "  git -c user.signingkey=$k@example.org tag -s -m $k pgp-$k-tag\n"
    "done\n"
    "printf '#!/bin/sh\\nexec gpg --faked-system-time 20200110T000000! \"$@\"\\n' >../gpg-2020\n"
    "chmod +x ../gpg-2020\n"
    "GIT_COMMITTER_DATE='2020-01-10T00:00:00Z' git -c gpg.program=../gpg-2020 "
    "-c user.signingkey=old@example.org commit -q --allow-empty -S -m old; git branch pgp-old\n"
    "git cat-file commit ed25519 | sed 's/^ed25519$/altered/' >altered\n"
    "git branch altered $(git hash-object -t commit -w altered)\n"
    "git cat-file tag ed25519-tag | sed 's/^ed25519$/altered/' >altered-tag\n"
    "git tag altered-tag $(git hash-object -t tag -w altered-tag)\n"
    "git cat-file commit pgp-first | sed 's/^first$/altered/' >altered-pgp\n"
    "git branch altered-pgp $(git hash-object -t commit -w altered-pgp)\n"
    "git cat-file commit ed25519 | awk '/^gpgsig /{copy=1} {print} copy{held=held $0 \"\\n\"} "
    "/END SSH/{printf \"%s\", held; copy=0}' >double\n"
    "git branch double $(git hash-object -t commit -w --literally double)\n"
    "git cat-file commit pgp-first | awk '/^gpgsig /{copy=1} {print} copy{held=held $0 \"\\n\"} "
    "/END PGP/{printf \"%s\", held; copy=0}' >double\n"
    "git branch double-pgp $(git hash-object -t commit -w --literally double)\n"
    /* A signature for files, not for Git. */
    "git cat-file commit unsigned >plain; ssh-keygen -q -Y sign -n file -f ../ed25519 plain\n"
    "{ sed '/^$/,$d' plain; sed '1s/^/gpgsig /;2,$s/^/ /' plain.sig; sed -n '/^$/,$p' plain; } "
    ">other\n"
    "git branch other-namespace $(git hash-object -t commit -w other)\n"
    "GIT_COMMITTER_DATE='2020-06-01T00:00:00Z' ssh ed25519 commit -q --allow-empty -S -m 2020\n"
    "git branch in-2020\n"
    "cd ..; git clone -q --bare --filter=tree:0 file://$PWD/repo treeless.git\n"
    "key=$(cut -d' ' -f1,2 ed25519.pub)\n"
    "echo \"a@b namespaces=\\\"git\\\" $key\" >ns-git; echo \"a@b namespaces=\\\"file\\\" $key\" "
    ">ns-file\n"
    "echo \"a@b namespaces=\\\"f*,g?t\\\" $key\" >ns-pattern\n"
    "echo \"a@b namespaces=\\\"*,!git\\\" $key\" >ns-negated\n"
    "echo \"a@b valid-after=\\\"20210101Z\\\" $key\" >after-2021\n"
    "echo \"a@b valid-before=\\\"20210101Z\\\" $key\" >before-2021\n"
    "echo \"a@b Valid-After=\\\"20200101\\\",VALID-BEFORE=\\\"202012312359\\\" $key # c\" "
    ">in-2020\n"
    "echo \"*@example.org cert-authority $key\" >authority\n"
    "echo \"a@b frobnicate $key\" >unknown-option\n"
    "echo \"a@b valid-after=\\\"soon\\\" $key\" >bad-date\n"
    "echo \"a@b valid-after=\\\"20220101Z\\\",valid-before=\\\"20210101Z\\\" $key\" >backwards\n"
    "printf '# comment\\n\\n  \\n\"a b\" %s\\r\\n' \"$key\" >quoted\n"
    "{ cat stranger.pub; cat ed25519.pub; } >two.pub\n"
    "echo 'ssh-dss AAAAB3NzaC1kc3MAAAABAA== old' >dss.pub\n"
    "echo 'ssh-ed25519 AAAA%%% x' >broken.pub; : >empty; echo '# nothing' >comments\n"
    "sed 's/^\\([A-Za-z0-9+/]\\{20\\}\\)./\\1A/' first.asc >damaged.asc\n"
    "head -c 100 first.gpg >cut.gpg; printf '\\377\\376garbage' >garbage\n"
    "sed '/^-----END/d' first.asc >endless.asc\n";

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    FILE *script = fopen("prepare.sh", "w");
    assert_non_null(script);
    fputs(prepare, script);
    fclose(script);
    if (shell("bash prepare.sh") != 0) {
        shell("tail -5 prepare.log >&2");
        fail_msg("the repository could not be prepared");
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shell("GNUPGHOME=%s/gnupg gpgconf --kill all 2>/dev/null", folder);
    assert_int_equal(chdir("/"), 0);
    return shell("rm -rf %s", folder);
}

struct verify_case {
    const char *sentence;
    const char *repository;
    const char *revision;
    const char *keys; /* file names, by blanks */
    enum verify_verdict expected;
    const char *words; /* in the signer or in the error */
};

static void check(const struct verify_case *test)
{
    AUTO_FREE char *keys = mem_string(test->keys);
    const char *files[8] = {0};
    size_t count = 0;
    for (char *file = strtok(keys, " "); file; file = strtok(NULL, " ")) {
        files[count++] = file;
    }
    char signer[VERIFY_SIGNER_SIZE] = "";
    struct error error;
    error_clear(&error);
    enum verify_verdict verdict =
        verify_revision(test->repository, test->revision, files, signer, &error);
    const char *said = verdict == VERIFY_SIGNED ? signer : error.message;
    if (verdict != test->expected || !strstr(said, test->words)) {
        fail_msg("%s: verdict %d, \"%s\"", test->sentence, verdict, said);
    }
}

static const struct verify_case cases[] = {
    {"an ed25519 commit", "repo", "ed25519", "ed25519.pub", VERIFY_SIGNED, "SHA256:"},
    {"an RSA commit", "repo", "rsa", "rsa.pub", VERIFY_SIGNED, "rsa@example.org"},
    {"an ECDSA commit on nistp256", "repo", "ecdsa256", "ecdsa256.pub", VERIFY_SIGNED, "ecdsa256"},
    {"an ECDSA commit on nistp384", "repo", "ecdsa384", "ecdsa384.pub", VERIFY_SIGNED, "ecdsa384"},
    {"an ECDSA commit on nistp521", "repo", "ecdsa521", "ecdsa521.pub", VERIFY_SIGNED, "ecdsa521"},
    {"an ed25519 tag", "repo", "ed25519-tag", "ed25519.pub", VERIFY_SIGNED, "ed25519"},
    {"an RSA tag, named in full", "repo", "refs/tags/rsa-tag", "rsa.pub", VERIFY_SIGNED, "rsa"},
    {"the commit under a tag", "repo", "rsa-tag^{commit}", "rsa.pub", VERIFY_SIGNED, "rsa"},
    {"allowed signers", "repo", "ecdsa384", "allowed", VERIFY_SIGNED, "ecdsa384@example.org"},
    {"an OpenPGP commit, armoured key", "repo", "pgp-first", "first.asc", VERIFY_SIGNED, "first"},
    {"an OpenPGP commit, binary key", "repo", "pgp-first", "first.gpg", VERIFY_SIGNED, "first"},
    {"an OpenPGP commit, RSA", "repo", "pgp-second", "second.asc", VERIFY_SIGNED, "second"},
    {"an OpenPGP tag", "repo", "pgp-second-tag", "second.asc", VERIFY_SIGNED, "second"},
    {"two OpenPGP keys in one armour", "repo", "pgp-second", "both.asc", VERIFY_SIGNED, "second"},
    {"keys of both kinds in several files", "repo", "pgp-second",
     "ed25519.pub first.gpg allowed second.asc", VERIFY_SIGNED, "second"},
    {"HEAD", "repo", "HEAD", "ed25519.pub", VERIFY_SIGNED, "ed25519"},
    {"a clone without trees", "treeless.git", "pgp-first", "first.asc", VERIFY_SIGNED, "first"},
    {"a clone without trees, SSH", "treeless.git", "ed25519", "allowed", VERIFY_SIGNED, "ed25519"},
    {"a folder inside of the work tree", "repo/.git/refs", "rsa", "rsa.pub", VERIFY_SIGNED, "rsa"},
    {"a key file with comments, quotes and CRLF", "repo", "ed25519", "quoted", VERIFY_SIGNED,
     "a b"},
    {"the second key of a file", "repo", "ed25519", "two.pub", VERIFY_SIGNED, "ed25519"},

    {"an unsigned commit", "repo", "unsigned", "allowed first.asc", VERIFY_NOT_SIGNED,
     "not signed"},
    {"an unsigned tag of a commit", "repo", "unsigned-tag", "allowed", VERIFY_NOT_SIGNED,
     "not signed"},
    {"somebody else's SSH key", "repo", "ed25519", "stranger.pub", VERIFY_NOT_SIGNED, "not among"},
    {"somebody else's OpenPGP key", "repo", "pgp-first", "second.asc", VERIFY_NOT_SIGNED, "gpgv"},
    {"an SSH signature, OpenPGP keys only", "repo", "ed25519", "first.asc", VERIFY_NOT_SIGNED,
     "not among"},
    {"an OpenPGP signature, SSH keys only", "repo", "pgp-first", "allowed", VERIFY_NOT_SIGNED,
     "no OpenPGP key"},
    {"an altered commit", "repo", "altered", "allowed", VERIFY_NOT_SIGNED, "does not fit"},
    {"an altered tag", "repo", "altered-tag", "allowed", VERIFY_NOT_SIGNED, "does not fit"},
    {"an altered OpenPGP commit", "repo", "altered-pgp", "first.asc", VERIFY_NOT_SIGNED, "BADSIG"},
    {"two SSH signatures on one commit: the first counts, as for git", "repo", "double", "allowed",
     VERIFY_SIGNED, "ed25519"},
    {"two OpenPGP signatures on one commit: neither counts, as for git", "repo", "double-pgp",
     "first.asc", VERIFY_NOT_SIGNED, "more than one"},
    {"a signature made for files", "repo", "other-namespace", "allowed", VERIFY_NOT_SIGNED,
     "namespace"},

    {"a key for git only", "repo", "ed25519", "ns-git", VERIFY_SIGNED, "a@b"},
    {"a key for files only", "repo", "ed25519", "ns-file", VERIFY_NOT_SIGNED, "may not sign"},
    {"a pattern of namespaces", "repo", "ed25519", "ns-pattern", VERIFY_SIGNED, "a@b"},
    {"a negated namespace", "repo", "ed25519", "ns-negated", VERIFY_NOT_SIGNED, "may not sign"},
    {"a key that is valid now, for an old commit", "repo", "in-2020", "after-2021",
     VERIFY_NOT_SIGNED, "not valid"},
    {"a key that is valid now, for a commit of now", "repo", "ed25519", "after-2021", VERIFY_SIGNED,
     "a@b"},
    {"a key that has expired since", "repo", "in-2020", "before-2021", VERIFY_SIGNED, "a@b"},
    {"a key that had expired then", "repo", "ed25519", "before-2021", VERIFY_NOT_SIGNED,
     "not valid"},
    {"options in capitals, local time, a range", "repo", "in-2020", "in-2020", VERIFY_SIGNED,
     "a@b"},
    {"an expired key beside a valid line of it", "repo", "ed25519", "before-2021 ed25519.pub",
     VERIFY_SIGNED, "ed25519"},
    /* git takes an OpenPGP key that has expired since for bad; we judge all keys by one date. */
    {"an OpenPGP key that has expired since", "repo", "pgp-old", "old.asc", VERIFY_SIGNED, "old"},

    {"an unknown revision", "repo", "nowhere", "allowed", VERIFY_UNKNOWN, "nowhere"},
    {"an unknown commit", "repo", "1111111111111111111111111111111111111111", "allowed",
     VERIFY_UNKNOWN, "1111"},
    {"a tree", "repo", "HEAD^{tree}", "allowed", VERIFY_UNKNOWN, "tree"},
    {"no repository", "gnupg", "HEAD", "allowed", VERIFY_UNKNOWN, "gnupg"},
    {"a key file that is not there", "repo", "rsa", "nowhere.pub", VERIFY_UNKNOWN, "nowhere.pub"},
    {"no key file", "repo", "rsa", "", VERIFY_UNKNOWN, "no key"},
    {"an empty key file", "repo", "rsa", "empty", VERIFY_UNKNOWN, "empty"},
    {"a key file of comments", "repo", "rsa", "comments", VERIFY_UNKNOWN, "no key"},
    {"a good and a broken key file", "repo", "rsa", "rsa.pub broken.pub", VERIFY_UNKNOWN,
     "broken.pub:1"},
    {"an SSH private key", "repo", "rsa", "rsa", VERIFY_UNKNOWN, "private key"},
    {"an OpenPGP private key", "repo", "rsa", "first-secret.asc", VERIFY_UNKNOWN, "private key"},
    {"a certificate authority", "repo", "ed25519", "authority", VERIFY_UNKNOWN,
     "authority:1: cert-authority"},
    {"an unknown option", "repo", "ed25519", "unknown-option", VERIFY_UNKNOWN, "frobnicate"},
    {"a date that is none", "repo", "ed25519", "bad-date", VERIFY_UNKNOWN, "soon"},
    {"a range that is empty", "repo", "ed25519", "backwards", VERIFY_UNKNOWN, "valid-before"},
    {"a DSA key", "repo", "ed25519", "dss.pub", VERIFY_UNKNOWN, "ssh-dss"},
    {"a damaged armour", "repo", "pgp-first", "damaged.asc", VERIFY_UNKNOWN, "damaged"},
    {"an armour without an end", "repo", "pgp-first", "endless.asc", VERIFY_UNKNOWN, "no end"},
    {"a binary key cut off", "repo", "pgp-first", "cut.gpg", VERIFY_UNKNOWN, "cut.gpg"},
    {"a file of garbage", "repo", "pgp-first", "garbage", VERIFY_UNKNOWN, "garbage"},
};

static void every_case_has_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(&cases[i]);
    }
}

static void a_revision_as_gitmoor_writes_it(void **state)
{
    (void)state;
    FILE *pipe = popen("git -C repo rev-parse ed25519", "r");
    char commit[64] = "";
    assert_non_null(pipe);
    assert_non_null(fgets(commit, sizeof commit, pipe));
    pclose(pipe);
    commit[strcspn(commit, "\n")] = '\0';
    AUTO_FREE char *named = mem_format("main@sha1:%s", commit);
    AUTO_FREE char *plain = mem_format("sha1:%s", commit);
    check(&(struct verify_case){"named", "repo", named, "allowed", VERIFY_SIGNED, "ed25519"});
    check(&(struct verify_case){"plain", "repo", plain, "allowed", VERIFY_SIGNED, "ed25519"});
}

/* git's verdict with the same keys, wherever the two are to agree. */
static void git_says_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *revision, *allowed;
        bool tag;
    } objects[] = {
        {"ed25519", "allowed", false},     {"rsa", "allowed", false},
        {"ecdsa256", "allowed", false},    {"ecdsa384", "allowed", false},
        {"ecdsa521", "allowed", false},    {"ed25519-tag", "allowed", true},
        {"altered", "allowed", false},     {"altered-tag", "allowed", true},
        {"unsigned", "allowed", false},    {"other-namespace", "allowed", false},
        {"double", "allowed", false},      {"ed25519", "ns-git", false},
        {"ed25519", "ns-file", false},     {"ed25519", "ns-pattern", false},
        {"ed25519", "ns-negated", false},  {"in-2020", "after-2021", false},
        {"ed25519", "after-2021", false},  {"in-2020", "before-2021", false},
        {"ed25519", "before-2021", false}, {"in-2020", "in-2020", false},
        {"ed25519", "quoted", false},
    };
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        int status =
            shell("git -C repo -c gpg.ssh.allowedSignersFile=../%s verify-%s %s 2>/dev/null",
                  objects[i].allowed, objects[i].tag ? "tag" : "commit", objects[i].revision);
        const char *files[] = {objects[i].allowed, NULL};
        char signer[VERIFY_SIGNER_SIZE];
        struct error error;
        enum verify_verdict verdict =
            verify_revision("repo", objects[i].revision, files, signer, &error);
        if ((verdict == VERIFY_SIGNED) != (status == 0)) {
            fail_msg("%s with %s: git %d, we %d", objects[i].revision, objects[i].allowed, status,
                     verdict);
        }
    }
}

static void nothing_is_left_in_the_temporary_directory(void **state)
{
    (void)state;
    assert_int_equal(mkdir("tmp", 0700), 0);
    setenv("TMPDIR", "tmp", 1);
    check(&cases[9]);
    unsetenv("TMPDIR");
    assert_int_equal(rmdir("tmp"), 0);
}

static void without_gpgv_the_answer_is_unknown(void **state)
{
    (void)state;
    AUTO_FREE char *path = mem_string(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    check(&(struct verify_case){"no gpgv", "repo", "pgp-first", "first.asc", VERIFY_UNKNOWN,
                                "not installed"});
    check(&(struct verify_case){"SSH needs none", "repo", "rsa", "rsa.pub", VERIFY_SIGNED, "rsa"});
    setenv("PATH", path, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_has_its_verdict),
        cmocka_unit_test(a_revision_as_gitmoor_writes_it),
        cmocka_unit_test(git_says_the_same),
        cmocka_unit_test(nothing_is_left_in_the_temporary_directory),
        cmocka_unit_test(without_gpgv_the_answer_is_unknown),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
