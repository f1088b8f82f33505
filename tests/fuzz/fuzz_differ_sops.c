/* Files that SOPS is said to have encrypted, and keys, as a stranger may write them. */
#include "common/base/memory.h"
#include "differ/render/sops.h"

#include <stdint.h>

static void check_parts(const char *path, const struct buf *text)
{
    struct sops_file file;
    size_t at = 0;
    sops_file_read(path, text->data, text->size, &file);
    for (size_t i = 0; i < file.count; i++) {
        const struct sops_part *part = &file.parts[i];
        if (part->start != at || part->line_count == 0 || part->lines[0] == 0) {
            __builtin_trap();
        }
        at += part->size;
    }
    /* Whatever is left out would be lost. */
    if (file.count && at != text->size) {
        __builtin_trap();
    }
    sops_file_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const paths[] = {"a.yaml", "a.json", "a.env", "a.ini", "a"};
    AUTO_BUF struct buf text, packets;
    buf_init(&text, size + 1);
    buf_init(&packets, 4096);
    buf_append(&text, data, size);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        check_parts(paths[i], &text);
    }
    AUTO_FREE char *identities = sops_age_identities(text.data);
    sops_openpgp_packets(text.data, &packets);
    return 0;
}
