#include "differ/render/sops.h"

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/base/text.h"
#include "common/data/yaml.h"

#include <string.h>

#define ENCRYPTED "ENC[AES256_GCM,"
#define RECIPIENTS_MAXIMUM ((size_t)1000)

/* ---- For whom ---- */

/* The members of SOPS' section that hold keys, and what of each names it. */
static const struct {
    const char *list;
    const char *member;
    const char *kind;
    bool is_far;
} recipients[] = {
    {"age", "recipient", "", false},
    {"pgp", "fp", "OpenPGP ", false},
    {"kms", "arn", "AWS KMS ", true},
    {"gcp_kms", "resource_id", "Google Cloud KMS ", true},
    {"azure_kv", "vault_url", "Azure Key Vault ", true},
    {"hc_vault", "vault_address", "HashiCorp Vault ", true},
    {"hckms", "key_id", "Huawei Cloud KMS ", true},
};
#define RECIPIENTS (sizeof(recipients) / sizeof(recipients[0]))

struct sops_names {
    struct buf text;
    bool near;
};

static void sops_name(struct sops_names *names, size_t kind, const char *name)
{
    names->near |= !recipients[kind].is_far;
    buf_append_format(&names->text, "%s%s%s", names->text.size ? ", " : "", recipients[kind].kind,
                      name);
}

/* Of a section in YAML or JSON; with Shamir's sharing they stand in groups. */
static void sops_name_section(struct sops_names *names, const cJSON *section)
{
    for (size_t i = 0; i < RECIPIENTS; i++) {
        const cJSON *list = json_array(section, recipients[i].list);
        for (const cJSON *it = json_first(list); it; it = it->next) {
            sops_name(names, i, text_or_empty(json_string(it, recipients[i].member)));
        }
    }
    const cJSON *groups = json_array(section, "key_groups");
    for (const cJSON *it = json_first(groups); it; it = it->next) {
        sops_name_section(names, it);
    }
}

/* Of lines such as "sops_age__list_0__map_recipient=age1…", or those of an INI file's section. */
static void sops_name_line(struct sops_names *names, const char *line, size_t size)
{
    const char *value = memchr(line, '=', size);
    for (size_t i = 0; value && i < RECIPIENTS; i++) {
        AUTO_FREE char *key = mem_string_n(line, (size_t)(value - line));
        AUTO_FREE char *list = mem_format("%s__list_", recipients[i].list);
        AUTO_FREE char *member = mem_format("__map_%s", recipients[i].member);
        size_t blank = strlen(key);
        while (blank && key[blank - 1] == ' ') {
            key[--blank] = '\0';
        }
        const char *start = text_has_prefix(key, "sops_") ? key + strlen("sops_") : key;
        if (text_has_prefix(start, list) && text_has_suffix(key, member)) {
            value += 1 + strspn(value + 1, " ");
            AUTO_FREE char *name = mem_string_n(value, size - (size_t)(value - line));
            sops_name(names, i, name);
            return;
        }
    }
}

static void sops_take_names(struct sops_names *names, struct sops_part *part)
{
    part->recipients = names->text.size ? mem_string(names->text.data) : NULL;
    part->key_is_far = part->recipients && !names->near;
    buf_release(&names->text);
}

/* ---- Parts ---- */

static struct sops_part *sops_add_part(struct sops_file *file, size_t start, size_t size,
                                       unsigned line)
{
    file->parts = mem_resize(file->parts, file->count + 1, sizeof(*file->parts));
    struct sops_part *part = &file->parts[file->count++];
    *part = (struct sops_part){.start = start, .size = size};
    part->lines = mem_new(1, sizeof(*part->lines));
    part->lines[0] = line;
    part->line_count = 1;
    return part;
}

/* One more document at the end of the last part. */
static void sops_extend_part(struct sops_part *part, size_t size, unsigned line)
{
    part->size += size;
    part->lines = mem_resize(part->lines, part->line_count + 1, sizeof(*part->lines));
    part->lines[part->line_count++] = line;
}

void sops_file_release(struct sops_file *file)
{
    for (size_t i = 0; i < file->count; i++) {
        free(file->parts[i].lines);
        free(file->parts[i].recipients);
    }
    free(file->parts);
    *file = (struct sops_file){0};
}

/* ---- YAML and JSON ---- */

