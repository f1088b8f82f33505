/* gitmoor, and kubectl-gitmoor: finds the verb and leaves the rest to it. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static void main_print_help(FILE *out)
{
    fprintf(out, "Gitmoor moors a Kubernetes cluster to Git.\n\n"
                 "Usage: gitmoor VERB [OPTIONS]    (or: kubectl gitmoor VERB [OPTIONS])\n\n");
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
        fprintf(out, "  %-11s  %s\n", verb->name, verb->help);
    }
    fprintf(out, "\n  gitmoor VERB --help   tells the options of a verb.\n"
                 "  gitmoor --version     prints the version.\n");
}

static const struct cli_verb *main_find_verb(const char *name)
{
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
        if (strcmp(verb->name, name) == 0) {
            return verb;
        }
    }
    return NULL;
}

/* `gitmoor help`, `gitmoor help VERB`. */
static int main_help(int argc, char **argv)
{
    const struct cli_verb *verb = argc > 1 ? main_find_verb(argv[1]) : NULL;
    if (!verb) {
        main_print_help(stdout);
        return CLI_OK;
    }
    char *arguments[] = {argv[1], (char[]){"--help"}, NULL};
    return verb->run(2, arguments);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        main_print_help(stderr);
        return CLI_USAGE;
    }
    if (strcmp(argv[1], "help") == 0) {
        return main_help(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return main_help(1, argv + 1);
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        printf("gitmoor %s\n", GITMOOR_VERSION);
        return CLI_OK;
    }
    const struct cli_verb *verb = main_find_verb(argv[1]);
    if (!verb) {
        fprintf(stderr, "gitmoor: there is no verb %s; gitmoor help lists them\n", argv[1]);
        return CLI_USAGE;
    }
    int status = verb->run(argc - 1, argv + 1);
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "gitmoor %s: cannot write the output\n", argv[1]);
        return status ? status : CLI_USAGE;
    }
    return status;
}
