/* Fuzz target: kubeconfig files. What is accepted is complete, and has no plugin. */
#include "common/kube/config.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kube_config *config = NULL;
    struct error error;
    error_clear(&error);
    if (kube_config_parse((const char *)data, size, "fuzz", "/d", NULL, &config, &error)) {
        if (!config->server || !config->namespace_ ||
            (config->client_cert_data && config->client_cert_file) ||
            (config->token && config->token_file)) {
            abort();
        }
        kube_config_free(config);
    } else if (error.code == ERROR_NONE || config) {
        abort();
    }
    return 0;
}
