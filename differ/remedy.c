#include "differ/remedy.h"

#include "common/base/text.h"

#include <string.h>

struct remedy {
    int status;
    const char *prefix; /* of the message; or NULL */
    const char *part;   /* of it */
    const char *text;
};

static const struct remedy remedies[] = {
    {404, "namespaces \"", "\" not found",
     ". Declare the Namespace in Git beside it, or create it, or correct the namespace"},
    {403, NULL, "is forbidden: User \"system:serviceaccount:",
     ". Give that service account the right, by a Role and a RoleBinding, or name another one in "
     "spec.serviceAccountName"},
    {403, NULL, "exceeded quota", ". Raise the quota, or ask for less"},
    {0, NULL, "field not declared in schema", ". Correct its name, or apiVersion and kind"},
};

const char *remedy_for(int status, const char *message)
{
    for (size_t i = 0; i < sizeof remedies / sizeof remedies[0]; i++) {
        const struct remedy *remedy = &remedies[i];
        if ((remedy->status == 0 || remedy->status == status) &&
            (!remedy->prefix || text_has_prefix(message, remedy->prefix)) &&
            strstr(message, remedy->part)) {
            return remedy->text;
        }
    }
    return "";
}
