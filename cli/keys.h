/* --decrypt-key FILE, which stands in the place of the Secret that spec.decryption names. */
#ifndef GITMOOR_CLI_KEYS_H
#define GITMOOR_CLI_KEYS_H

#include "cli/options.h"
#include "common/data/json.h"

#define KEYS_HELP                                                                                  \
    "Age identities or an armoured OpenPGP private key, for what SOPS has encrypted, in the "      \
    "place of spec.decryption's Secret; may be repeated."

/* The keys of the files as render_options has them; NULL where none is given. */
bool keys_read(const struct option_list *files, cJSON **ret, struct error *error);

#endif