/* Values of charts may well have a key of that name; SOPS' has these. */
static const cJSON *sops_section(const cJSON *tree)
{
    const cJSON *section = json_object(tree, "sops");
    return json_get(section, "mac") || json_get(section, "lastmodified") ? section : NULL;
}

static bool sops_is_kept(const cJSON *object)
{
    const cJSON *annotations = json_object(json_object(object, "metadata"), "annotations");
    return text_equal(json_string(annotations, SOPS_ANNOTATION), "disabled");
}

struct sops_document {
    cJSON *tree;
    unsigned line; /* of its first content */
};

static bool sops_take_document(cJSON *tree, unsigned line, void *context, struct error *error)
{
    struct sops_document *document = context;
    (void)error;
    json_free(document->tree);
    *document = (struct sops_document){tree, line};
    return true;
}

/* NULL: it is no YAML, or empty. What is wrong with it is told when it is used. */
static cJSON *sops_parse(const char *text, size_t size, unsigned *ret_line)
{
    struct sops_document document = {0};
    if (yaml_parse(text, size, "", NULL, sops_take_document, &document, NULL)) {
        *ret_line = document.line;
        return document.tree;
    }
    json_free(document.tree);
    return NULL;
}

static bool sops_is_tree(const char *path)
{
    return text_has_suffix(path, ".json") || text_has_suffix(path, ".yaml") ||
           text_has_suffix(path, ".yml");
}

/* A binary file is encrypted as JSON of a single value. */
static bool sops_is_binary(const char *path, const cJSON *tree)
{
    return !sops_is_tree(path) && json_size(tree) == 2 && json_string(tree, "data");
}

static bool sops_is_json(const char *text, size_t size)
{
    size_t blanks = 0;
    while (blanks < size && strchr(" \t\r\n", text[blanks])) {
        blanks++;
    }
    return blanks < size && text[blanks] == '{';
}

/* The document, whose message authentication code is told; `mac` is that of the one before. */
static void sops_read_document(const char *path, const char *text, size_t start, size_t size,
                               unsigned line, char **mac, struct sops_file *file)
{
    bool may_be = memmem(text + start, size, "sops", 4) != NULL;
    unsigned content = 1;
    AUTO_JSON cJSON *tree = may_be ? sops_parse(text + start, size, &content) : NULL;
    const cJSON *section = sops_is_kept(tree) ? NULL : sops_section(tree);
    const char *own = section ? text_or_empty(json_string(section, "mac")) : NULL;
    line = section ? line + content - 1 : line;
    bool continues = file->count && text_equal(own, *mac);
    free(*mac);
    *mac = mem_string(own);
    if (continues) {
        sops_extend_part(&file->parts[file->count - 1], size, line);
        return;
    }
    struct sops_part *part = sops_add_part(file, start, size, line);
    if (section) {
        struct sops_names names = {0};
        buf_init(&names.text, RECIPIENTS_MAXIMUM);
        sops_name_section(&names, section);
        sops_take_names(&names, part);
        part->format = !sops_is_json(text + start, size) ? "yaml"
                       : sops_is_binary(path, tree)      ? "binary"
                                                         : "json";
        file->encrypted = true;
    }
}

/* "---" at the start of a line begins a document, whatever is open. */
static bool sops_begins_document(const char *line, const char *end)
{
    return end - line >= 3 && memcmp(line, "---", 3) == 0 &&
           (line + 3 == end || strchr(" \t\r\n", line[3]));
}

static void sops_read_documents(const char *path, const char *text, size_t size,
                                struct sops_file *file)
{
    const char *end = text + size;
    const char *start = text;
    unsigned first = 1, line = 1;
    AUTO_FREE char *mac = NULL;
    for (const char *at = text; at < end; line++) {
        if (at > start && sops_begins_document(at, end)) {
            sops_read_document(path, text, (size_t)(start - text), (size_t)(at - start), first,
                               &mac, file);
            start = at;
            first = line;
        }
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        at = stop ? stop + 1 : end;
    }
    sops_read_document(path, text, (size_t)(start - text), (size_t)(end - start), first, &mac,
                       file);
}

/* ---- Lines ---- */

