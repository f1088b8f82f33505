/* The packs of a repository: the objects of a commit that are lacking here, asked of the fetcher,
 * fetched, and left in a file for the worker (repository.h). */
#ifndef GITMOOR_DIFFER_PACK_H
#define GITMOOR_DIFFER_PACK_H

#include "differ/repository.h"

/* The directory of its objects; the caller frees. */
char *pack_database(const struct repository *repository);

/* Whether the objects of the commit are here, as far as is known. */
bool pack_has_commit(const struct repository *repository, const char *commit);

/* Asks for them. The answer comes by repository_pack_offered, and then repository_step. */
void pack_ask(struct repository *repository, const char *commit);
/* The question is answered, or of no interest any more. */
void pack_unask(struct repository *repository);

/* The file that waits for the worker is done with. */
void pack_drop(struct repository *repository);
/* What is asked for, or on its way, is of a commit before. A file that the worker reads is left to
 * it. */
void pack_forget(struct repository *repository);

#endif
