/* Tenancy settings, and what each check says of what stands in them. */
#include "common/base/memory.h"
#include "common/run/tenancy.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tenancy *tenancy = NULL;
    struct error error;
    if (!tenancy_parse((const char *)data, size, "tenancy.yaml", &tenancy, &error)) {
        return 0;
    }
    AUTO_FREE char *text = mem_string_n((const char *)data, size < 512 ? size : 512);
    const struct tenancy_object object = {.group = "apps", .resource = text, .name = text};
    const char *home, *account;
    tenancy_check_url(tenancy, "team-a", text, &error);
    tenancy_check_source(tenancy, "team-a", text, text, &error);
    tenancy_check_object(tenancy, "team-a", &object, &error);
    tenancy_check_account(tenancy, "team-a", "platform", text, &error);
    tenancy_default_account(tenancy, "team-a", &home, &account);
    tenancy_free(tenancy);
    return 0;
}
