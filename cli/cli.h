/* The command line tool: `gitmoor VERB …`, or `kubectl gitmoor VERB …`. One file per verb.
 *
 * A verb gets argv[0] = its own name, and returns the exit status. What a verb prints on standard
 * output is its result and nothing else; everything for the eye goes to standard error. */
#ifndef GITMOOR_CLI_CLI_H
#define GITMOOR_CLI_CLI_H

#include "common/base/error.h"

/* Exit statuses that all verbs share; docs/cli.md says what each verb makes of them. */
enum cli_status {
    CLI_OK = 0,
    CLI_NO = 1,   /* the input is invalid, or the answer is no, or the cluster refused */
    CLI_USAGE = 2 /* the command line is wrong, or what it names cannot be read */
};

int cli_break_glass(int argc, char **argv);
int cli_check(int argc, char **argv);
int cli_completion(int argc, char **argv);
int cli_diff(int argc, char **argv);
int cli_drift(int argc, char **argv);
int cli_explain(int argc, char **argv);
int cli_get(int argc, char **argv);
int cli_health(int argc, char **argv);
int cli_reconcile(int argc, char **argv);
int cli_render(int argc, char **argv);
int cli_resume(int argc, char **argv);
int cli_review(int argc, char **argv);
int cli_status(int argc, char **argv);
int cli_adopt(int argc, char **argv);
int cli_approve(int argc, char **argv);
int cli_sync(int argc, char **argv);
int cli_history(int argc, char **argv);
int cli_rollback(int argc, char **argv);
int cli_suspend(int argc, char **argv);
int cli_verify(int argc, char **argv);
int cli_wait(int argc, char **argv);

struct cli_verb {
    const char *name;
    const char *help; /* one line */
    int (*run)(int argc, char **argv);
};

/* Ended by a NULL name; main.c prints its help from it. */
extern const struct cli_verb cli_verbs[];

/* What may stand at the end of a line of these words (without "gitmoor"), the last of which is only
 * begun: a word a line. For shells, and for kubectl as kubectl_complete-gitmoor. */
int cli_complete(int count, char **words);

/* Prints "gitmoor VERB: MESSAGE" on standard error and returns `status`, for a verb to return. */
int cli_fail(const char *verb, int status, const struct error *error);

#endif
