#include "cli/keys.h"

#include <string.h>

#define KEY_MAXIMUM ((size_t)4 << 20)

/* Of which sort a key is, is read off its text; for the differ, off its name in the Secret. */
bool keys_read(const struct option_list *files, cJSON **ret, struct error *error)
{
    AUTO_JSON cJSON *keys = files->count ? json_new_object() : NULL;
    cJSON *age = json_add_object(keys, "age");
    cJSON *openpgp = json_add_object(keys, "pgp");
    json_add_string(keys, "from", "--decrypt-key");
    for (size_t i = 0; i < files->count; i++) {
        AUTO_BUF struct buf text;
        buf_init(&text, KEY_MAXIMUM);
        if (!buf_read_file(&text, files->items[i], error)) {
            return error_prefix(error, "--decrypt-key");
        }
        bool armoured = strstr(text.data, "-----BEGIN PGP");
        json_add_string(armoured ? openpgp : age, files->items[i], text.data);
    }
    *ret = keys;
    keys = NULL;
    return true;
}
