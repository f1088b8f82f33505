/* gitmoor, and kubectl-gitmoor: finds the verb and leaves the rest to it. */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/pull.h"
#include "common/base/memory.h"
#include "common/run/manual.h"
#include "fetcher/worker.h"

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
                 "  gitmoor --manual      prints all of that as a man page.\n"
                 "  gitmoor --version     prints the version.\n");
}

static const char *const main_processes[] = {"gitmoor-fetcher", "gitmoor-differ", "gitmoor-applier",
                                             "gitmoor-admission"};

/* The man page: each verb writes its part. */
static int main_manual(void)
{
    manual_begin(stdout, "gitmoor", 1, "Moors a Kubernetes cluster to Git.");
    manual_heading(stdout, "SYNOPSIS");
    manual_synopsis(stdout, "gitmoor VERB [OPTIONS]");
    manual_synopsis(stdout, "kubectl gitmoor VERB [OPTIONS]");
    manual_heading(stdout, "DESCRIPTION");
    manual_paragraph(stdout,
                     "Answers questions about manifests without a cluster, and asks for things in "
                     "one, with the rights that the kubeconfig gives. The result goes to standard "
                     "output and nothing else does; messages go to standard error.");
    manual_heading(stdout, "VERBS");
    for (const struct cli_verb *verb = cli_verbs; verb->name; verb++) {
        AUTO_FREE char *name = mem_string(verb->name);
        char *arguments[] = {name, (char[]){OPTIONS_MANUAL}, NULL};
        manual_subheading(stdout, verb->name);
        verb->run(2, arguments);
    }
    manual_heading(stdout, "OPTIONS OF ALL VERBS");
    manual_item(stdout, "-h, --help", "Print the options of the verb.");
    manual_heading(stdout, "EXIT STATUS");
    manual_item(stdout, "0", "Done; the answer is yes.");
    manual_item(stdout, "1", "The input is invalid, the answer is no, or the cluster refused.");
    manual_item(stdout, "2", "The command line is wrong, or what it names cannot be read.");
    manual_heading(stdout, "SEE ALSO");
    for (size_t i = 0; i < sizeof main_processes / sizeof main_processes[0]; i++) {
        manual_reference(stdout, main_processes[i], 8);
    }
    return CLI_OK;
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

/* Whether kubectl asks what may stand after `kubectl gitmoor`. */
static bool main_completes_for_kubectl(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strcmp(slash ? slash + 1 : program, "kubectl_complete-gitmoor") == 0;
}

int main(int argc, char **argv)
{
    if (main_completes_for_kubectl(argv[0])) {
        return cli_complete(argc - 1, argv + 1);
    }
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
    if (strcmp(argv[1], PULL_WORKER) == 0) {
        return fetch_worker_main();
    }
    if (strcmp(argv[1], OPTIONS_MANUAL) == 0) {
        return main_manual();
    }
    if (strcmp(argv[1], OPTIONS_COMPLETE) == 0) {
        return cli_complete(argc - 2, argv + 2);
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
