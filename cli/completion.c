/* gitmoor completion: verbs, options and their choices, from the tables behind --help. Names of
 * objects are not completed: a cluster that does not answer would hold up the shell. */
#include "cli/cli.h"
#include "cli/options.h"
#include "common/base/memory.h"
#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

/* `IFS`, so that a word with blanks stays one; what is none of ours may be a file. */
static const char bash[] = "_gitmoor() {\n"
                           "    local IFS=$'\\n'\n"
                           "    COMPREPLY=($(gitmoor " OPTIONS_COMPLETE
                           " \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
                           "}\n"
                           "complete -o default -F _gitmoor gitmoor\n";

static void print_verbs(const char *begun)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
        if (text_has_prefix(verb->name, begun)) {
            printf("%s\n", verb->name);
        }
    }
}

int cli_complete(int count, char **words)
{
    if (count < 1) {
        return CLI_USAGE;
    }
    char *begun = words[count - 1];
    if (count == 1 || (count == 2 && strcmp(words[0], "help") == 0)) {
        print_verbs(begun);
        return CLI_OK;
    }
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
        char *arguments[] = {words[0], (char[]){OPTIONS_COMPLETE}, words[count - 2], begun, NULL};
        if (strcmp(verb->name, words[0]) == 0) {
            return verb->run(4, arguments);
        }
    }
    return CLI_OK;
}

int cli_completion(int argc, char **argv)
{
    const struct option table[] = {{0}};
    const struct option_set set = {
        "completion bash",
        "Prints what has bash complete verbs, options and their choices: put source <(gitmoor "
        "completion bash) into ~/.bashrc. kubectl does so by itself for kubectl gitmoor.",
        "0: printed; 2: the command line is wrong.",
        table,
    };
    AUTO_FREE const char **operands = NULL;
    int status;
    if (!options_start(&set, argc, argv, 1, 1, &operands, &status)) {
        return status;
    }
    if (strcmp(operands[0], "bash") != 0) {
        struct error error = {0};
        error_set(&error, ERROR_INVALID, "%s is no shell that is known here; bash is", operands[0]);
        return cli_fail("completion", CLI_USAGE, &error);
    }
    fputs(bash, stdout);
    return CLI_OK;
}
