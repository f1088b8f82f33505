/* Of objects that somebody else has made. */
#ifndef GITMOOR_CLI_ADOPT_H
#define GITMOOR_CLI_ADOPT_H

#include "common/data/json.h"

/* Whether it is not the application's with that label. */
bool adopt_is_foreign(const cJSON *object, const char *label);

/* "Helm release shop/web; field managers helm, kubectl-edit"; the caller frees. */
char *adopt_describe_managers(const cJSON *object);

#endif
