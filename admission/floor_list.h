/* The applications that there are, as the floor is told of them: a text of lines, sorted by label,
 * "+prod.shop" for one that is enforced and "-prod.lax" for one that is not.
 *
 * The policy holds them all, and since when it does: an object whose application is not among them,
 * and which was applied before that, is an orphan, as verdict.c has it. One that was applied later
 * may be of an application that is new. */
#ifndef GITMOOR_ADMISSION_FLOOR_LIST_H
#define GITMOOR_ADMISSION_FLOOR_LIST_H

#include "admission/application.h"

/* To be freed. */
char *floor_list(const struct application_set *applications);
size_t floor_list_count(const char *list);

/* Adds conditions under which the object's application is not one of those that are not enforced.
 * `label`: an expression, the object's label value, or ''. */
void floor_list_add_conditions(cJSON *conditions, const char *list, const char *label);

/* Adds the variable `orphaned`, and those that it is made of. It uses the variables `label` and
 * `before` (the object's entries of ours). `since`: wall ms. */
void floor_list_add_variables(cJSON *variables, const char *list, int64_t since);

/* Since when the variables say that the list holds; 0 if they do not. */
int64_t floor_list_since(const cJSON *variables);

/* Appends {"name": …, "expression": …}: a condition or a variable. */
void floor_list_append(cJSON *array, const char *name, const char *expression);

#endif
