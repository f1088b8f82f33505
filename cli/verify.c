/* gitmoor verify: whether a revision is signed by one of the given keys, as the fetcher judges it.
 */
#include "fetcher/verify.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/table.h"
#include "common/base/memory.h"

/* `--keys A B REVISION` gives the last of its values away when nothing else names the revision. */
static const char *verify_find_revision(const char **operands, struct option_list *keys)
{
    if (!operands[0] && keys->count > 1) {
        return keys->items[--keys->count];
    }
    return operands[0];
}

static int verify_run(const char *directory, const char *revision, const char *const *keys)
{
    char signer[VERIFY_SIGNER_SIZE] = "";
    struct error error = {0};
    enum verify_verdict verdict = verify_revision(directory, revision, keys, signer, &error);
    if (verdict != VERIFY_SIGNED) {
        return cli_fail("verify", (int)verdict, &error);
    }
    printf("%s is signed by ", revision);
    table_print_text(signer, 0, stdout);
    putchar('\n');
    return CLI_OK;
}

int cli_verify(int argc, char **argv)
{
    const char *directory = ".";
    struct option_list keys = {0};
    const struct option table[] = {
        {"keys", 'k', OPTION_LIST_ALL, &keys, "FILE...",
         "OpenPGP keys, SSH public keys or allowed signers; may be repeated."},
        {"repo", 0, OPTION_TEXT, &directory, "DIR", "The Git repository. Default: here."},
        {0},
    };
    const struct option_set set = {
        "verify --keys FILE... [--repo DIR] REVISION",
        "Verifies the signature of a commit or of an annotated tag.",
        "0: signed by one of the keys; 1: not signed, or not by one of them; 2: anything\n"
        "else: an unknown revision, an unreadable key, a wrong command line.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    struct error error = {0};
    int status;
    if (!options_start(&set, argc, argv, 0, 1, &operands, &status)) {
        free(keys.items);
        return status;
    }
    const char *revision = verify_find_revision(operands, &keys);
    if (!revision || keys.count == 0) {
        error_set(&error, ERROR_INVALID, "%s; usage: gitmoor %s",
                  keys.count == 0 ? "no key is given" : "no revision is given", set.usage);
        status = cli_fail("verify", CLI_USAGE, &error);
    } else {
        AUTO_FREE const char **ended = mem_new(keys.count + 1, sizeof(*ended));
        for (size_t i = 0; i < keys.count; i++) {
            ended[i] = keys.items[i];
        }
        status = verify_run(directory, revision, ended);
    }
    free(keys.items);
    return status;
}