/* A file of lines NAME=VALUE, or of sections of these. NULL: SOPS did not write it. */
static const char *sops_format_of_lines(const char *text, size_t size, struct sops_names *names)
{
    const char *format = NULL;
    for (const char *at = text, *end = text + size; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        if (length >= 9 && memcmp(at, "sops_mac=", 9) == 0) {
            format = "dotenv";
        } else if (length >= 6 && memcmp(at, "[sops]", 6) == 0) {
            format = "ini";
        }
        sops_name_line(names, at, length);
        at = stop ? stop + 1 : end;
    }
    return format;
}

void sops_file_read(const char *path, const char *text, size_t size, struct sops_file *ret)
{
    *ret = (struct sops_file){0};
    if (!memmem(text, size, "sops", 4)) {
        return;
    }
    struct sops_names names = {0};
    buf_init(&names.text, RECIPIENTS_MAXIMUM);
    const char *lines = sops_is_tree(path) ? NULL : sops_format_of_lines(text, size, &names);
    if (lines) {
        struct sops_part *part = sops_add_part(ret, 0, size, 1);
        part->format = lines;
        ret->encrypted = true;
        sops_take_names(&names, part);
    } else {
        buf_release(&names.text);
        sops_read_documents(path, text, size, ret);
    }
}

/* ---- Objects ---- */

/* Of a Secret also a whole file that is encrypted, as it stands or in base64: a template has taken
 * it for what is in it. Elsewhere such a file may be meant for a program that has the key. */
static bool sops_is_within(const char *text)
{
    AUTO_BUF struct buf data;
    if (strstr(text, ENCRYPTED)) {
        return true;
    }
    buf_init(&data, strlen(text));
    return base64_decode(text, strlen(text), &data) &&
           memmem(data.data, data.size, ENCRYPTED, strlen(ENCRYPTED));
}

static const cJSON *sops_find_value(const cJSON *node, bool secret)
{
    const cJSON *found = NULL;
    if (cJSON_IsString(node) && (text_has_prefix(node->valuestring, ENCRYPTED) ||
                                 (secret && sops_is_within(node->valuestring)))) {
        return node;
    }
    for (const cJSON *it = json_first(node); it && !found; it = it->next) {
        found = sops_find_value(it, secret);
    }
    return found;
}

bool sops_object_is_encrypted(const cJSON *object, unsigned *ret_line)
{
    const cJSON *found = sops_section(object);
    if (!found) {
        found = sops_find_value(object, text_equal(json_string(object, "kind"), "Secret"));
    }
    *ret_line = found ? yaml_line(found) : 0;
    return found && !sops_is_kept(object);
}

/* ---- Keys ---- */

char *sops_age_identities(const char *text)
{
    AUTO_BUF struct buf found;
    buf_init(&found, strlen(text) + 1);
    while (*text) {
        text += strspn(text, " \t");
        size_t length = strcspn(text, "\r\n");
        if (text_has_prefix(text, "AGE-SECRET-KEY-")) {
            buf_append(&found, text, length);
            buf_append_char(&found, '\n');
        }
        text += length;
        text += strspn(text, "\r\n");
    }
    return found.size ? mem_string(found.data) : NULL;
}

#define ARMOUR "-----BEGIN PGP PRIVATE KEY BLOCK-----"
#define ARMOUR_END "-----END PGP PRIVATE KEY BLOCK-----"

/* Between the empty line behind its headers and its check sum. */
static const char *sops_find_packets(const char *text, const char *end, size_t *ret_size)
{
    const char *start = memmem(text, (size_t)(end - text), "\n\n", 2);
    const char *with_returns = memmem(text, (size_t)(end - text), "\n\r\n", 3);
    if (with_returns && (!start || with_returns < start)) {
        start = with_returns + 1;
    }
    if (!start) {
        return NULL;
    }
    start += 2;
    const char *sum = memmem(start, (size_t)(end - start), "\n=", 2);
    *ret_size = (size_t)((sum ? sum : end) - start);
    return start;
}

bool sops_openpgp_packets(const char *text, struct buf *out)
{
    bool found = false;
    while ((text = strstr(text, ARMOUR))) {
        text += strlen(ARMOUR);
        const char *end = strstr(text, ARMOUR_END);
        size_t size = 0;
        const char *packets = end ? sops_find_packets(text, end, &size) : NULL;
        if (!packets || !base64_decode(packets, size, out)) {
            return false;
        }
        found = true;
        text = end;
    }
    return found;
}
