/* Three lines of JSON: a field set, and two objects or sets. Nothing that is asked of them crashes;
 * nothing is lost or changed against itself. */
#include "common/base/digest.h"
#include "common/data/fields.h"
#include "common/data/json.h"
#include "common/data/pointer.h"

#include <stdlib.h>
#include <string.h>

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static bool never(const char *path, void *context)
{
    (void)path;
    (void)context;
    abort();
}

static bool count(const char *path, void *context)
{
    require(!strpbrk(path, " \n\t"));
    ++*(size_t *)context;
    return true;
}

static cJSON *next_line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *stop = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    const uint8_t *start = *at;
    stop = stop ? stop : end;
    *at = stop < end ? stop + 1 : end;
    cJSON *tree = NULL;
    json_parse((const char *)start, (size_t)(stop - start), NULL, &tree, NULL);
    return tree;
}

static struct digest digest_of_fields(const cJSON *set, const cJSON *object)
{
    struct digest_state *state = digest_new();
    struct digest digest;
    fields_digest(set, object, state);
    digest_finish(state, &digest);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *at = data;
    AUTO_JSON cJSON *set = next_line(&at, data + size);
    AUTO_JSON cJSON *before = next_line(&at, data + size);
    AUTO_JSON cJSON *after = next_line(&at, data + size);
    size_t lost = 0, changed = 0;
    fields_lost(set, set, never, NULL);
    fields_lost(set, before, count, &lost);
    fields_changed(set, before, before, never, NULL);
    fields_changed(set, before, after, count, &changed);
    struct digest old_digest = digest_of_fields(set, before);
    struct digest new_digest = digest_of_fields(set, after);
    if (changed > 0) {
        require(!digest_equal(&old_digest, &new_digest));
    }
    for (const cJSON *member = json_first(set); member; member = member->next) {
        fields_resolve(before, member->string);
        pointer_get(before, member->string);
    }
    return 0;
}
